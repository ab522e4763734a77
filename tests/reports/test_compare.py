"""Studies against each other, and several in one report."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from vae_records import RATES

from mixlens.analysis.errors import InputError
from mixlens.analysis.store.record import combine
from mixlens.analysis.store.results import read_rows, write_rows
from mixlens.analysis.store.runs import Run
from mixlens.cli.main import main
from mixlens.reports.compare import compare_studies
from mixlens.reports.content import collect
from mixlens.reports.report import write_report


def test_two_augmentations_of_a_study(record):
    """MixUp's rates lie 10, 10.1 and 9.9 below the second baseline's, on every image alike."""
    lines = compare_studies(f"{record.folder}:baseline", f"{record.folder}:mixup").lines
    assert [line.quantity for line in lines] == ["I(Z_A;X) (nats)", "I(Z_A;X̂) (nats)", "MSE"]
    rate = lines[0].effect
    assert lines[0].pair == "MixUp − Baseline"
    assert rate.value == pytest.approx(-10, abs=1e-5)
    assert rate.high - rate.low == pytest.approx(2 * 4.302653 * 0.1 / np.sqrt(3), rel=1e-3)
    assert rate.direction == -1


def test_two_studies_augmentation_by_augmentation(make_record, rates, tmp_path):
    one = make_record(tmp_path / "a", rates)
    other = {pair: [value + 1 for value in values] for pair, values in rates.items() if pair[0] != "fmix"}
    two = make_record(tmp_path / "b", other, name="another")
    lines = compare_studies(str(one.folder), str(two.folder)).lines
    assert {line.pair for line in lines} == {"Baseline", "MixUp"}
    assert all(line.effect.value == pytest.approx(1, abs=1e-4) for line in lines if "nats" in line.quantity)


def test_an_augmentation_may_be_written_as_it_was_asked_for(record):
    """Rows know it by its canonical name."""
    found = compare_studies(f"{record.folder}:baseline", f"{record.folder}:fmix( alpha = 1 )")
    assert found == compare_studies(f"{record.folder}:baseline", f"{record.folder}:fmix")


def test_an_augmentation_is_compared_by_the_name_that_it_was_given(make_record, rates, tmp_path):
    record = make_record(tmp_path, rates)
    path = record.folder / "study.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["settings"]["aliases"] = {"mixup": "blend"}
    path.write_text(json.dumps(content), encoding="utf-8")
    lines = compare_studies(f"{record.folder}:baseline", f"{record.folder}:blend")
    assert lines == compare_studies(f"{record.folder}:baseline", f"{record.folder}:mixup")
    assert {line.pair for line in lines.lines} == {"blend − Baseline"}
    with pytest.raises(InputError, match="Did you mean 'blend'"):
        compare_studies(f"{record.folder}:baseline", f"{record.folder}:blnd")


def test_the_command_prints_them(record, capsys):
    assert main(["compare", f"{record.folder}:baseline", f"{record.folder}:mixup"]) == 0
    assert re.search(r"I\(Z_A;X\) \(nats\) +−10\.00 \[−10\.25, −9\.75\] ↓ p < \.001 +3 +1,000", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("first", "second", "words"),
    [
        (":baseline", "", "two studies"),
        (":baseline", ":mixpu", "Did you mean"),
        (":mixup", ":elsewhere", "unknown augmentation"),
    ],
)
def test_what_cannot_be_compared_is_one_message(record, failing, first, second, words):
    assert words in failing("compare", f"{record.folder}{first}", f"{record.folder}{second}")


def test_a_folder_that_is_no_study_is_one_message(record, failing, tmp_path):
    assert "no folder of a mixlens run or study" in failing("compare", str(tmp_path / "none"), str(record.folder))


# several in one


def test_several_studies_in_one_report(make_record, rates, tmp_path):
    one = make_record(tmp_path / "a", {pair: values for pair, values in rates.items() if pair[0] != "fmix"}, name="a")
    two = make_record(tmp_path / "b", {("fmix", "independent"): rates["fmix", "independent"]}, name="b")
    both = combine([one, two])
    assert both.name == "a + b"
    assert {row.augmentation for row in both.rows()} == {"baseline", "mixup", "fmix"}
    assert len(both.rows()) == len(one.rows()) + len(two.rows())
    text = write_report(both, tmp_path / "both.html").read_text(encoding="utf-8")
    assert "FMix" in text


def test_a_study_by_itself_stays_what_it_is(record):
    alone = combine([record])
    assert alone.rows() == record.rows()
    assert (alone.name, alone.tasks) == (record.name, record.tasks)


def test_other_data_stand_beside_where_that_is_asked_for(record, make_record, tmp_path):
    with pytest.raises(InputError, match=r"have other settings of data\. Give --mixed"):
        combine([record, replace(record, name="b", settings={**record.settings, "data": "photos"})])
    other = make_record(tmp_path / "other", RATES, "b", mark="other")
    other = replace(other, settings={**other.settings, "data": "photos"})
    both = combine([record, other], mixed=True)
    of_study = {(row.study, row.dataset) for row in both.rows() if row.dataset}
    assert of_study == {(record.name, "cifar10"), ("b", "photos")}
    assert len(both.rows()) == len(record.rows()) + len(other.rows())


def test_other_settings_are_refused_or_named(make_record, rates, tmp_path):
    one = make_record(tmp_path / "a", rates, name="a")
    made = make_record(tmp_path / "b", {("mixup", "independent"): [50.0, 51.0, 52.0]}, name="b")
    tasks = tuple(replace(task, name=task.name) for task in made.tasks)
    one = replace(one, settings={**one.settings, "vae": {"epochs": 1}})
    two = replace(made, tasks=tasks, settings={**made.settings, "vae": {"epochs": 2}})
    with pytest.raises(InputError, match=r"other settings of vae\. Give --mixed"):
        combine([one, two])
    names = {task.name: f"other-{task.name}" for task in two.tasks}
    for old, new in names.items():
        (two.runs / old).rename(two.runs / new)
        moved = Run(two.runs / new)
        write_rows(moved, [replace(row, run=new) for row in read_rows(moved)], 12.0)
    renamed = tuple(
        replace(task, name=names[task.name], inputs=tuple(names[name] for name in task.inputs)) for task in two.tasks
    )
    both = combine([one, replace(two, tasks=renamed)], mixed=True)
    assert {(row.study, row.augmentation) for row in both.rows()} == {
        *(("a", name) for name in ("baseline", "mixup", "fmix")),
        ("b", "mixup"),
    }


def test_an_augmentation_of_another_study_is_compared_with_that_studys_baseline(make_record, rates, tmp_path):
    one = make_record(tmp_path / "a", rates, name="a")
    two = make_record(tmp_path / "b", {key: [value + 100 for value in own] for key, own in rates.items()}, name="b")
    for task in two.tasks:
        (two.runs / task.name).rename(two.runs / f"b-{task.name}")
        moved = Run(two.runs / f"b-{task.name}")
        write_rows(moved, [replace(row, run=f"b-{task.name}") for row in read_rows(moved)], 12.0)
    tasks = tuple(
        replace(task, name=f"b-{task.name}", inputs=tuple(f"b-{name}" for name in task.inputs)) for task in two.tasks
    )
    two = replace(two, tasks=tasks, settings={**two.settings, "train_size": 500})
    with pytest.raises(InputError, match=r"other settings of train_size\. Give --mixed"):
        combine([one, two])
    content = collect(combine([one, two], mixed=True))
    (column,) = content.front.columns
    changes = dict(zip(content.front.names, (cell.change for cell in column.cells), strict=True))
    assert changes["Baseline [train_size=all]"] is changes["Baseline [train_size=500]"] is None
    assert changes["MixUp [train_size=500]"].value == pytest.approx(changes["MixUp [train_size=all]"].value)
    table = next(table for section in content.sections for table in section.tables if table.name == "vae-differences")
    lines = {row[0]: row[1] for row in table.rows}
    assert lines["MixUp [train_size=500]"] == lines["MixUp [train_size=all]"]


def test_no_folder_is_one_message(failing):
    assert "name at least one study's folder" in failing("report")


@pytest.mark.parametrize(
    ("suffix", "start"), [("pdf", b"%PDF"), ("png", b"\x89PNG"), pytest.param("svg", b"<?xml", marks=pytest.mark.slow)]
)
def test_figures_by_themselves(record, tmp_path, capsys, suffix, start):
    assert main(["report", str(record.folder), "--figures", suffix, "--out", str(tmp_path / "figures")]) == 0
    made = sorted((tmp_path / "figures").iterdir())
    assert [path.name for path in made] == [
        "summary-forest." + suffix,
        "vae-curves." + suffix,
        "vae-quantities." + suffix,
        "vae-reconstructions." + suffix,
    ]
    assert all(path.read_bytes().startswith(start) for path in made)
    assert str(made[0]) in capsys.readouterr().out
