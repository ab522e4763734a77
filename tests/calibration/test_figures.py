"""Tables and plots from rows written by hand, so that every cell can be."""

import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest
from helpers import headings_of
from matplotlib.figure import Figure
from terms import in_family

from mixlens.analysis.interface import Printed, Row
from mixlens.analysis.presentation.svg import plain_svg, svg
from mixlens.analysis.store.record import StudyRecord, TaskRecord
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import ENVIRONMENT, Run
from mixlens.calibration import figures
from mixlens.calibration.config import SOFTNESS
from mixlens.calibration.figures import ENOUGH_IMAGES, measured, plots, tables
from mixlens.reports import paper
from mixlens.reports.report import write_report

SMOOTHING = (0.05, 0.5)
PRINTED = {"baseline": {"human_model": Printed(0.716, 0.032, 3, None, "Table 6")}}
# augmentation → seed → D(human‖model) as trained; MixUp's is 0.3 below the baseline's give or take 0.01
HUMAN_MODEL = {"baseline": (0.70, 0.72, 0.74), "mixup": (0.39, 0.42, 0.45)}
# after scaling both are alike: MixUp's minus the baseline's is +0.02, 0, −0.02
SCALED = {"baseline": (0.30, 0.32, 0.34), "mixup": (0.32, 0.32, 0.32)}
# scaled to people: as scaled, but MixUp's minus the baseline's is −0.10, −0.11, −0.12
TO_PEOPLE = {"baseline": (0.30, 0.32, 0.34), "mixup": (0.20, 0.21, 0.22)}
BINS = {
    "as trained": ([np.nan, 0.3, 0.9], [np.nan, 0.5, 0.7], [0, 400, 600]),
    "scaled": ([0.2, 0.5, 0.8], [0.25, 0.5, 0.75], [200, 400, 400]),
}


STRATA = {
    "unanimous": (0.5, 500, "people's entropy is 0"),
    "low": (1.0, 300, "people's entropy is above 0, at most 0.2 nats"),
    "high": (2.0, 200, "people's entropy is above 0.2 nats"),
}


def rows_of(name, augmentation, seed, human):
    """What the section's run writes, with round numbers."""

    def row(quantity, value, *, stderr=0.01, n=1000, note="", **params):
        facts = {"section": "calibration", "dataset": "tiny", "split": "test", "model": "preact-resnet18", "n": n}
        facts |= {"augmentation": augmentation, "seed": seed, "stderr": stderr, "note": note}
        return Row(run=name, study="s", quantity=quantity, value=value, unit="nats", params=params, **facts)

    step = 0.01 * seed
    found = []
    softness = {"as trained": (HUMAN_MODEL, 0.0), "scaled": (SCALED, 0.1), "scaled to people": (TO_PEOPLE, 0.15)}
    if human == "none":
        del softness["scaled to people"]
    for temperature, (divergences, part) in softness.items():
        own = {"temperature": temperature}
        if part:
            found.append(row("temperature", 1.4 + part + step, stderr=None, **own))
        found += [
            row("nll", 0.5 - part + step, stderr=0.02, **own),
            row("brier", 0.3 - part, **own),
            row("entropy_model", 0.2 + part, **own),
            row("ece", 0.05 - part / 4 + step, bins=3, **own),
            row("adaptive_ece", 0.06 - part / 4, bins=3, **own),
            row("smooth_ece", 0.04 - part / 4, **own),
            row("classwise_ece", 0.02 - part / 10, bins=3, **own),
        ]
        if human == "none":
            continue
        divergence = divergences[augmentation.partition("(")[0]][seed]
        for stratum, (factor, images, bounds) in STRATA.items():
            if human != "unanimous" or stratum == "unanimous":
                inside = {"stratum": stratum, "n": images, "note": f"images on which {bounds}", "stderr": 9.0}
                found.append(row("human_model", factor * divergence, smoothing=0.0, **own, **inside))
        found += [
            row("human_model", divergence, stderr=0.015, smoothing=0.0, **own),
            row("soft_cross_entropy", 0.9 - part, **own),
            row("jensen_shannon", 0.08, **own),
            row("total_variation", 0.15, **own),
            row("entropy_correlation", 0.4 + step, **own),
        ]
        if human != "unanimous":
            found.append(row("second_best", 0.5 + step, n=700, **own))
        if human == "probabilities":
            found.append(row("model_human", 2.0 + part, smoothing=0.0, **own))
            continue
        found.append(row("model_human_infinite", 0.99 + step / 10, smoothing=0.0, **own))
        for a in SMOOTHING:
            found.append(row("human_model", divergence / 2, smoothing=a, **own))
            found.append(row("model_human", 1 + a + part + step, smoothing=a, **own))
    if human != "none":
        found.append(row("entropy_people", 0.2222))
    if human in ("votes", "unanimous"):
        found += [row("split_half", 0.3 - a / 2, smoothing=a) for a in SMOOTHING]
    return found


