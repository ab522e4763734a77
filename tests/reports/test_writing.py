"""Targets that cannot be written and studies that cannot be reported: one message, and what was there stays."""

import json
import re
import shutil
from pathlib import Path

import pytest

from mixlens.analysis.store.runs import ENVIRONMENT, RESULT
from mixlens.cli.main import main

FULL = Path("/dev/full")  # every write to it is to a full disk
needs_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here")
CLOSED = Path("/proc/self")  # nobody can make a file there
FIGURES = ["summary-forest.svg", *(f"vae-{name}.svg" for name in ("curves", "quantities", "reconstructions"))]

IN_ORDER = [FIGURES[0], *(f"vae-{name}.svg" for name in ("quantities", "reconstructions", "curves"))]


@pytest.fixture
def written(record, monkeypatch):
    """A study with a report from before, of other contents than it would have now."""
    monkeypatch.setattr("mixlens.analysis.store.runs.secrets.token_hex", lambda size: "mark")
    for name in ("report.html", "report.pdf", "rows.csv", *FIGURES):
        (record.folder / name).write_text(f"old {name}", encoding="utf-8")
    return record


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@needs_full
@pytest.mark.parametrize("name", ["report.html", "rows.csv", "report.pdf"])
def test_a_full_disk_leaves_the_old_report_whole(written, failing, name):
    before = contents(written.folder)
    (written.folder / f".{name}-mark.tmp").symlink_to(FULL)
    message = failing("report", str(written.folder))
    assert f"cannot write the report to {written.folder}: No space left on device" in message
    assert contents(written.folder) == before, "all of it, and nothing beside"


@needs_full
@pytest.mark.parametrize(
    "name", [FIGURES[0], FIGURES[-1], *(pytest.param(name, marks=pytest.mark.slow) for name in FIGURES[1:-1])]
)
def test_a_full_disk_leaves_the_old_figures_whole(written, failing, name):
    before = contents(written.folder)
    (written.folder / f".{name}-mark.tmp").symlink_to(FULL)
    assert "No space left on device" in failing("report", str(written.folder), "--figures", "svg")
    assert contents(written.folder) == before


@pytest.mark.parametrize(
    ("words", "wide"),
    [([], 6.8), (["--width", "column"], 3.3), pytest.param(["--width", "page"], 6.8, marks=pytest.mark.slow)],
)
def test_figures_are_as_wide_as_a_papers(written, capsys, words, wide):
    assert main(["report", str(written.folder), "--figures", "svg", *words]) == 0
    assert capsys.readouterr().out.splitlines() == [str(written.folder / name) for name in IN_ORDER]
    for name in FIGURES:
        points = re.search(r'<svg [^>]*width="([\d.]+)pt"', (written.folder / name).read_text(encoding="utf-8"))
        assert float(points[1]) == pytest.approx(72 * wide, abs=1.5)


def test_a_width_without_figures_is_refused(written, failing):
    assert "add --figures pdf, svg or png" in failing("report", str(written.folder), "--width", "page")


def test_a_folder_in_the_place_of_a_file_leaves_the_rest(written, failing):
    (written.folder / "report.pdf").unlink()
    (written.folder / "report.pdf").mkdir()
    before = contents(written.folder)
    message = failing("report", str(written.folder))
    assert f"{written.folder}/report.pdf: Is a directory" in message
    assert contents(written.folder) == before


def test_a_target_that_is_a_file_is_named(written, failing):
    assert "report.html: File exists" in failing(
        "report", str(written.folder), "--out", str(written.folder / "report.html")
    )
    assert "Not a directory" in failing(
        "report", str(written.folder), "--out", str(written.folder / "report.html" / "a")
    )


@pytest.mark.skipif(not CLOSED.exists(), reason="no /proc here")
def test_a_folder_that_may_not_be_written_is_named(record, failing):
    assert f"cannot write the report to {CLOSED}" in failing("report", str(record.folder), "--out", str(CLOSED))


@needs_full
def test_a_full_temporary_folder_costs_the_pdf_alone(written, monkeypatch, tmp_path, capsys):
    def full(*arguments, **options):
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr("tempfile.TemporaryDirectory", full)
    assert main(["report", str(written.folder)]) == 0
    said = capsys.readouterr().err
    assert "no PDF" in said
    assert "No space left on device" in said
    assert f"{written.folder}/report.pdf is of an earlier time" in said
    assert (written.folder / "report.pdf").read_text() == "old report.pdf"
    assert "old" not in (written.folder / "rows.csv").read_text()


