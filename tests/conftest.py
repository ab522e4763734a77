"""What tests of several folders use: a user's own modules, mistakes on the command line."""

import sys

import pytest

from mixlens.cli import main


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, importable only by mixlens; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{tmp_path}/"):
            del sys.modules[name]


@pytest.fixture
def mine(here, request):
    """The name of a user's module in the current folder, which holds the test file's text ``MINE``."""
    (here / "mixlens_tests_mine.py").write_text(request.module.MINE, encoding="utf-8")
    return "mixlens_tests_mine"


@pytest.fixture
def failing(capsys):
    """Runs the command, which must end with exit status 2 and one message on standard error; gives the message."""

    def run(*arguments):
        assert main([*arguments]) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("mixlens: ")
        assert "Traceback" not in captured.err + captured.out
        assert captured.err.count("\n") == 1
        return captured.err

    return run
