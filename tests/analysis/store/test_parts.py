import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.store.parts import PARTS, one_record, part_folders, read_records, write_parts
from mixlens.analysis.store.record import write_record


@pytest.fixture
def study(tmp_path):
    def make(name):
        settings = {"data": "photos", "seeds": [0], "augmentations": ["baseline"], "sections": ["vae"], "train_size": 1}
        folder = tmp_path / name
        write_record(folder, name=name, command="", settings=settings, started="", runs=tmp_path / "runs", tasks=[])
        return folder

    return make


def test_the_folder_of_a_report_leads_to_its_studies_also_when_all_is_moved(study, tmp_path):
    folders = [study("a (epochs=1)"), study("a (epochs=2)")]
    write_parts(tmp_path / "a", folders)
    assert [record.name for record in read_records(tmp_path / "a")] == ["a (epochs=1)", "a (epochs=2)"]
    moved = tmp_path.rename(tmp_path.with_name("moved"))
    assert [record.name for record in read_records(moved / "a")] == ["a (epochs=1)", "a (epochs=2)"]


def test_a_study_alone_has_no_list_any_more(study, tmp_path):
    folder = study("a")
    assert [record.name for record in read_records(folder)] == ["a"]
    write_parts(folder, [folder, study("a-small")])
    assert len(read_records(folder)) == 2
    write_parts(folder, [folder])
    assert not (folder / PARTS).exists()
    assert one_record(folder).name == "a"


def test_one_study_is_asked_for_by_its_own_folder(study, tmp_path):
    write_parts(tmp_path / "a", [study("a (epochs=1)"), study("a (epochs=2)")])
    with pytest.raises(InputError, match=r"report of several studies; name one of them: .*a \(epochs=1\)"):
        one_record(tmp_path / "a")


@pytest.mark.parametrize("content", ["", "[]", '{"parts": 3}', '{"parts": ["a"], "more": 1}', "\xff"])
def test_a_damaged_list_is_named(content, tmp_path):
    (tmp_path / PARTS).write_text(content, encoding="latin-1")
    with pytest.raises(InputError, match=r"parts\.json is damaged"):
        part_folders(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "a").write_text("a file")
    with pytest.raises(InputError, match="cannot write"):
        write_parts(tmp_path / "a", [tmp_path / "b", tmp_path / "c"])