# what cannot be reported


def test_a_study_without_a_finished_task_has_no_report_yet(record, failing):
    path = record.folder / "study.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    for task in content["tasks"]:
        task["state"] = "pending"
    path.write_text(json.dumps(content), encoding="utf-8")
    for command in (["report"], ["report", "--figures", "svg"]):
        assert "has no finished measurement to report yet" in failing(*command, str(record.folder))
    assert "no finished measurement" in failing("compare", f"{record.folder}:baseline", f"{record.folder}:mixup")
    assert [path.name for path in record.folder.iterdir()] == ["study.json"]


@pytest.mark.parametrize("content", [None, "", "[]", '{"name": "another program"}', '{"tasks": 3}'])
@pytest.mark.parametrize("command", ["report", "compare"])
def test_a_folder_of_another_program_is_named(record, failing, tmp_path, content, command):
    other = tmp_path / "other"
    other.mkdir()
    if content is not None:
        (other / "study.json").write_text(content, encoding="utf-8")
    message = failing(command, str(record.folder), str(other))
    assert (
        f"{other} is no folder of a mixlens" in message if content is None else f"{other}/study.json is not" in message
    )
    assert [path.name for path in other.iterdir()] == ([] if content is None else ["study.json"])


def test_a_file_is_no_study(record, failing):
    assert "study.json is no folder of a mixlens run or study" in failing("report", str(record.folder / "study.json"))


@pytest.mark.parametrize("name", [None, "measure-mixup-independent-1", "train-mixup-independent-1"])
def test_deleted_runs_are_named_with_what_to_do(written, failing, name):
    before = contents(written.folder)
    shutil.rmtree(written.runs if name is None else written.runs / name)
    message = failing("report", str(written.folder))
    assert str(written.runs if name is None else written.runs / name) in message
    assert "run the study again" in message
    assert contents(written.folder) == before


@pytest.mark.parametrize("name", [RESULT, ENVIRONMENT])
def test_a_deleted_file_of_a_run_is_named_with_what_to_do(written, failing, name):
    (written.run("train-mixup-independent-1") / name).unlink()
    message = failing("report", str(written.folder))
    assert f"train-mixup-independent-1 is no folder of a mixlens run or study: it has no {name}" in message
    assert "only this task is repeated" in message


def test_a_study_named_twice_is_reported_once(record, capsys):
    assert main(["report", str(record.folder)]) == 0
    once = (record.folder / "rows.csv").read_bytes()
    assert main(["report", str(record.folder), f"{record.folder}/"]) == 0
    assert (record.folder / "rows.csv").read_bytes() == once


@pytest.mark.parametrize(
    ("command", "change", "words"),
    [
        (["report"], {"data": "photos"}, "other settings of data. Give --mixed"),
        (["compare"], {"data": "photos"}, "data is 'cifar10' in one and 'photos' in the other"),
        (["report"], {"train_size": 100}, "other settings of train_size. Give --mixed"),
        (["compare"], {"train_size": 100}, "train_size is None in one and 100 in the other"),
    ],
)
def test_studies_of_other_data_are_refused(make_record, rates, tmp_path, failing, change, words, command):
    one, two = (make_record(tmp_path / name, rates, name=name) for name in "ab")
    path = two.folder / "study.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["settings"] |= change
    path.write_text(json.dumps(content), encoding="utf-8")
    assert words in failing(*command, str(one.folder), str(two.folder))


def test_studies_of_another_model_ask_for_mixed(make_record, rates, tmp_path, failing):
    folders = []
    for name, width in (("a", 16), ("b", 64)):
        made = make_record(tmp_path / name, rates, name=name)
        path = made.folder / "study.json"
        content = json.loads(path.read_text(encoding="utf-8"))
        content["settings"]["classifier"] = {"model": "preact-resnet18", "width": width}
        path.write_text(json.dumps(content), encoding="utf-8")
        folders.append(str(made.folder))
    message = failing("report", *folders)
    assert "other settings of classifier" in message
    assert "--mixed" in message


def test_the_same_is_not_compared_with_itself(record, failing):
    for end in ("", ":mixup"):
        assert "are the same; name two" in failing("compare", f"{record.folder}{end}", f"{record.folder}{end}")
    assert "are the same" in failing("compare", str(record.folder), f"{record.folder}/../study")