@pytest.fixture
def study(tmp_path):
    """Makes a study's record of runs that nobody ran."""

    def make(augmentations=("baseline", "mixup"), seeds=3, human="votes", data="tiny", without=()):
        made = []
        for augmentation in augmentations:
            for seed in range(seeds):
                if (augmentation, seed) in without:
                    continue
                name = f"calibration-measure-{len(made):016x}"
                run = Run(tmp_path / "runs" / name)
                run.path.mkdir(parents=True)
                write_rows(run, rows_of(name, augmentation, seed, human), 1.0)
                arrays = {
                    f"{temperature}:{part}": np.array(values, float)
                    for temperature, bins in BINS.items()
                    for part, values in zip(("confidence", "accuracy", "count"), bins, strict=True)
                }
                terms = "nll" if human == "none" else "human_model"
                arrays |= {
                    f"{row.params['temperature']}:{terms}": np.full(50, row.value)
                    for row in rows_of(name, augmentation, seed, human)
                    if row.quantity == terms and "stratum" not in row.params and not row.params.get("smoothing")
                }
                if human != "none":
                    arrays["temperatures"] = np.array([0.5, 1.0, 2.0])
                    smoothings = SMOOTHING if human != "probabilities" else ()
                    for key in ("curve:human_model", *(f"curve:model_human:{a:g}" for a in smoothings)):
                        arrays[key] = np.array([0.6, 0.4, 0.5]) + seed / 100
                run.write_arrays(arrays)
                run.write_json(ENVIRONMENT, {"torch": "2.9"})
                made.append(
                    TaskRecord(name, "calibration-measure", "calibration", f"measure {augmentation}", (), "done")
                )
        settings = {
            "data": data,
            "seeds": list(range(seeds)),
            "augmentations": augmentations,
            "train_size": None,
            "sections": ["calibration"],
        }
        folder = tmp_path / "study"
        folder.mkdir()
        command = "mixlens calibration"
        return StudyRecord(folder, "s", command, settings, "2026-01-01T00:00:00+00:00", tmp_path / "runs", tuple(made))

    return make


def of(record, printed=None):
    """The record's tables by name."""
    made = tables(in_family(record, "calibration", figures), printed or {})
    for table in made:
        assert all(len(row) == len(table.header) for row in table.rows), table.name
        assert table.title
        assert table.caption
        cells = " ".join([*table.header, *(cell for row in table.rows for cell in row)])
        assert not re.search(r"\bnan\b", cells)
        assert "not a number" not in cells
    return {table.name.removeprefix("calibration-"): table for table in made}


# Table 6


def test_the_tables_of_a_study_with_votes(study):
    assert list(of(study())) == ["table-6", "orders", "differences", "temperatures", "strata", "agreement", "labels"]


def test_both_directions_at_a_few_temperatures(study):
    """Curves are stored at ½, 1 and 2; the nearest stand in the columns. 0.6, 0.4, 0.5 and 0.01 more for each seed."""
    table = of(study())["temperatures"]
    assert table.header == ("Network and direction", *(f"T = {t}" for t in ("0.5", "0.5", "0.5", "1", "1", "2", "2")))
    assert table.rows[0] == ("Baseline, D(human‖model)", "0.610", "0.610", "0.610", "0.410", "0.410", "0.510", "0.510")
    assert [row[0] for row in table.rows[:3]] == [
        "Baseline, D(human‖model)",
        "Baseline, D(model‖human), a = 0.05",
        "Baseline, D(model‖human), a = 0.5",
    ]


