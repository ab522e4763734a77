"""What the machine may do to a command: streams that are full, closed or that nobody reads, little memory, no room."""

import os
import subprocess
import sys
from contextlib import suppress

import pytest

from mixlens.cli.main import main

pytestmark = pytest.mark.usefixtures("page_alone")

PICTURES = ["gallery", "--data", "photos", "--train-size", "100", "--seeds", "1", "--name", "mine"]
PAIR = ["--augmentations", "baseline,fmix"]


def shell(text, **options):
    """A shell's command, in which ``mixlens`` is ours."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    text = f'mixlens() {{ "{sys.executable}" -m mixlens "$@"; }}; {text}'
    return subprocess.run(["bash", "-o", "pipefail", "-c", text], env=environment, capture_output=True, **options)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """An output folder with the finished study ``mine``."""
    out = tmp_path_factory.mktemp("a folder of Ωmega")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("mixlens.reports.report.render_pdf", lambda content: b"%PDF-")
        assert main([*PICTURES, *PAIR, "--out", str(out), "--quiet"]) == 0
    return out


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux alone has it")
def test_a_study_whose_words_cannot_be_written_is_finished(tmp_path, monkeypatch):
    status = None
    with suppress(OSError), open("/dev/full", "w") as full, monkeypatch.context() as patched:  # it cannot be closed
        patched.setattr(sys, "stderr", full)
        status = main([*PICTURES, *PAIR, "--out", str(tmp_path)])
    assert status == 0
    assert (tmp_path / "mine" / "report.html").exists()


def test_a_study_that_nobody_reads_is_finished(tmp_path, monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(os.dup(writing), "w") as both, monkeypatch.context() as patched:
        for name in ("stdout", "stderr"):
            patched.setattr(sys, name, both)
        assert main([*PICTURES, *PAIR, "--out", str(tmp_path)]) == 141
    os.close(writing)
    assert (tmp_path / "mine" / "report.html").exists()


@pytest.mark.slow
def test_neither_environment_nor_a_matplotlibrc_changes_a_report(study, tmp_path):
    """No HOME, caches that cannot be, no TMPDIR, no backend, an ASCII locale, folders with spaces and letters."""
    folder = tmp_path / "zwei Wörter"
    folder.mkdir()
    (folder / "matplotlibrc").write_text("font.size: 40\naxes.grid: True\n", encoding="utf-8")
    nowhere = "XDG_CACHE_HOME=/dev/null/x XDG_CONFIG_HOME=/dev/null/x TMPDIR=/dev/null/x MPLBACKEND=nonsense LC_ALL=C"
    command = f"unset HOME; {nowhere} mixlens report '{study / 'mine'}' --out 'Übung 1'"
    assert shell(command, cwd=folder).returncode == 0
    page = (folder / "Übung 1" / "report.html").read_text(encoding="utf-8")
    assert page == (study / "mine" / "report.html").read_text(encoding="utf-8")


def test_what_a_users_module_prints_and_sets_is_no_part_of_the_answer(here, capsys):
    (here / "loud.py").write_text(
        "import os, torch\nprint('imported')\ntorch.set_default_dtype(torch.float64)\nos.chdir('/')\n"
        "def make():\n    print('made')\n    return lambda x, y, *, generator: (print('mixed'), (x, y))[1]\n",
        encoding="utf-8",
    )
    study = [*PICTURES, "--augmentations", "baseline,loud:make", "--out", "out"]
    for typed in ([*study, "--dry-run"], [*study, "--quiet"]):
        assert main(typed) == 0
        said = capsys.readouterr()
        assert not any(word in said.out for word in ("imported", "made", "mixed"))
        assert "mixed" in said.err
    assert (here / "out" / "mine" / "report.html").exists()


def test_help_that_nobody_reads_has_the_status_of_a_closed_pipe():
    assert shell("mixlens run --help | true").returncode == 141


def test_streams_that_are_closed_are_as_good_as_dev_null(study):
    done = shell(f"mixlens verify '{study}' <&- >&- 2>&- && mixlens verify '{study / 'none'}' >&- 2>/dev/full")
    assert (done.returncode, done.stdout, done.stderr) == (2, b"", b"")
