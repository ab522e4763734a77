from pathlib import Path

from mixlens.analysis.data.files import data_root


def test_the_folder_given_then_the_environments_then_the_cache(monkeypatch):
    monkeypatch.setenv("MIXLENS_DATA", "~/data")
    assert data_root("here") == Path("here")
    assert data_root() == Path.home() / "data"
    monkeypatch.delenv("MIXLENS_DATA")
    assert data_root().parts[-2:] == ("mixlens", "data")