def test_both_directions_by_hand(study):
    table = of(study())["table-6"]
    assert table.title == "Divergence from people (the paper’s Table 6)"
    assert table.header == (
        "Augmentation",
        "D(human‖model)",
        "D(model‖human), a = 0",
        "D(model‖human), a = 0.05",
        "D(model‖human), a = 0.5",
    )
    # D(model‖human) is 1 + a, and 0.01 more for each seed; infinite on 99%, 99.1% and 99.2% of the images
    assert table.rows == (
        ("Baseline", "0.720 ± 0.020", "∞ (99.1% of images)", "1.060 ± 0.010", "1.510 ± 0.010"),
        ("MixUp", "0.420 ± 0.030", "∞ (99.1% of images)", "1.060 ± 0.010", "1.510 ± 0.010"),
        ("People, half against half", "—", "—", "0.275", "0.05"),
    )
    assert "1,000 test images, over which the standard error of D(human‖model) is at most 0.015." in table.caption
    assert "(c + a)/(n + Ca)" in table.caption
    assert "paper" not in table.caption


def test_the_papers_column_stands_beside_the_direction_its_size_fits(study):
    table = of(study(), PRINTED)["table-6"]
    assert table.header[1:4] == ("D(human‖model)", "paper", "D(model‖human), a = 0")
    assert [row[2] for row in table.rows] == ["0.716 ± 0.032", "—", "—"]
    assert [row[1] for row in table.rows] == ["0.720 ± 0.020", "0.420 ± 0.030", "—"]
    assert "The paper prints one direction" in table.caption


@pytest.mark.parametrize(("data", "shown"), [("cifar10", True), ("photos", False), ("my_code:cifar10", False)])
def test_only_cifar10_has_the_papers_numbers_beside_it(study, tmp_path, data, shown):
    page = write_report(study(data=data), tmp_path / "report.html").read_text(encoding="utf-8")
    assert ("0.716 ± 0.032" in page) == shown
    assert ("0.239 ± 0.005" in page) == shown
    assert ("paper" in headings_of(page)) == shown
    assert "Divergence from people (the paper’s Table 6)" in page


def test_what_the_paper_prints():
    """Table 6 of the paper, by hand; one FMix, which the published code made."""
    printed = {name: found["human_model"][:3] for name, found in paper.VALUES["calibration"].items()}
    assert printed == {
        "baseline": (0.716, 0.032, 3),
        "mixup": (0.239, 0.005, 3),
        "cutmix": (0.211, 0.005, 3),
        "fmix": (0.220, 0.009, 3),
        "fmix-official": (0.220, 0.009, 3),
    }


def test_probabilities_have_a_finite_direction_and_no_halves(study):
    table = of(study(human="probabilities"))["table-6"]
    assert table.header == ("Augmentation", "D(human‖model)", "D(model‖human), a = 0")
    assert table.rows[0] == ("Baseline", "0.720 ± 0.020", "2 ± 0")
    assert table.rows[-1] == ("People, half against half", "—", "—")


def test_a_single_seed_has_no_spread(study):
    made = of(study(seeds=1))
    assert made["table-6"].rows[0][1:4] == ("0.7", "∞ (99.0% of images)", "1.05")
    assert made["differences"].rows == (
        ("MixUp", *(f"{one} [{one}, {one}] (these networks)" for one in ("−0.31", "+0.02", "−0.1"))),
    )
    assert made["orders"].rows[0] == ("D(human‖model)", "MixUp ~ Baseline", "Baseline ~ MixUp", "MixUp ~ Baseline")
    assert made["labels"].rows[1][:3] == ("Baseline, scaled", "1.5", "0.4")


# what softness alone explains


def test_differences_are_taken_within_seeds(study):
    """−0.31, −0.30, −0.29: sd 0.01, t with two degrees 4.303, half the interval 0.0248; scaled 0.02, 0, −0.02.

    Scaled to people −0.10, −0.11, −0.12: a mean of −0.11 with the first one's interval.
    """
    table = of(study())["differences"]
    assert table.header == ("Augmentation", *SOFTNESS)
    differences = ("−0.300 [−0.325, −0.275] ↓ p < .001", "0.000 [−0.050, +0.050]", "−0.110 [−0.135, −0.085]")
    assert table.rows == (("MixUp", *differences),)
    assert "no matter of softer outputs" in table.caption


