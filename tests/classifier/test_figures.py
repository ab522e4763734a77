import math
import re
from dataclasses import replace

import numpy as np
import pytest
from terms import in_family

from mixlens.analysis.interface import Arm, Printed, Row
from mixlens.analysis.presentation.names import colours
from mixlens.analysis.statistics.proportion import proportion
from mixlens.analysis.store.record import TaskRecord, combine, read_record, write_record
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import ENVIRONMENT, Run
from mixlens.classifier import figures
from mixlens.classifier.figures import PANELS, plots, tables
from mixlens.reports import paper
from mixlens.reports.content import collect
from mixlens.reports.facts import scale
from mixlens.reports.report import write_report
from mixlens.reports.scale import settings_varied

ACCURACIES = {  # of each seed
    "baseline": {0: 0.900, 1: 0.910, 2: 0.920},
    "mixup": {0: 0.920, 1: 0.931, 2: 0.939},
    "fmix": {0: 0.890, 1: 0.920, 2: 0.910},
}


@pytest.fixture
def record(tmp_path):
    return make_record(tmp_path, ACCURACIES)


def make_record(
    folder, accuracies, kind="classifier-train", n=1000, top=None, data="cifar10", name="a study", epochs=4
):
    """A finished study with made-up rows: accuracy, loss and, of what was trained, a history; ``top``: top-5 too."""
    runs, tasks = folder / "runs", []

    def run(name, task_kind, inputs=(), rows=()):
        made = Run(runs / name)
        made.path.mkdir(parents=True)
        made.write_json(ENVIRONMENT, {"torch": "2.0", "commit": None, "device": "cpu"})
        write_rows(made, list(rows), 12.0)
        tasks.append(TaskRecord(name, task_kind, "classifier", name, tuple(inputs), "done"))
        return made

    for number, (augmentation, by_seed) in enumerate(accuracies.items()):
        for seed, value in by_seed.items():
            network, measured = (f"{what}-{name}-{number}-{seed}" for what in ("network", "measure"))
            made = run(network, kind)
            if kind == "classifier-train":
                made.write_history(
                    [
                        {
                            "epoch": e,
                            "train_loss": 3.0 - e,
                            "test_loss": 2.0 / e,
                            "test_accuracy": value,
                            "seconds": 1.0,
                        }
                        for e in (1, 2)
                    ]
                )
            facts = (measured, "other", "classifier", "photos", "test", augmentation, "preact-resnet18", seed)
            low, high = proportion(round(value * n), n).interval[:2]
            row = Row(*facts, "accuracy", value, "fraction", n, {}, (value * (1 - value) / n) ** 0.5, low, high)
            loss = replace(row, quantity="nll", value=1 - value, unit="nats", stderr=5.0)
            right = np.arange(n) < round(value * n)
            more = [] if top is None else [replace(row, quantity="accuracy_top5", value=top(value))]
            run(measured, "classifier-measure", (network,), (row, loss, *more)).write_arrays(
                {"accuracy": right, "logits": np.zeros((n, 10))}
            )
    settings = {"data": data, "seeds": [0, 1, 2], "augmentations": list(accuracies), "sections": ["classifier"]}
    settings |= {"train_size": None, "classifier": {"model": "preact-resnet18", "epochs": epochs, "schedule": "step"}}
    study = folder / "study"
    write_record(study, name=name, command="mixlens", settings=settings, started="2026-01-01", runs=runs, tasks=tasks)
    return read_record(study)


def lines(record, printed):
    (table,) = tables(in_family(record, "classifier", figures), printed)
    assert all(len(row) == len(table.header) for row in table.rows)
    return {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}


# the table


def test_the_table_holds_means_deviations_differences_and_the_papers_values(record):
    """Of mixup the differences are 2, 2.1, 1.9 points: 4.303 · 0.1 / √3 over seeds; of fmix −1, 1, −1: 2.87."""
    found = lines(record, paper.VALUES["classifier"])
    assert found["Baseline"] == {
        "Augmentation": "Baseline",
        "Accuracy (%)": "91.0 ± 1.0",
        "paper": "94.63 ± 0.21",
        "to the baseline": "—",
        "NLL": "0.090 ± 0.010",
        "seeds": "3",
    }
    assert found["MixUp"]["Accuracy (%)"] == "93.0 ± 1.0"
    right, base = (
        np.arange(1000)[:, None] < [round(1000 * value) for value in ACCURACIES[name].values()]
        for name in ("mixup", "baseline")
    )
    images = 100 * np.subtract(right, base, dtype=float).mean(1).std(ddof=1) / math.sqrt(1000)
    half = math.hypot(4.302653 * 0.1 / math.sqrt(3), 1.959964 * images)
    assert found["MixUp"]["to the baseline"] == f"+2.00 [+{2 - half:.2f}, +{2 + half:.2f}] ↑ p = .002"
    assert found["MixUp"]["paper"] == "95.66 ± 0.11"
    assert found["MixUp"]["NLL"] == "0.070 ± 0.010"
    assert re.fullmatch(r"−0\.3 \[−3\.\d, \+2\.\d\] p = \.\d\d", found["FMix"]["to the baseline"])
    assert list(found) == ["Baseline", "MixUp", "FMix"]


