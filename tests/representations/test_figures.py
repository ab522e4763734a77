"""Tables and plots of made-up rows, so that every cell can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest

from mixlens.analysis.interface import Arm
from mixlens.representations.figures import ABOUT, measured, plots, tables

LAYERS = ("first", "last")
BASELINE, MIXUP = Arm("s", "baseline"), Arm("s", "mixup")


class Record:
    """What figures read of a record."""

    def __init__(self, rows, front=None):
        self.rows = pd.DataFrame(rows)
        self.settings = {"representations": {"front": front}}

    def table(self, section):
        assert section == "representations"
        return self.rows

    def terms(self, section, array, **params):
        return {(BASELINE, 0): np.zeros(3)}

    def label(self, arm):
        return {"baseline": "Baseline", "mixup": "MixUp"}[arm.augmentation]


def rows(*, mixup=True, saturated=False):
    made = []

    def add(arm, seed, quantity, value, **more):
        made.append({"arm": arm, "seed": seed, "quantity": quantity, "value": value, "n": 100, "stderr": 0.01,
                     "ceiling": None, "saturated": False, "run": f"{arm.augmentation}-{seed}", **more})  # fmt: skip

    for arm in (BASELINE, MIXUP) if mixup else (BASELINE,):
        for seed in (0, 1):
            for depth, layer in enumerate(LAYERS):
                add(arm, seed, "label_information", 1 + depth + seed / 10, layer=layer, ceiling=2.3)
                for place, quantity in enumerate(("infonce", "leave_one_out", "rate_gaussian", "rate_mixture")):
                    more = {"layer": layer, "noise": 1.0, "dimensions": 8, "ceiling": None if place else 4.6}
                    add(arm, seed, quantity, 2 + place - depth, saturated=saturated and not place, **more)
                if mixup and (arm, seed) != (BASELINE, 0):
                    for quantity, value in (("cka", 0.5), ("cka_biased", 0.75)):
                        add(arm, seed, quantity, value + depth / 8, layer=layer, other_seed=0)
            if mixup:
                far = arm is MIXUP
                add(arm, seed, "affinity", -0.2 * far - 0.1 * seed * far)
                add(arm, seed, "affinity_loss", 0.5 * far)
                add(arm, seed, "diversity", 0.1 + 1.1 * far)
                add(arm, seed, "label_entropy", 0.5 * far)
    return made


def of(record):
    made = {table.name.removeprefix("representations-"): table for table in tables(record, {})}
    for table in made.values():
        assert all(len(row) == len(table.header) for row in table.rows)
        assert "nan" not in " ".join(cell for row in table.rows for cell in row)
    return made


def test_the_information_about_the_label():
    table = of(Record(rows()))["label"]
    assert table.header == ("Augmentation", *LAYERS)
    assert table.rows == (("Baseline", "1.05 ± 0.07", "2.05 ± 0.07"), ("MixUp", "1.05 ± 0.07", "2.05 ± 0.07"))
    assert "on 100 test images, over which the standard error is at most 0.01" in table.caption
    assert "cannot exceed H(Y) = 2.30" in table.caption


def test_the_information_about_the_image():
    table = of(Record(rows()))["image"]
    assert table.header == (
        "Augmentation, layer", "≥ InfoNCE", "≤ leave-one-out", "≤ rate, Gaussian", "≤ rate, mixture",
    )  # fmt: skip
    assert table.rows[0] == ("Baseline, first, noise 1", *(f"{n} ± 0" for n in (2, 3, 4, 5)))
    assert table.rows[3] == ("MixUp, last, noise 1", *(f"{n} ± 0" for n in (1, 2, 3, 4)))
    assert "8 principal components" in table.caption
    assert "log N = 4.60" in table.caption
    assert "†" not in table.caption


def test_what_is_saturated_is_marked():
    table = of(Record(rows(saturated=True)))["image"]
    assert table.rows[0][1].endswith(" †")
    assert not table.rows[0][2].endswith("†")
    assert "† saturated" in table.caption


def test_the_similarity():
    table = of(Record(rows()))["similarity"]
    assert table.header == ("Network", *LAYERS)
    assert [row[0] for row in table.rows] == [
        "Baseline, another seed, debiased", "Baseline, another seed, biased", "MixUp, debiased", "MixUp, biased",
    ]  # fmt: skip
    assert table.rows[0][1:] == ("0.5", "0.625")
    assert table.rows[3][1:] == ("0.75 ± 0", "0.875 ± 0")
    assert "at most 0.01" in table.caption


def test_affinity_and_diversity_and_its_ratio():
    table = of(Record(rows()))["augmented"]
    assert table.rows[0] == ("Baseline", *["0 ± 0"] * 2, "0.1 ± 0", "0 ± 0", "1 ± 0")
    assert table.rows[1][0:2] == ("MixUp", "−25 ± 7")
    assert table.rows[1][-1] == "12 ± 0"


def test_plots_have_a_line_for_each_network():
    depth, similarity, scatter = plots(Record(rows()), {})
    assert [axis.get_title("left") for axis in depth.figure.axes] == [
        "about the label, at least", "about the image, noise 1",
    ]  # fmt: skip
    assert [len(axis.containers) for axis in depth.figure.axes] == [2, 4]
    assert len(similarity.figure.axes[0].containers) == 2
    points = [line.get_xydata() for line in scatter.figure.axes[0].lines]
    assert points[0].tolist() == [[0, 0.1], [0, 0.1]]
    assert points[1].ravel() == pytest.approx([-20, 1.2, -30, 1.2])


def test_without_comparisons_they_are_left_out():
    record = Record(rows(mixup=False))
    assert list(of(record)) == ["label", "image"]
    assert [plot.name for plot in plots(record, {})] == ["representations-depth"]


def test_the_section_says_what_its_numbers_do_not():
    assert "infinite" in ABOUT.text[0]
    assert len(ABOUT.caveats) == 4


def test_a_layer_stands_on_the_front_page_if_asked():
    assert not any(one.front for one in measured(Record(rows())))
    (front,) = [one for one in measured(Record(rows(), front="last")) if one.front]
    assert (front.quantity, front.front) == ("label_information:last", "Lower bound on I(T;Y) at last")