@pytest.mark.parametrize(("lost", "means"), [(2, ("−0.305", "+0.01", "−0.105")), (0, ("−0.295", "−0.01", "−0.115"))])
def test_a_seed_without_its_baseline_is_left_out_of_the_differences(study, lost, means):
    table = of(study(without=[("baseline", lost)]))["differences"]
    assert table.rows == (("MixUp", *(f"{mean} [{mean}, {mean}] (these networks)" for mean in means)),)


def test_a_study_without_the_baseline(study, tmp_path):
    record = study(augmentations=("mixup",))
    made = of(record)
    assert made["table-6"].rows[0][0] == "MixUp"
    assert not {"differences", "orders"} & set(made)
    assert write_report(record, tmp_path / "report.html").is_file()


def test_a_study_of_the_baseline_alone(study, tmp_path):
    record = study(augmentations=("baseline",))
    assert [row[0] for row in of(record)["table-6"].rows] == ["Baseline", "People, half against half"]
    assert not {"differences", "orders"} & set(of(record))
    assert write_report(record, tmp_path / "report.html").is_file()


def test_an_augmentations_settings_are_part_of_its_name(study):
    made = of(study(augmentations=("baseline", "mixup(alpha=0.2)")), PRINTED)
    assert made["table-6"].rows[1][:3] == ("MixUp (alpha=0.2)", "0.420 ± 0.030", "—")
    assert made["agreement"].rows[3][0] == "MixUp (alpha=0.2), as trained"


# the order under each choice, and strata


def test_orders_by_hand(study):
    """As trained and scaled to people MixUp is closer on every pair; else both are even."""
    table = of(study())["orders"]
    assert table.header == ("Direction", *SOFTNESS)
    closer, even = "MixUp < Baseline", "Baseline ~ MixUp"
    assert table.rows == (
        ("D(human‖model)", closer, even, closer),
        ("D(model‖human), a = 0.05", even, even, even),
        ("D(model‖human), a = 0.5", even, even, even),
        ("D(human‖model), unanimous", closer, even, closer),
        ("D(human‖model), low", closer, even, closer),
        ("D(human‖model), high", closer, even, closer),
    )
    assert "The paper" not in table.caption


def test_the_papers_order_stands_beside_where_it_has_one(study):
    record = study()
    assert "The paper" not in of(record, PRINTED)["orders"].caption, "of the baseline alone"
    printed = PRINTED | {"mixup": {"human_model": Printed(0.239, 0.005, 3, None, "Table 6")}}
    assert of(record, printed)["orders"].caption.endswith(" The paper's means: MixUp, Baseline.")


def test_the_order_is_of_neighbours(study):
    """Three arms: MixUp's two settings are one network's, so that only the baseline stands apart."""
    table = of(study(augmentations=("baseline", "mixup", "mixup(alpha=0.2)")))["orders"]
    assert table.rows[0][1] == "MixUp ~ MixUp (alpha=0.2) < Baseline"


def test_a_network_without_a_temperature_has_no_place_in_the_order_of_scaled_ones(study):
    record = study()
    for task in record.tasks[3:]:
        run = record.run(task.name)
        content = run.read_result()
        content["rows"] = [row for row in content["rows"] if row["params"].get("temperature") != "scaled"]
        run.write_result(content)
    made = of(record)
    assert made["orders"].rows[0] == ("D(human‖model)", "MixUp < Baseline", "Baseline", "MixUp < Baseline")
    assert made["labels"].rows[4][:3] == ("MixUp, scaled", "none fits", "—")


def test_strata_by_hand(study):
    """Half, all and twice of D(human‖model): 0.70, 0.72, 0.74."""
    table = of(study())["strata"]
    assert table.header == ("Augmentation", "unanimous (500 images)", "low (300 images)", "high (200 images)")
    assert table.rows[0] == ("Baseline, as trained", "0.360 ± 0.010", "0.720 ± 0.020", "1.44 ± 0.04")
    assert [row[0] for row in table.rows[:3]] == [f"Baseline, {softness}" for softness in SOFTNESS]
    assert table.caption.endswith(
        "Unanimous: images on which people's entropy is 0; low: images on which people's entropy is above 0, at most "
        "0.2 nats; high: images on which people's entropy is above 0.2 nats."
    )


