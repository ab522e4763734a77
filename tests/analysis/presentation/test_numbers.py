import math
import re

import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from mixlens.analysis.presentation.numbers import (
    chance,
    change,
    column,
    difference,
    duration,
    extent,
    interval,
    level,
    number,
)
from mixlens.analysis.statistics.effect import Effect
from mixlens.analysis.statistics.level import ENOUGH_SEEDS
from mixlens.analysis.statistics.seeds import sd


def numbers(text):
    return [float(found) for found in re.findall(r"[+-]?\d+\.?\d*", text.replace("−", "-"))]


def test_sd_is_that_of_a_sample():
    assert sd(pd.Series([1.0, 2.0, 4.0])) == pytest.approx(math.sqrt(14 / 3 / 2))
    assert sd(pd.Series([3.0, 3.0])) == 0


@pytest.mark.parametrize("values", [[], [2.0]])
def test_one_seed_has_no_spread(values):
    assert sd(pd.Series(values, dtype=float)) is None


@pytest.mark.parametrize("values", [[1.2, 0.9, 1.4], [-3.0, 1.0, 4.0, 0.5], [0.01, 0.02, 0.015, 0.011, 0.02]])
def test_the_interval_is_scipys_paired_t(values):
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    mean, low, high = numbers(difference(pd.Series(values)))
    digits = (high - low) / 2 / 10  # two digits of the half width are shown
    assert mean == pytest.approx(sum(values) / len(values), abs=digits)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=digits)


def test_by_hand():
    """Mean 2, standard error 1 / √3, t₀.₉₇₅ with 2 degrees of freedom 4.3027: ± 2.48."""
    assert difference(pd.Series([1.0, 2.0, 3.0])) == "+2.0 [−0.5, +4.5]"


@pytest.mark.parametrize(
    ("values", "arrow"), [([2.0, 2.1, 2.2], " ↑"), ([-2.0, -2.1, -2.2], " ↓"), ([-1.0, 0.1, 1.0], ""), ([0.0] * 3, "")]
)
def test_an_arrow_where_the_interval_leaves_out_zero(values, arrow):
    text = difference(pd.Series(values))
    assert text.partition("]")[2] == arrow
    low, high = numbers(text)[1:]
    assert bool(arrow) == (low > 0 or high < 0)


def test_equal_differences_have_an_interval_of_no_width():
    assert difference(pd.Series([0.5, 0.5, 0.5])) == "+0.5 [+0.5, +0.5] ↑"


@pytest.mark.parametrize("values", [[1.5], [1.0, 2.0]])
def test_fewer_than_three_seeds_cannot_tell(values):
    assert len(values) < ENOUGH_SEEDS
    assert difference(pd.Series(values)) == "1.5 (cannot tell)"


def test_nothing_to_compare_with():
    assert difference(pd.Series([], dtype=float)) == "no baseline"


def test_the_order_and_the_index_do_not_matter():
    first = pd.Series([1.0, 2.0, 4.0], index=[0, 1, 2])
    assert difference(first) == difference(pd.Series([4.0, 1.0, 2.0], index=[7, 3, 5]))


def test_the_sign_turns_with_the_comparison():
    assert difference(pd.Series([2.0, 2.1, 2.2])) == "+2.10 [+1.85, +2.35] ↑"
    assert difference(pd.Series([-2.0, -2.1, -2.2])) == "−2.10 [−2.35, −1.85] ↓"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((78.05, 0.53), "78.0 ± 0.5"),
        ((78.05, 1.2), "78.0 ± 1.2"),
        ((1234.0, 120.0), "1234 ± 120"),
        ((0.2561, 0.0021), "0.2561 ± 0.0021"),
        ((-3.0, 0.25), "−3.00 ± 0.25"),
        ((0.256, 0.002, 3), "0.256 ± 0.002"),
        ((78.0512,), "78.05"),
        ((float("inf"),), "∞"),
        ((float("nan"),), "not a number"),
        ((2.0, 0.0), "2 ± 0"),
        ((86.0, 0.072), "86.00 ± 0.07"),
        ((0.42971, 0.0005), "0.4297 ± 0.0005"),
        ((93.0, 0.96), "93.0 ± 1.0"),
        ((5.0, 0.34), "5.00 ± 0.34"),
        ((5.0, 0.36), "5.0 ± 0.4"),
        ((-1e-17, 1e-17, 4), "0.0000 ± 0.0000"),
    ],
)
def test_numbers_show_the_digits_that_their_spread_leaves(arguments, text):
    assert number(*arguments) == text


