import math

import pytest
from rich.console import Console
from terms import front_of, measured

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.oracle import Comparison
from mixlens.analysis.interface import Estimate, Interval
from mixlens.analysis.masks.structure import Statistic
from mixlens.cli.tables import comparison_table, estimate_table, front_table, power_words, structure_table
from mixlens.reports.power import seeds_needed

CERTAIN = Estimate(4.0, 0.05, 2000, "upper", interval=Interval(3.88, 4.12, 0.95, "Student t"))
FULL = Estimate(7.6, None, 2000, "lower", ceiling=math.log(2000), saturated=True)
UNKNOWN = Estimate(4.7, None, 2000, "upper")


def printed(table):
    """Lines with single spaces, rules left out."""
    console = Console(width=220)
    with console.capture() as capture:
        console.print(table)
    lines = [" ".join(line.split()) for line in capture.get().splitlines()]
    return [line for line in lines if line.strip("─ ")]


def test_each_estimate_says_what_it_is():
    assert printed(estimate_table({"rate": CERTAIN, "index": FULL, "loo": UNKNOWN}, "nats")) == [
        "estimate nats 95% interval direction n flags",
        "rate 4.00 [3.88, 4.12] ≤ upper 2,000",
        "index 7.6 none ≥ lower 2,000 ceiling 7.601; saturated: set by n, not by the truth",
        "loo 4.7 none ≤ upper 2,000 no error known",
    ]


def test_bits():
    lines = printed(estimate_table({"rate": CERTAIN, "index": FULL}, "bits"))
    assert lines[0].startswith("estimate bits")
    assert lines[1].startswith("rate 5.77 [5.60, 5.94]")
    assert "ceiling 10.97;" in lines[2]


def test_comparisons_stand_beside_the_truth_once_for_each_quantity():
    found = [Comparison("I(Z_A;X)", "rate", CERTAIN, 3.5), Comparison("I(Z_A;X)", "index", FULL, 3.5)]
    lines = printed(comparison_table([*found, Comparison("I(Z_A;Z_X)", "rate", CERTAIN, 0.0)], "nats"))
    assert lines[1].startswith("I(Z_A;X) 3.5 rate 4.00")
    assert "outside its direction" not in lines[1]
    assert "outside its direction by more than 4 errors; ceiling" in lines[2], "a lower bound of 7.6 where it is 3.5"
    assert lines[2].startswith("index 7.6")
    assert lines[3].startswith("I(Z_A;Z_X) 0 rate 4.00")


def test_what_cannot_be_had_says_why():
    lines = printed(estimate_table({"rate": CERTAIN, "KSG 1": InputError("3 pairs repeat others.")}, "nats"))
    assert lines[2] == "KSG 1 — not available: 3 pairs repeat others."


@pytest.mark.parametrize(("value", "half", "shown"), [(4e-16, 1e-16, "4e−16"), (3e90, 1e90, "3e+90")])
def test_extreme_values_stay_short(value, half, shown):
    estimate = Estimate(value, half, 9, "none", interval=Interval(value - half, value + half, 0.95, "Student t"))
    assert printed(estimate_table({"a": estimate}, "nats"))[1].startswith(f"a {shown} [")


def test_seeds_that_claims_need():
    needed = seeds_needed(("vae",), ("baseline", "mixup", "cutmix", "fmix"))
    words = power_words(needed, 3)
    assert words.startswith(
        f"3 seeds are too few to agree, at 80% power, with these of the paper's {len(needed)} claims"
    )
    assert "I(Z_A;X) rises most with FMix: more than 50" in words
    assert "I(Z_A;X) falls with MixUp" not in words, "three are enough for that"
    few = seeds_needed(("vae",), ("baseline", "mixup"))
    assert power_words(few, 3) == (
        "3 seeds are enough to agree with each of the paper's 1 claims on this, if its numbers are true."
    )


def test_a_study_ends_with_its_first_page():
    answers = {
        "vae": [measured("rate", {"baseline": 50.0, "mixup": 40.0}, front="Bound", unit="nats")],
        "classifier": [measured("accuracy", {"mixup": 0.5}, factor=100, unit="%", front="Accuracy")],
    }
    assert printed(front_table(front_of(answers, "baseline", "mixup"))) == [
        "bound accuracy",
        "augmentation Rate (nats) Accuracy (%)",
        "Baseline 50.0020 ± 0.0020 —",
        "MixUp 40.0020 ± 0.0020 50.20 ± 0.20",
        "−10 [−10, −10] ↓ p < .001",
        "Bound: lower with MixUp (by 10 nats).",
    ]


def test_masks_are_told_apart_a_statistic_a_line():
    told = {
        "FMix": [
            Statistic("transitions", 0, 1.59, 0.015, 500, "per line"),
            Statistic("transitions", 2, 1.57, 0.014, 500, "per line"),
            Statistic("segment length, 50% quantile", 2, 17.0, 0.1, 500, "positions"),
            Statistic("parts of ones", None, 2.36, 0.07, 500, "per mask"),
        ],
        "CutMix": [Statistic("transitions", 0, 0.7, None, 1, "per line")],
    }
    shown = "\n".join(printed(structure_table(told)))
    assert "transitions, axis 1" in shown
    assert "transitions, axis 3" in shown
    assert "1.590 ± 0.015" in shown
    assert "quantile" not in shown, "of several axes they stand in the files alone"
    assert shown.count("—") == 2, "what an augmentation has no number of"
    alone = "\n".join(printed(structure_table({"FMix": [told["FMix"][0], told["FMix"][2]._replace(axis=0)]})))
    assert "quantile" in alone
    assert "axis" not in alone