def test_where_people_all_agree_there_is_one_stratum(study):
    made = of(study(human="unanimous"))
    assert made["strata"].header == ("Augmentation", "unanimous (500 images)")
    assert [row[0] for row in made["orders"].rows][-1] == "D(human‖model), unanimous"


# what is compared


@pytest.mark.parametrize(
    ("human", "names"),
    [
        ("votes", ["human_model", "human_model_scaled", "human_model_scaled_to_people"]),
        ("none", ["nll", "nll_scaled"]),
    ],
)
def test_what_studies_are_compared_in(study, human, names):
    found = measured(study(human=human))
    assert [quantity.quantity for quantity in found] == names
    assert [bool(quantity.front) for quantity in found] == [True] + [False] * (len(names) - 1)
    assert all(len(quantity.terms) == 6 for quantity in found)


# agreement and calibration


def test_agreement_by_hand(study):
    table = of(study())["agreement"]
    assert table.header == (
        "Augmentation",
        "Jensen–Shannon",
        "total variation",
        "H(human, model)",
        "entropy of the model",
        "rank correlation of entropies",
        "second best (%)",
    )
    assert [row[0] for row in table.rows] == [
        "Baseline, as trained",
        "Baseline, scaled",
        "Baseline, scaled to people",
        "MixUp, as trained",
        "MixUp, scaled",
        "MixUp, scaled to people",
    ]
    # equal over seeds, or 0.40, 0.41, 0.42 and 50%, 51%, 52%
    assert table.rows[0][5:] == ("0.410 ± 0.010", "51.0 ± 1.0")
    assert [cell.split(" ")[0] for cell in table.rows[0][1:5]] == ["0.08", "0.15", "0.9", "0.2"]
    assert [cell.split(" ")[0] for cell in table.rows[1][3:5]] == ["0.8", "0.3"]
    assert "People's own entropy is 0.222." in table.caption


def test_where_people_all_agree_there_is_no_second_best(study):
    table = of(study(human="unanimous"))["agreement"]
    assert {row[-1] for row in table.rows} == {"—"}


def test_calibration_against_the_labels_by_hand(study):
    table = of(study())["labels"]
    errors = ("ECE (%)", "adaptive ECE (%)", "smooth ECE (%)", "classwise ECE (%)")
    assert table.header == ("Augmentation", "T", "NLL", "Brier", *errors)
    assert len(table.rows) == 6
    # NLL 0.50, 0.51, 0.52, after scaling 0.1 less; ECE 5%, 6%, 7%, after scaling 2.5 points less; T 1.50, 1.51, 1.52
    assert table.rows[0][:3] == ("Baseline, as trained", "1", "0.510 ± 0.010")
    assert table.rows[0][4] == "6.0 ± 1.0"
    assert table.rows[1][:3] == ("Baseline, scaled", "1.510 ± 0.010", "0.410 ± 0.010")
    assert table.rows[1][4] == "3.5 ± 1.0"
    assert [row[3].split(" ")[0] for row in table.rows[:2]] == ["0.3", "0.2"]
    assert [row[5].split(" ")[0] for row in table.rows[:2]] == ["6", "3.5"]
    assert [row[6].split(" ")[0] for row in table.rows[:2]] == ["4", "1.5"]
    assert [row[7].split(" ")[0] for row in table.rows[:2]] == ["2", "1"]
    assert table.rows[2][:2] == ("Baseline, scaled to people", "1.560 ± 0.010")
    assert "1,000 test images, over which the standard error of NLL is at most 0.02." in table.caption
    assert "no human labels" not in table.caption