def test_intervals_show_signs():
    assert interval(-1.0, -1.5, -0.5) == "−1.00 [−1.50, −0.50]"
    assert interval(12.0, -8.0, 32.0) == "+12 [−8, +32]"


def test_durations():
    assert [duration(s) for s in (4.2, 725, 11245)] == ["4 s", "12 min 05 s", "3 h 07 min"]


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (1e-12, "p < .001"),
        (0.00099, "p < .001"),
        (0.004, "p = .004"),
        (0.0496, "p = .0496"),  # on its own side of .05
        (0.04999, "p = .0499"),
        (0.0503, "p = .050"),
        (0.099, "p = .099"),
        (0.123, "p = .12"),
        (0.99, "p = .99"),
        (1.0, "p > .99"),
    ],
)
def test_a_p_is_never_zero_nor_on_the_other_side_of_the_level(p, text):
    assert chance(p) == text


def judged(value, low, high, adjusted, p=0.01):
    return Effect(value, low, high, p, 3, 100, adjusted=adjusted)


def test_a_difference_is_written_with_its_interval_its_arrow_and_the_p_that_allows_it():
    assert change(judged(-6.4, -7.4, -5.3, 0.004)) == "−6.4 [−7.4, −5.3] ↓ p = .004"
    assert change(judged(6.4, 5.3, 7.4, 0.004)) == "+6.4 [+5.3, +7.4] ↑ p = .004"
    assert change(judged(6.4, 5.3, 7.4, 0.06)) == "+6.4 [+5.3, +7.4] p = .060", "no arrow that the p does not allow"
    assert change(judged(6.4, 5.3, 7.4, None)) == "+6.4 [+5.3, +7.4]", "not judged"
    assert change(judged(6.4, 5.3, 7.4, None, p=None)) == "+6.4 [+5.3, +7.4] (these networks)"
    assert change(judged(6.4, None, None, None, p=None)) == "+6.4 (cannot tell)"
    assert change(None) == "no baseline"
    assert extent(judged(6.4, 5.3, 7.4, 0.004)) == "+6.4 [+5.3, +7.4]"


def test_zero_has_no_sign():
    assert interval(0.001, -0.5, 0.5) == "0.00 [−0.50, +0.50]"
    assert extent(judged(0.0, None, None, None)) == "0"


def test_what_one_network_reached():
    assert level(87.031, 86.36, 87.68) == "87.03 [86.36, 87.68]"
    assert level(100.0, 100.0, 100.0) == "100.00 [100.00, 100.00]"


@pytest.mark.parametrize(
    ("cells", "texts"),
    [
        ([[1.0, 1.02], [0.9, 1.3]], ["1.010 ± 0.014", "1.100 ± 0.283"]),
        ([[86.0, 86.0002], [80.0, 90.0]], ["86.0 ± 0.0", "85.0 ± 7.1"]),  # one more than the coarsest at most
        ([[2.309], [2.31], []], ["2.309", "2.310", "—"]),
        ([[25.0], [27.0]], ["25", "27"]),
        ([[2.0, 2.0], [3.0, 3.0]], ["2 ± 0", "3 ± 0"]),
        ([], []),
    ],
)
def test_what_stands_below_each_other_has_the_same_decimals(cells, texts):
    assert column([pd.Series(cell, dtype=float) for cell in cells]) == texts