def test_top_5_has_a_column_where_it_was_measured(tmp_path):
    found = lines(make_record(tmp_path, ACCURACIES, top=lambda value: (1 + value) / 2), {})
    assert list(found["Baseline"])[1:] == ["Accuracy (%)", "to the baseline", "top-5 (%)", "NLL", "seeds"]
    assert found["Baseline"]["top-5 (%)"] == "95.5 ± 0.5"
    one = lines(make_record(tmp_path / "one", {"baseline": {0: 0.9}}, top=lambda value: value), {})
    assert one["Baseline"]["top-5 (%)"] == one["Baseline"]["Accuracy (%)"] == "90.0 [88.0, 91.7]"


def test_the_papers_values_are_there_only_when_given(record):
    (ours,), (beside) = tables(record, {}), tables(record, paper.VALUES["classifier"])
    assert ours.header == ("Augmentation", "Accuracy (%)", "to the baseline", "NLL", "seeds")
    assert "paper" not in ours.caption
    assert not any("95.66" in cell for row in ours.rows for cell in row)
    assert [tuple(c for i, c in enumerate(row) if i != 2) for row in beside[0].rows] == list(ours.rows)
    assert "The paper's: Table 2 (PreAct-ResNet18, 200 epochs)" in beside[0].caption


def test_what_the_paper_does_not_print_is_a_dash(record):
    found = lines(record, {"mixup": {"accuracy": Printed(95.0, 0.125, 1, 3, "Table 9")}})
    assert [found[name]["paper"] for name in ("Baseline", "MixUp", "FMix")] == ["—", "95.0 ± 0.1", "—"]


def test_the_papers_classifier_values_are_those_of_table_2():
    """Table 2's CIFAR-10 PreAct-ResNet18 row, and section 5."""
    printed = {name: values["accuracy"][:2] for name, values in paper.VALUES["classifier"].items()}
    assert printed["baseline"] == (94.63, 0.21)
    assert printed["fmix"] == printed["fmix-official"] == (96.14, 0.10)


def test_the_caption_says_over_what(record):
    (table,) = tables(record, {})
    assert "on 1,000 test images, mean ± standard deviation over training seeds" in table.caption
    assert "over images is at most 0.99 points" in table.caption, "of 89% of 1,000, and not of the loss"


def test_differences_are_of_the_same_seed_and_not_of_the_same_place(tmp_path):
    """Were they of the same place, they would differ by 1, 1, −2 points; of the same seed it is always 1."""
    values = {"baseline": {0: 0.8, 1: 0.9, 2: 0.85}, "mixup": {2: 0.86, 0: 0.81, 1: 0.91}}
    assert lines(make_record(tmp_path, values), {})["MixUp"]["to the baseline"].startswith("+1.00 [+0.65, +1.35]")


def test_a_seed_without_a_baseline_is_left_out_of_the_difference_alone(tmp_path):
    values = {"baseline": {0: 0.8, 1: 0.9}, "mixup": {0: 0.81, 1: 0.93, 2: 0.99}}
    found = lines(make_record(tmp_path, values), {})["MixUp"]
    assert re.fullmatch(r"\+2\.00 \[.*\] \(these networks\)", found["to the baseline"])
    assert found["seeds"] == "3"


def test_one_seed_has_no_spread_and_no_verdict(tmp_path):
    found = lines(make_record(tmp_path, {"baseline": {0: 0.8}, "mixup": {0: 0.825}}), {})["MixUp"]
    assert (found["Accuracy (%)"], found["seeds"]) == ("82.5 [80.0, 84.7]", "1"), "Wilson's interval"
    assert re.fullmatch(r"\+2\.50 \[\+1\.\d\d, \+3\.\d\d\] \(these networks\)", found["to the baseline"])


def test_without_a_baseline_there_is_no_difference(tmp_path):
    found = lines(make_record(tmp_path, {"mixup": {0: 0.8, 1: 0.9, 2: 0.85}}), {})["MixUp"]
    assert found["to the baseline"] == "no baseline"


def test_augmentations_of_ones_own_keep_their_names(tmp_path):
    found = lines(make_record(tmp_path, {"fmix(alpha=0.2)": {0: 0.5}, "my.code:make": {0: 0.5}}), {})
    assert list(found) == ["FMix (alpha=0.2)", "my.code:make"]


# curves


def test_one_line_a_classifier_in_its_augmentations_colour_named_once(record):
    (plot,) = plots(record, {})
    axes = plot.figure.axes
    assert [axis.get_title(loc="left") or axis.get_title() for axis in axes] == list(PANELS.values())
    palette = {
        arm.augmentation: colour for arm, colour in colours([Arm("a study", name) for name in ACCURACIES]).items()
    }
    for axis in axes:
        assert [line.get_color() for line in axis.lines] == [palette[name] for name in ACCURACIES for _ in range(3)]
        named = [line.get_label() for line in axis.lines if not line.get_label().startswith("_")]
        assert named == ["Baseline", "MixUp", "FMix"]
    (legend,) = plot.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["Baseline", "MixUp", "FMix"]