def test_without_people_the_report_says_so(study, tmp_path):
    record = study(human="none")
    made = of(record, PRINTED)
    assert list(made) == ["labels"]
    assert made["labels"].caption.endswith(
        "There are no human labels for this data set, so agreement with people is left out."
    )
    page = write_report(record, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "There are no human labels for this data set" in page
    assert "Table 6" not in page


def test_rows_of_other_sections_are_not_read(study):
    record = study(seeds=1)
    before = tables(record, {})
    run = record.run("classifier-measure-0")
    run.path.mkdir()
    rows = rows_of("classifier-measure-0", "baseline", 0, "votes")
    content = [{**vars(row), "section": "classifier", "value": 99.0} for row in rows]
    (run / "result.json").write_text(json.dumps({"rows": content, "seconds": 1}), encoding="utf-8")
    other = TaskRecord("classifier-measure-0", "classifier-measure", "classifier", "", (), "done")
    assert tables(replace(record, tasks=(*record.tasks, other)), {}) == before


# plots


def curves(axis):
    """Label → points, the diagonal left out."""
    return [(line.get_label(), line.get_xydata()) for line in axis.get_lines()[1:]]


def test_reliability_diagrams_are_the_stored_bins(study):
    _, plot = plots(study(), {})
    assert plot.name == "calibration-reliability"
    assert isinstance(plot.figure, Figure)
    assert [axis.get_title(loc="left") for axis in plot.figure.axes] == ["as trained", "scaled"]
    for axis, temperature in zip(plot.figure.axes, ("as trained", "scaled"), strict=True):
        assert np.array_equal(axis.get_lines()[0].get_xydata(), [[0, 0], [1, 1]])
        confidence, accuracy, count = (np.array(part) for part in BINS[temperature])
        found = curves(axis)
        assert len(found) == 6, "a line for each network"
        for _, points in found:
            assert np.array_equal(points, np.column_stack([confidence, accuracy])[count > 0]), "no empty bins"
        assert (axis.get_xlim(), axis.get_ylim()) == ((0, 1), (0, 1))
        assert axis.get_xlabel() == "confidence"
    assert plot.figure.axes[0].get_ylabel() == "accuracy"


def test_bins_of_few_images_are_hollow_and_no_line_leads_to_them(study, monkeypatch):
    monkeypatch.setitem(BINS, "scaled", ([0.2, 0.5, 0.8], [0.25, 0.5, 0.75], [ENOUGH_IMAGES - 1, ENOUGH_IMAGES, 400]))
    _, plot = plots(study(seeds=1), {})
    line, few = plot.figure.axes[1].get_lines()[1:3]
    assert line.get_xdata().tolist() == [0.5, 0.8]
    assert (few.get_xdata().tolist(), few.get_linestyle(), few.get_markerfacecolor()) == ([0.2], "None", "none")
    assert f"fewer than {ENOUGH_IMAGES} images" in plot.caption


def test_each_augmentation_is_named_once_and_has_its_colour(study):
    _, plot = plots(study(), {})
    named = [name for name, _ in curves(plot.figure.axes[0]) if not name.startswith("_")]
    assert named == ["Baseline", "MixUp"]
    (legend,) = plot.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == named
    colours = [line.get_color() for line in plot.figure.axes[1].get_lines()[1:]]
    assert len(set(colours)) == 2
    assert colours == [colours[0]] * 3 + [colours[-1]] * 3


def test_the_plot_is_the_same_with_the_papers_numbers_and_without_people(study):
    record = study(human="none")
    for printed in ({}, PRINTED):
        plot = plots(record, printed)[-1]
        assert len(curves(plot.figure.axes[0])) == 6


def test_the_figure_has_words_for_who_cannot_see_it(study):
    _, plot = plots(study(seeds=1), {})
    drawn = svg(plot, plain_svg(plot))
    assert plot.alt in drawn
    assert 'role="img"' in drawn
    assert not re.search(r"(?<![\w-])NaN(?![\w-])", drawn)
    assert math.isfinite(plot.figure.get_figwidth())


def test_softness_is_drawn_in_both_directions_with_a_dot_for_each_network(study):
    record = study(seeds=2)
    first, _ = plots(record, {})
    axes = first.figure.axes
    assert [axis.get_title(loc="left") for axis in axes] == [
        "D(human‖model) (nats)",
        "D(model‖human), a = 0.5 (nats)",
    ]
    for axis in axes:
        lines = axis.get_lines()
        assert len(lines) == 2 * 2 * 2  # a curve and a dot for each network
        assert [float(line.get_ydata()[0]) for line in lines[1::2]] == pytest.approx([0.40, 0.41, 0.40, 0.41])


def test_probabilities_of_people_are_drawn_in_one_direction(study):
    first, _ = plots(study(human="probabilities"), {})
    assert len(first.figure.axes) == 1
