"""Whole curves of made-up bits against the baseline: area by hand, crossing, band, and degenerate sweeps."""

import math

import numpy as np
import pytest
from terms import in_family

from mixlens.analysis.interface import Arm, Row
from mixlens.analysis.store.record import StudyRecord, TaskRecord
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import ENVIRONMENT, Run
from mixlens.reports.content import collect
from mixlens.robustness import bands, figures
from mixlens.robustness.measures import WORST

EPSILONS = (0.0, 0.001, 0.01, 0.1, 1.0)
IMAGES = 40
# How many images are left right at each ε, in each seed. MixUp loses two of them clean and wins four at 0.01.
HELD = {
    "baseline": [(40, 30, 10, 0, 0), (40, 31, 11, 0, 0), (40, 32, 12, 0, 0)],
    "mixup": [(38, 28, 14, 0, 0), (38, 29, 15, 0, 0), (38, 30, 16, 0, 0)],
}


@pytest.fixture
def study(tmp_path):
    """Makes a study's record of one attack, whose worst case is the same."""

    def make(held=HELD, epsilons=EPSILONS):
        tasks = []
        for augmentation, seeds in held.items():
            for seed, counts in enumerate(seeds):
                name = f"robustness-measure-{len(tasks):016x}"
                made = Run(tmp_path / "runs" / name)
                made.path.mkdir(parents=True)
                bits = np.array([[(np.arange(IMAGES) >= count) for count in counts]], np.int8)
                made.write_arrays({"bits": bits, "images": np.arange(IMAGES)})
                made.write_json(ENVIRONMENT, {"torch": "2.9"})
                facts = (name, "s", "robustness", "photos", "test", augmentation, "net", seed)
                shared = {"protocol": "paper", "norm": "L∞"}
                rows = [Row(*facts, "clean_accuracy", counts[0] / IMAGES, "fraction", IMAGES, shared)]
                rows += [
                    Row(
                        *facts,
                        "accuracy",
                        count / IMAGES,
                        "fraction",
                        IMAGES,
                        shared | {"attack": attack, "epsilon": epsilon},
                        0.1,
                        0.0,
                        1.0,
                    )
                    for attack in ("deepfool", WORST)
                    for epsilon, count in zip(epsilons, counts, strict=True)
                ]
                write_rows(made, rows, 1.0)
                tasks.append(TaskRecord(name, "robustness-measure", "robustness", "", (), "done"))
        settings = {"data": "photos", "seeds": [0, 1, 2], "augmentations": list(held), "train_size": None}
        settings["sections"] = ["robustness"]
        folder = tmp_path / "study"
        folder.mkdir()
        return StudyRecord(folder, "s", "mixlens", settings, "2026-01-01", tmp_path / "runs", tuple(tasks))

    return make


def table(record):
    record = in_family(record, "robustness", figures)
    return bands.tables(record, record.table("robustness"))


def test_the_area_between_and_where_curves_cross(study):
    """−5, +10, 0 and 0 points at 0.001, 0.01, 0.1 and 1, in every seed alike: trapezoids over three decades."""
    (made,) = table(study())
    area = ((-5 + 10) / 2 + (10 + 0) / 2 + 0) / 3
    for row, name in zip(made.rows, ("DeepFool", "Worst case"), strict=True):
        assert row[0] == f"{name}, MixUp"
        assert row[1].startswith(f"+{area:.1f} [")
        # −5 to +10 over one decade: a third of the way
        assert float(row[2]) == pytest.approx(10 ** (-3 + 1 / 3), rel=0.05)
        assert row[3:] == ("0.01", "nowhere"), "two of 40 images fewer are within chance, four more are not"
    assert " p = " in made.rows[1][1], "of the worst case, on the front page"
    assert " p = " not in made.rows[0][1]


def test_the_area_is_that_of_each_image(study):
    """An image held up to 0.01 of four ε counts 1 − (1/2 + 1)/3: the mean over images is the curve's area."""
    record = study()
    (over,) = [one for one in figures.measured(record) if one.quantity == f"{WORST}, over ε"]
    assert over.front == "Robustness"
    terms = over.terms[Arm("s", "baseline"), 0]
    assert terms[0] == pytest.approx((1 + 0.5) / 3), "held at 0.001 and 0.01"
    assert terms[20] == pytest.approx(0.5 / 3), "held at 0.001 alone"
    accuracy = np.array(HELD["baseline"][0][1:]) / IMAGES
    assert terms.mean() == pytest.approx(np.trapezoid(accuracy, np.log(EPSILONS[1:])) / np.log(1000))


def test_the_figure_ends_where_nothing_differs_any_more(study):
    record = study()
    (plot,) = bands.plots(record, record.table("robustness"))
    assert plot.name == "robustness-bands"
    first = plot.figure.axes[0]
    assert first.get_xlim() == pytest.approx((0.001, 0.1))
    (line,) = [line for line in first.lines if len(line.get_xdata()) == 4]
    assert line.get_ydata() == pytest.approx([-5, 10, 0, 0])
    assert "over seeds and images" in plot.caption
    plot.figure.draw_without_rendering()


@pytest.mark.parametrize(
    ("held", "epsilons"),
    [
        ({name: [counts[:2] for counts in seeds] for name, seeds in HELD.items()}, (0.0, 0.1)),  # one ε
        ({name: [counts[:1] for counts in seeds] for name, seeds in HELD.items()}, (0.0,)),  # none
        ({name: [(40, 0, 0, 0, 0)] * 3 for name in HELD}, EPSILONS),  # nothing differs, all broken
        ({name: seeds[:1] for name, seeds in HELD.items()}, EPSILONS),  # one seed
        ({"mixup": HELD["mixup"]}, EPSILONS),  # no baseline
        ({"baseline": HELD["baseline"]}, EPSILONS),
    ],
)
def test_degenerate_sweeps_have_a_report(study, held, epsilons):
    content = collect(study(held, epsilons))
    for plot in content.plots:
        plot.figure.draw_without_rendering()
    tables = {made.name: made for section in content.sections for made in section.tables}
    cells = [cell for made in tables.values() for row in made.rows for cell in row]
    assert not any("nan" in cell for cell in cells)
    assert ("robustness-whole-curves" in tables) == (len(held) == 2 and len(epsilons) > 1)
    assert ("robustness-bands" in {plot.name for plot in content.plots}) == (len(held) == 2 and len(epsilons) > 2)


def test_one_epsilon_is_that_epsilon(study):
    held = {name: [counts[:2] for counts in seeds] for name, seeds in HELD.items()}
    (made,) = table(study(held, (0.0, 0.1)))
    assert made.rows[0][1].startswith("−5.0 [")
    assert made.rows[0][2] == "nowhere"


def test_one_seed_has_a_band_over_images(study):
    record = study({name: seeds[:1] for name, seeds in HELD.items()})
    (plot,) = bands.plots(record, record.table("robustness"))
    assert "over images, and seeds where there are 3 or more" in plot.caption
    (made,) = table(record)
    assert made.rows[0][1].endswith("(these networks)")
    assert math.isclose(float(made.rows[0][2]), 10 ** (-3 + 1 / 3), rel_tol=0.05)