def test_the_curves_are_those_of_the_histories(record):
    (plot,) = plots(record, {})
    loss, nll, accuracy = (axis.lines[3] for axis in plot.figure.axes)  # the first of mixup
    assert list(loss.get_xdata()) == [1, 2]
    assert list(loss.get_ydata()) == [2.0, 1.0]
    assert list(nll.get_ydata()) == [2.0, 1.0]
    assert list(accuracy.get_ydata()) == [0.92, 0.92]


def test_brought_networks_have_a_table_and_no_curves(tmp_path):
    record = make_record(tmp_path, ACCURACIES, kind="classifier-load")
    assert plots(record, {}) == []
    assert lines(record, {})["MixUp"]["Accuracy (%)"] == "93.0 ± 1.0"


# Two networks of a name have no seed in common with the baseline's two: 0 and 1 are the places they were given in.
def test_brought_networks_are_not_told_to_share_seeds_with_the_baseline(tmp_path):
    (table,) = tables(make_record(tmp_path, ACCURACIES, kind="classifier-load"), {})
    assert "of the same seed" not in table.caption


# the page


def test_the_page_shows_the_papers_values_for_its_data_alone(record, tmp_path):
    text = write_report(record, tmp_path / "cifar.html").read_text(encoding="utf-8")
    assert "94.63 ± 0.21" in text
    assert "Training curves of the classifiers" in text
    other = replace(record, settings={**record.settings, "data": "photos"})
    text = write_report(other, tmp_path / "photos.html").read_text(encoding="utf-8")
    assert "94.63" not in text
    assert re.search(r"91\.0 ± 1\.0", text)


# several data sets


def test_several_data_sets_are_lines_and_the_papers_stand_below_their_own(tmp_path):
    """Of Fashion-MNIST there is no MixUp here, of made-up data nothing in the paper."""
    few = {name: ACCURACIES[name] for name in ("baseline", "fmix")}
    parts = [
        make_record(tmp_path / "one", ACCURACIES),
        make_record(tmp_path / "two", few, data="fashion_mnist", name="clothes"),
        make_record(tmp_path / "three", few, data="own:data", name="mine"),
    ]
    record = combine(parts, mixed=True)
    printed = paper.values_of("classifier", paper.setups_of(record), record.arms)
    table, *_ = tables(in_family(record, "classifier", figures), printed)
    assert table.header == ("Data", "Network", "", "Baseline", "MixUp", "FMix")
    assert table.rows == (
        ("cifar10", "preact-resnet18", "here", "91.0 ± 1.0", "93.0 ± 1.0", "90.7 ± 1.5"),
        ("", "", "paper", "94.63 ± 0.21", "95.66 ± 0.11", "96.14 ± 0.10"),
        ("fashion_mnist", "preact-resnet18", "here", "91.0 ± 1.0", "—", "90.7 ± 1.5"),
        ("", "", "paper", "95.70 ± 0.09", "—", "96.36 ± 0.03"),
        ("own:data", "preact-resnet18", "here", "91.0 ± 1.0", "—", "90.7 ± 1.5"),
    )
    page = write_report(record, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "on cifar10, fashion_mnist and own:data" in page


def test_each_data_set_is_held_against_its_own_claims_and_is_no_scale_of_another(tmp_path):
    """FMix leads by 1.9 points and more on Fashion-MNIST; on CIFAR-10 it is below the baseline."""
    leading = dict.fromkeys(("baseline", "mixup", "cutmix"), ACCURACIES["baseline"]) | {"fmix": ACCURACIES["mixup"]}
    behind = dict.fromkeys(("baseline", "mixup", "cutmix"), ACCURACIES["mixup"]) | {"fmix": ACCURACIES["baseline"]}
    record = combine(
        [
            make_record(tmp_path / "one", behind),
            make_record(tmp_path / "two", leading, data="fashion_mnist", name="clothes", epochs=8),
        ],
        mixed=True,
    )
    content = collect(record)
    judged = {(one.study, one.claim.text): one.verdict for one in content.claims if one.verdict != "not run"}
    assert judged["clothes", "fashion_mnist, preact-resnet18: Test accuracy: FMix above all others"] == "agrees"
    order = "Test accuracy: FMix, CutMix, MixUp, baseline, in that order"
    assert judged["a study", f"cifar10, preact-resnet18: {order}"] == "disagrees"
    assert scale(record, content.claims[-1]) == "all training images, 8 epochs, 3 seeds, 1,000 test images"
    assert not settings_varied(record)
    assert "on fashion_mnist reaches 91.00% where the paper's has 95.70%" in content.warning
    assert "on cifar10" not in content.warning, "93 of 94.63"
