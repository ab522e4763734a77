import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from helpers import checkerboards, record_of, tiny_dataset, tiny_study
from matplotlib.figure import Figure
from scipy.stats import binom
from scipy.stats import t as student
from terms import in_family

from mixlens.analysis.presentation.numbers import difference, interval, number
from mixlens.analysis.store.record import combine
from mixlens.analysis.store.results import read_rows
from mixlens.reports.compare import compare_studies
from mixlens.reports.report import write_report
from mixlens.robustness import figures
from mixlens.robustness.comparisons import title
from mixlens.robustness.curves import half
from mixlens.robustness.figures import _epsilon_axis, measured, plots, tables
from mixlens.robustness.measures import SIGNIFICANT, WORST

TEST_IMAGES = 48
EPSILONS = [0.0, 0.01, 0.03, 0.1]
NAMES = [
    "robustness-summary",
    "robustness-worst-case",
    "robustness-whole-curves",
    "robustness-differences",
    "robustness-pairs",
    "robustness-signs",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Runs shared by all studies here: what was trained once is not trained again."""
    return tmp_path_factory.mktemp("figures")


@pytest.fixture(scope="module")
def study(root):
    """Makes a study's record: three seeds of the baseline and MixUp under the attacks of the paper, unless told."""
    data = tiny_dataset(checkerboards(64, 1), checkerboards(TEST_IMAGES, 2))
    known = {}

    def make(**values):
        if str(values) in known:
            return known[str(values)]
        classifier = {
            "model": "preact-resnet18(width=4)",
            "epochs": 6,
            "learning_rate": 0.05,
            "batch_size": 16,
            "precision": "fp32",
        }
        attacks = ["fgsm", "pgd(steps=3)", "bim", "uniform-noise", "deepfool"]
        robustness = {"epsilons": EPSILONS, "attacks": attacks} | values.get("robustness", {})
        base = {"name": f"s{len(known)}", "seeds": 3}
        settings = {"classifier": classifier | {"crop": 0, "flip": False}, "robustness": robustness}
        record = record_of(root, tiny_study("robustness", **{**base, **values, **settings}), data)
        assert all(task.state == "done" for task in record.tasks)
        return known.setdefault(str(values), record)

    return make


@pytest.fixture(scope="module")
def full(study):
    return study()


def of(record):
    """The record's tables by name."""
    made = tables(in_family(record, "robustness", figures), {})
    names = [table.name for table in made]
    assert names == [name for name in NAMES if name in names]
    assert {"robustness-summary", "robustness-worst-case", "robustness-signs"} <= set(names)
    for table in made:
        assert all(len(row) == len(table.header) for row in table.rows), table.name
        assert table.title
        assert table.caption
        assert "nan" not in " ".join([*table.header, *(cell for row in table.rows for cell in row)])
    return {table.name.removeprefix("robustness-"): table for table in made}


def values(record, quantity="accuracy"):
    """One line for each row: augmentation, seed, attack, epsilon, value."""
    rows = [row for row in record.rows() if row.quantity == quantity]
    return pd.DataFrame(
        [
            (row.augmentation, row.seed, row.params["attack"], row.params.get("epsilon"), row.value, row.run)
            for row in rows
        ],
        columns=["augmentation", "seed", "attack", "epsilon", "value", "run"],
    )


def pick(found, **wanted):
    """The lines of a table in which these columns hold these values."""
    for column, value in wanted.items():
        found = found[found[column] == value]
    return found


def spread(found, decimals=None):
    return number(found.mean(), found.std(ddof=1) if len(found) > 1 else None, decimals)


# tables


def test_the_summary(full):
    table = of(full)["summary"]
    accuracy = values(full)
    assert table.header[:3] == ("Augmentation", "Accuracy (%)", "FGSM, median ε")
    assert table.header[-2:] == ("Worst case, median ε", "seeds")
    assert [row[0] for row in table.rows] == ["Baseline", "MixUp"]
    shown = ["fgsm", "pgd(steps=3)", "bim", "uniform-noise", "deepfool", WORST]
    for row, augmentation in zip(table.rows, ("baseline", "mixup"), strict=True):
        clean = pick(accuracy, augmentation=augmentation, epsilon=0, attack=WORST)["value"]
        assert row[1] == spread(100 * clean)
        for cell, attack in zip(row[2:-1], shown, strict=True):
            curves = pick(accuracy, augmentation=augmentation, attack=attack).groupby("seed")["value"]
            found = pd.Series([half(EPSILONS, curve.tolist()) for _, curve in curves], dtype=float).dropna()
            reached = f" (in {len(found)} of 3)" if len(found) < 3 else ""
            assert cell == (spread(found) + reached if len(found) else "> all")
        assert row[-1] == "3"
    assert "> all" in table.rows[0] + table.rows[1], "no noise of this size breaks half of the images"
    assert "48 test images, protocol paper" in table.caption
    assert "L∞ norm" in table.caption


def test_the_worst_case(full):
    table = of(full)["worst-case"]
    accuracy = pick(values(full), attack=WORST)
    assert table.header == ("ε", "Baseline", "MixUp")
    assert [row[0] for row in table.rows] == ["0", "0.01", "0.03", "0.1"]
    for row, epsilon in zip(table.rows, EPSILONS, strict=True):
        for cell, augmentation in zip(row[1:], ("baseline", "mixup"), strict=True):
            found = 100 * pick(accuracy, augmentation=augmentation, epsilon=epsilon)["value"]
            assert cell == spread(found, 1)
    rows = [row for row in full.rows() if row.params.get("attack") == WORST and row.quantity == "accuracy"]
    assert f"at most ± {50 * max(row.ci_high - row.ci_low for row in rows):.1f} points" in table.caption


def broken(record, augmentation, seed, attack, epsilon):
    """From the stored bits, by hand."""
    found = pick(values(record), augmentation=augmentation, seed=seed)
    bits = record.run(found["run"].iloc[0]).read_arrays("bits")["bits"][:, EPSILONS.index(epsilon)] == 1
    attacks = list(dict.fromkeys(found["attack"]))
    return bits.any(0) if attack == WORST else bits[attacks.index(attack)]


def test_differences_to_the_baseline(full):
    table = of(full)["differences"]
    accuracy = pick(values(full), augmentation="baseline")
    assert [row[0] for row in table.rows] == ["MixUp"]
    attacks = list(dict.fromkeys(accuracy["attack"]))
    assert len(table.header) == 1 + len(attacks)
    for heading, cell, attack in zip(table.header[1:], table.rows[0][1:], attacks, strict=True):
        curve = pick(accuracy, attack=attack).groupby("epsilon")["value"].mean()
        epsilon = (curve[1:] - curve[0.0] / 2).abs().idxmin()
        assert heading == f"{title(attack)}, ε = {epsilon:g} ({100 * curve[epsilon]:.0f}%)"
        changes, up, down, by_image = [], 0, 0, 0
        for seed in range(3):
            own, base = (broken(full, name, seed, attack, epsilon) for name in ("mixup", "baseline"))
            changes.append(100 * ((int(base.sum()) - int(own.sum())) / TEST_IMAGES))
            by_image = by_image + 100 * np.subtract(base, own, dtype=float) / 3
            discordant, fewer = (own != base).sum(), min((own & ~base).sum(), (~own & base).sum())
            p = min(1.0, 2 * binom.cdf(fewer, discordant, 0.5)) if discordant else 1.0
            up += p < SIGNIFICANT and changes[-1] > 0
            down += p < SIGNIFICANT and changes[-1] < 0
        changes = pd.Series(changes)
        over_seeds = student.ppf(0.975, 2) * changes.std(ddof=1) / math.sqrt(3)
        mean, width = changes.mean(), math.hypot(over_seeds, 1.959964 * by_image.std(ddof=1) / math.sqrt(TEST_IMAGES))
        text, _, count = cell.partition("; ")
        assert text == interval(mean, mean - width, mean + width), "an interval, and no arrow: it is not judged"
        assert count == f"{up} up, {down} down of 3"


def test_every_pair_stands_against_every_other(study):
    record = study(seeds=1, augmentations=["baseline", "mixup", "cutmix"])
    table = of(record)["pairs"]
    assert table.header == ("Augmentation", "Baseline", "MixUp", "CutMix")
    assert [row[0] for row in table.rows] == ["Baseline", "MixUp", "CutMix"]
    values = [
        [float(cell.split(" ")[0].replace("−", "-") or 0) if cell else 0.0 for cell in row[1:]] for row in table.rows
    ]
    assert np.array_equal(np.array(values), -np.array(values).T), "the row minus the column"


def test_signs(full):
    table = of(full)["signs"]
    rows = [row for row in full.rows() if row.quantity == "masking_sign"]
    if rows:
        assert [row[1] for row in table.rows] == [row.note for row in rows]
    else:
        assert table.rows == (("all", "none found", "—"),)


def test_signs_at_the_end_of_the_scale(study):
    """Twenty steps of nothing do not reach ε = 1: images are left unbroken where any image is allowed."""
    weak = {"attacks": ["pgd(steps=3,rel_stepsize=1e-6)", "uniform-noise"], "epsilons": [0.0, 1.0]}
    record = study(seeds=1, robustness=weak)
    signs = of(record)["signs"].rows
    rows = [row for row in record.rows() if row.quantity == "masking_sign"]
    assert rows
    assert {row[0] for row in signs} <= {"Baseline, seed 0", "MixUp, seed 0"}
    assert [(row[1], row[2]) for row in signs] == [(row.note, f"{100 * row.value:.1f}%") for row in rows]


# plots


def curves_of(record):
    """The figures of accuracy against ε."""
    return [plot for plot in plots(record, {}) if plot.name != "robustness-bands"]


def lines(axis):
    return {line.get_label(): line.get_xydata() for line in axis.get_lines() if not line.get_label().startswith("_")}


def test_curves(full):
    worst, attacks = curves_of(full)
    assert (worst.name, attacks.name) == ("robustness-worst", "robustness-attacks")
    accuracy = values(full)
    for plot, shown in (
        (worst, ["uniform-noise", "deepfool", WORST]),
        (attacks, ["fgsm", "pgd(steps=3)", "bim", "uniform-noise", "deepfool", WORST]),
    ):
        assert isinstance(plot.figure, Figure)
        axes = [axis for axis in plot.figure.axes if axis.get_visible()]
        assert [axis.get_title(loc="left") for axis in axes] == [title(attack) for attack in shown]
        for axis, attack in zip(axes, shown, strict=True):
            found = lines(axis)
            assert list(found) == ["Baseline", "MixUp"]
            for name, augmentation in (("Baseline", "baseline"), ("MixUp", "mixup")):
                own = pick(accuracy, augmentation=augmentation, attack=attack)
                mean = own.groupby("epsilon")["value"].mean()
                assert np.allclose(found[name], np.column_stack([EPSILONS, mean[EPSILONS]]))
            assert axis.get_ylim() == axes[0].get_ylim()
            assert axis.get_ylim()[0] == 0
            assert axis.get_ylim()[1] >= max(points[:, 1].max() for points in found.values())
        assert "standard deviation over training seeds" in plot.caption
        assert all(title(attack) in plot.alt for attack in shown)


def bands(axis):
    """Highest and lowest of each band at each ε."""
    found = []
    for collection in axis.collections:
        points = collection.get_paths()[0].vertices
        found.append({x: (ys.min(), ys.max()) for x in EPSILONS if len(ys := points[np.isclose(points[:, 0], x), 1])})
    return found


def test_bands_are_the_standard_deviation_over_seeds(full):
    _, plot = curves_of(full)
    accuracy = pick(values(full), augmentation="baseline", attack="fgsm").groupby("epsilon")["value"]
    band = bands(plot.figure.axes[0])[0]
    for epsilon, (low, high) in band.items():
        mean, sd = accuracy.mean()[epsilon], accuracy.std(ddof=1)[epsilon]
        assert (low, high) == pytest.approx((mean - sd, mean + sd))
    assert set(band) == set(EPSILONS)


def test_with_a_single_seed_bands_are_wilsons(study):
    record = study(seeds=1)
    for plot in curves_of(record):
        assert "Wilson's 95% interval over images" in plot.caption
    rows = {
        row.params["epsilon"]: row
        for row in record.rows()
        if row.quantity == "accuracy" and row.augmentation == "baseline" and row.params["attack"] == "fgsm"
    }
    for epsilon, (low, high) in bands(curves_of(record)[1].figure.axes[0])[0].items():
        assert (low, high) == pytest.approx((rows[epsilon].ci_low, rows[epsilon].ci_high))
    made = of(record)
    assert "±" not in "".join(made["worst-case"].rows[0]), "no spread of one seed"
    assert all("[" in cell and "of 1" in cell for cell in made["differences"].rows[0][1:])
    assert all(row[1].endswith("(these networks)") for row in made["whole-curves"].rows)
    assert made["summary"].rows[0][-1] == "1"


def test_the_axis_is_linear_to_the_first_epsilon(full):
    for plot in curves_of(full):
        axis = [axis for axis in plot.figure.axes if axis.get_visible()][-1]
        assert axis.get_xscale() == "symlog"
        assert [text.get_text() for text in axis.get_xticklabels()] == ["0", "0.01", "0.1"]
        assert axis.get_xlabel() == "ε"


def test_every_column_has_an_epsilon_axis(study):
    """Five panels in two rows of three: the third of the first row has none below it."""
    attacks = ["L2PGD(steps=3)", "FGM", "L2DeepFoolAttack(steps=20,candidates=3)", "L2AdditiveUniformNoiseAttack"]
    (plot,) = curves_of(study(seeds=1, robustness={"attacks": attacks, "epsilons": [0.0, 0.2, 1.0]}))
    assert [axis.get_visible() for axis in plot.figure.axes] == [True] * 5 + [False]
    assert [text.get_text() for text in plot.figure.axes[2].get_xticklabels()] == ["0", "0.3", "1"]
    assert [axis.get_xlabel() for axis in plot.figure.axes[:5]] == ["ε"] * 5


@pytest.mark.parametrize(
    ("kept", "end"),
    [
        ([0.9, 0.5, 0.2, 0.005, 0], 0.1),
        ([0.9, 0.5, 0.2, 0.1, 0.1], 1),
        ([0.9, 0.5, 0, 0.02, 0], 1),
        ([0.9, 0, 0, 0, 0], 0.1),
    ],
)
def test_an_axis_ends_where_nothing_is_left(kept, end):
    """The other augmentation has nothing left from the first ε on; a tick at ten times the first ε stays in sight."""
    epsilons = [0, 0.01, 0.03, 0.1, 1]
    rows = [("a", epsilon, value) for epsilon, value in zip(epsilons, kept, strict=True)]
    rows += [("b", epsilon, 0.0) for epsilon in epsilons]
    axis = Figure().subplots()
    _epsilon_axis(axis, pd.DataFrame(rows, columns=["arm", "epsilon", "value"]))
    assert axis.get_xlim()[1] == pytest.approx(1.15 * end)
    ticks = [float(text.get_text()) for text in axis.get_xticklabels()]
    assert ticks[0] == 0
    assert sum(0 < tick <= axis.get_xlim()[1] for tick in ticks) >= 2


# studies of other shapes


def drawn(record, folder):
    """Writes the whole report, and returns the section's tables."""
    page = write_report(record, folder / "report.html").read_text(encoding="utf-8")
    assert "Worst case over all attacks" in page
    return of(record)


def test_no_baseline(study, tmp_path):
    made = drawn(study(seeds=1, augmentations=["mixup"]), tmp_path)
    assert made["summary"].rows[0][0] == "MixUp"
    assert "differences" not in made, "there is nothing to differ from"


def test_the_baseline_alone(study, tmp_path):
    made = drawn(study(seeds=1, augmentations=["baseline"]), tmp_path)
    assert "differences" not in made
    assert made["worst-case"].header == ("ε", "Baseline")


def test_nested_worst(study, tmp_path):
    epsilons = [0.0, 0.01, 0.02, 0.03, 0.1]
    record = study(seeds=1, robustness={"protocol": "nested-worst", "epsilons": epsilons})
    made = drawn(record, tmp_path)
    assert made["summary"].header == ("Augmentation", "Accuracy (%)", "Worst case, median ε", "seeds")
    assert len(made["worst-case"].rows) == 5
    (plot,) = curves_of(record)
    assert plot.name == "robustness-attacks"
    assert [axis.get_title(loc="left") for axis in plot.figure.axes] == ["Worst case"]
    nested = of(study(seeds=1, robustness={"protocol": "nested", "epsilons": epsilons}))
    assert made["worst-case"].rows == nested["worst-case"].rows
    assert "protocol nested;" in nested["worst-case"].caption


def test_nested_worst_with_an_attack_that_met_every_image(study):
    """The cheapest attack is run on every image at the first ε, and is not the first of the bits."""
    record = study(seeds=1, robustness={"protocol": "nested-worst", "epsilons": [0.1]})
    assert of(record)["differences"].rows[0][0] == "MixUp"


def test_without_epsilon_0(study, tmp_path):
    made = drawn(study(seeds=1, robustness={"epsilons": [0.01, 0.1]}), tmp_path)
    assert float(made["summary"].rows[0][1]) > 50, "clean accuracy needs no ε of 0"
    assert [row[0] for row in made["worst-case"].rows] == ["0.01", "0.1"]


def test_epsilon_0_alone(study):
    record = study(seeds=1, augmentations=["mixup", "baseline"], robustness={"epsilons": [0.0], "attacks": ["fgsm"]})
    (plot,) = plots(record, {})
    plot.figure.draw_without_rendering()
    assert [len(data) for data in lines(plot.figure.axes[0]).values()] == [1, 1]


def test_when_nothing_breaks_half_of_the_images(study):
    record = study(seeds=1, augmentations=["mixup"], robustness={"epsilons": [0.0, 1e-6]})
    assert values(record)["value"].min() > 0.5, "a network that is mostly right"
    assert set(of(record)["summary"].rows[0][2:-1]) == {"> all"}


def test_attacks_of_ones_own(study, tmp_path):
    attacks = ["L2PGD(steps=3)", "FGM", "L2DeepFoolAttack(steps=20,candidates=3)", "L2AdditiveUniformNoiseAttack"]
    record = study(seeds=1, robustness={"attacks": attacks, "epsilons": [0.0, 0.2, 1.0]})
    made = drawn(record, tmp_path)
    headings = made["summary"].header[2:-1]
    assert headings[0] == "L2ProjectedGradientDescentAttack (steps=3), median ε"
    assert headings[2] == "L2DeepFoolAttack (candidates=3,steps=20), median ε"
    assert "(L2 norm" in made["summary"].caption
    (plot,) = curves_of(record)
    assert plot.name == "robustness-attacks", "the paper's panels have other attacks"


def test_a_seed_of_the_baseline_is_missing(study):
    """Two studies in one: MixUp's third seed has no partner and is left out of the differences."""
    record = study()
    lost = pick(values(record), augmentation="baseline", seed=2)["run"].iloc[0]
    partial = replace(record, tasks=tuple(task for task in record.tasks if task.name != lost))
    cells = of(partial)["differences"].rows[0][1:]
    assert all(cell.endswith("of 2") for cell in cells)
    assert all(row[1].endswith("(these networks)") for row in of(partial)["whole-curves"].rows)


@pytest.mark.parametrize(("count", "n"), [(11, 24), (9997, 10000)])
def test_seeds_that_agree_exactly_show_no_rounding(count, n):
    equal = pd.Series([100 * (count / n)] * 3)
    assert max(len(difference(equal)), len(spread(equal))) < 40
    assert len(spread(equal)) < 20


@pytest.mark.parametrize(
    ("attack", "shown"),
    [
        ("fgsm", "FGSM"),
        ("pgd(steps=100)", "PGD (steps=100)"),
        (WORST, "Worst case"),
        ("LinfAdamPGD(steps=20)", "LinfAdamPGD (steps=20)"),
    ],
)
def test_titles(attack, shown):
    assert title(attack) == shown


def test_the_rows_are_the_runs(full):
    assert not any(read_rows(full.run(task.name)) for task in full.done("robustness-sweep"))
    for task in full.done("robustness-measure"):
        assert read_rows(full.run(task.name))


# studies with other attacks and ε side by side


@pytest.fixture(scope="module")
def other(study):
    """The same networks at one ε of those and one of their own, under fewer attacks."""
    return study(robustness={"epsilons": [0.0, 0.01, 0.05], "attacks": ["fgsm", "deepfool"]})


@pytest.mark.parametrize("order", [1, -1])
def test_studies_with_other_attacks_and_epsilons_stand_side_by_side(study, other, order):
    records = [study(), other][::order]
    record = combine(records, mixed=True)
    found = {table.name: table for table in tables(in_family(record, "robustness", figures), {})}
    differences = {row[0]: row[1:] for row in found["robustness-differences"].rows}
    assert all("up" in cell for row in differences.values() for cell in row if cell != "—")
    assert plots(record, {})
    shown = {one.title: {arm.study for arm, _ in one.terms} for one in measured(record)}
    both = {records[0].name, records[1].name}
    assert shown["FGSM accuracy at ε = 0.01"] == both
    assert shown["FGSM accuracy at ε = 0.05"] == {other.name}
    assert shown["Worst case accuracy at ε = 0.03"] == {study().name}


@pytest.mark.parametrize("order", [1, -1])
def test_they_are_compared_at_an_epsilon_of_both(study, other, order):
    folders = [str(record.folder) for record in (study(), other)][::order]
    lines, left_out = compare_studies(*folders)
    assert {line.quantity.partition(" (")[0] for line in lines if "accuracy at" in line.quantity} <= {
        f"{attack} accuracy at ε = 0.01" for attack in ("FGSM", "DeepFool")
    }
    assert any(line.quantity.startswith("FGSM accuracy at ε = 0.01") for line in lines)
    (line,) = left_out
    assert line.startswith("Worst case accuracy at ε = 0.01: the worst of "), "of other attacks it is another quantity"
    assert "of deepfool, fgsm in the" in line


def test_worst_cases_of_the_same_attacks_are_compared(study):
    """In whatever order they were asked for."""
    turned = study(robustness={"epsilons": [0.0, 0.01, 0.05], "attacks": ["deepfool", "fgsm"], "seed": 1})
    same = study(robustness={"epsilons": [0.0, 0.01, 0.05], "attacks": ["fgsm", "deepfool"]})
    lines, left_out = compare_studies(str(turned.folder), str(same.folder))
    assert not left_out
    assert any(line.quantity.startswith("Worst case accuracy") for line in lines)
