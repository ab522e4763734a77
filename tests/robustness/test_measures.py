import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from mixlens.analysis.errors import InputError
from mixlens.robustness.measures import (
    BROKEN,
    NOT_RUN,
    SIGNIFICANT,
    WORST,
    accuracy,
    broken_by,
    masking_signs,
    median,
    paired,
    smallest_epsilon,
)

ATTACKS = ("noise", "step", "steps")
EPSILONS = (0.0, 0.1, 1.0)
IMAGES = 200


# who is broken


def test_broken_by_one_attack_and_by_any():
    bits = np.array([[[1, 0, 0, 0], [1, 0, 1, 0]], [[1, 0, 0, 0], [1, 1, 0, 0]]], np.int8)
    assert broken_by(bits, ["a", "b"], "a").tolist() == [[True, False, False, False], [True, False, True, False]]
    assert broken_by(bits, ["a", "b"], "b").tolist() == [[True, False, False, False], [True, True, False, False]]
    assert broken_by(bits, ["a", "b"], WORST).tolist() == [[True, False, False, False], [True, True, True, False]]


def test_the_worst_case_is_defined_where_attacks_were_not_run():
    bits = np.array([[[0, 1, 0]], [[-1, -1, 1]]], np.int8)
    assert broken_by(bits, ["a", "b"], WORST).tolist() == [[False, True, True]]
    assert broken_by(bits, ["a", "b"], "a").tolist() == [[False, True, False]]
    with pytest.raises(InputError, match=r"b was not run on every image.*worst case"):
        broken_by(bits, ["a", "b"], "b")


def test_an_attack_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no attack 'c'; it has a, b"):
        broken_by(np.zeros((2, 1, 3), np.int8), ["a", "b"], "c")


def wilson(count, n):
    """Wilson (1927), from the roots of (p̂ − p)² = z² p (1 − p) / n."""
    z = norm.ppf(0.975)
    centre, half = count / n + z**2 / (2 * n), z * math.sqrt(count * (n - count) / n**3 + z**2 / (4 * n**2))
    return (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)


def test_accuracy_is_the_fraction_held_with_wilsons_interval():
    broken = np.array([[False] * 10, [True] * 3 + [False] * 7, [True] * 10])
    found = accuracy(broken)
    assert [estimate.value for estimate in found] == [1.0, 0.7, 0.0]
    for estimate, count in zip(found, (10, 7, 0), strict=True):
        assert estimate.interval.method == "Wilson"
        assert estimate.interval[:2] == pytest.approx(wilson(count, 10), abs=1e-9)
        assert (estimate.n, estimate.unit, estimate.bound) == (10, "fraction", "none")


# the smallest ε and its median


def test_the_smallest_epsilon_of_each_image():
    broken = np.array([[1, 0, 0, 0, 0], [1, 0, 1, 0, 1], [1, 1, 0, 0, 1]], bool)
    found = smallest_epsilon(broken, [0.0, 0.1, 0.3])
    assert found.tolist() == [0.0, 0.3, 0.1, math.inf, 0.1], "also where a larger ε does not break it"


def test_the_smallest_epsilon_of_all_and_of_none():
    assert smallest_epsilon(np.ones((2, 3), bool), [0.1, 0.2]).tolist() == [0.1] * 3
    assert smallest_epsilon(np.zeros((2, 3), bool), [0.1, 0.2]).tolist() == [math.inf] * 3


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 25, 100, 101])
def test_the_median_is_the_lower_one_of_two(n):
    values = np.random.default_rng(n).permutation(n).astype(float)
    found = median(values, "L∞")
    assert found.value == (n - 1) // 2
    assert (found.n, found.unit, found.stderr) == (n, "L∞", None)


@pytest.mark.parametrize("n", [6, 9, 10, 50, 101, 1000])
def test_ranks_of_the_medians_interval(n):
    """Of x₍ᵣ₎ … x₍ₙ₋ᵣ₊₁₎ with the largest r that covers at least 95%: P(r ≤ Binomial(n, ½) ≤ n − r)."""
    found = median(np.arange(1, n + 1, dtype=float), "L∞")
    low, high = int(found.interval.low), int(found.interval.high)
    assert low + high == n + 1
    assert binom.cdf(high - 1, n, 0.5) - binom.cdf(low - 1, n, 0.5) >= 0.95
    assert binom.cdf(high - 2, n, 0.5) - binom.cdf(low, n, 0.5) < 0.95, "one rank further in would not"
    assert found.interval.method == "order statistics"
    assert found.interval.level == 0.95


def test_the_textbooks_ranks():
    """Tabulated, for example Conover 1999, table A3: n = 10: 2 and 9; n = 20: 6 and 15; n = 25: 8 and 18."""
    for n, low, high in ((10, 2, 9), (20, 6, 15), (25, 8, 18)):
        assert median(np.arange(1.0, n + 1), "").interval[:2] == (low, high)


@pytest.mark.parametrize("n", [8, 31, 100])
def test_the_intervals_coverage(n):
    source, trials = np.random.default_rng(0), 3000
    samples = source.exponential(size=(trials, n))
    hits = 0
    for row in samples:
        interval = median(row, "").interval
        hits += interval.low <= math.log(2) <= interval.high
    rank = int(median(np.arange(1.0, n + 1), "").interval.low)
    expected = binom.cdf(n - rank, n, 0.5) - binom.cdf(rank - 1, n, 0.5)
    assert expected >= 0.95
    assert abs(hits - trials * expected) / math.sqrt(trials * expected * (1 - expected)) < 4


@pytest.mark.parametrize("n", [2, 3, 4, 5])
def test_too_few_images_have_no_interval(n):
    interval = median(np.arange(1.0, n + 1), "").interval
    assert interval is None or binom.cdf(interval.high - 1, n, 0.5) - binom.cdf(interval.low - 1, n, 0.5) >= 0.95


def test_medians_that_reach_images_that_nothing_broke():
    mostly = median(np.array([0.1] * 61 + [math.inf] * 39), "L∞")  # of 100, ranks 40 to 61
    assert mostly.value == 0.1
    assert mostly.interval[:2] == (0.1, 0.1)
    half = median(np.array([0.1] * 60 + [math.inf] * 40), "L∞")
    assert half.value == 0.1
    assert half.interval is None
    assert median(np.array([0.1] * 49 + [math.inf] * 51), "L∞").value == math.inf


# two networks on the same images


def test_paired_accuracies():
    first = np.array([True] * 3 + [False] * 17)
    second = np.array([False] * 2 + [True] * 10 + [False] * 8)
    difference, p = paired(first, second)
    assert difference == pytest.approx((10 - 3) / 20), "accuracy of the first minus the second's"
    only_first, only_second = 9, 2  # of the images that differ, right with one alone
    assert p == pytest.approx(2 * binom.cdf(only_second, only_first + only_second, 0.5))
    assert paired(second, first)[0] == -difference
    assert paired(second, first)[1] == pytest.approx(p)
    assert paired(first, first) == (0.0, 1.0)


# signs of masked gradients


def clean_bits():
    """[attack, ε, image]: noise breaks fewest, many steps most, and everything at ε = 1; noise leaves 5% there."""
    bits = np.zeros((3, 3, IMAGES), np.int8)
    bits[:, :, :10] = BROKEN  # wrong as they are
    for index, count in enumerate((20, 60, 90)):
        bits[index, 1, :count] = BROKEN
    bits[0, 2, :190] = BROKEN
    bits[1:, 2] = BROKEN
    return bits


def signs(bits, zero_gradient=None, attacks=ATTACKS, epsilons=EPSILONS, **kinds):
    zero = np.zeros(IMAGES, np.int8) if zero_gradient is None else zero_gradient
    given = {"iterated": ("steps",), "single_step": ("step",), "noise": ("noise",), "whole_range": True, "classes": 10}
    return masking_signs(bits, attacks, epsilons, zero, **(given | kinds))


def test_a_clean_network_shows_none():
    assert signs(clean_bits()) == []


def test_noise_that_beats_gradients():
    bits = clean_bits()
    bits[0, 1, :130] = BROKEN
    (sign,) = signs(bits)
    assert sign.text == "random noise breaks more images than steps at ε = 0.1"
    assert (sign.kind, sign.params) == ("noise", {"attack": "steps", "epsilon": 0.1})
    assert sign.size == pytest.approx((130 - 90) / IMAGES)


def test_one_step_that_beats_many():
    bits = clean_bits()
    bits[1, 1, :130] = BROKEN
    (sign,) = signs(bits)
    assert sign.text == "a single gradient step breaks more images than steps at ε = 0.1"
    assert sign.size == pytest.approx((130 - 90) / IMAGES)


def test_the_largest_epsilon_is_told():
    bits = np.repeat(clean_bits()[:, 1:2], 3, axis=1)
    bits[1, :2, :130] = BROKEN
    (sign,) = signs(bits, epsilons=(0.01, 0.02, 0.03))
    assert sign.text.endswith("at ε = 0.02")


def test_epsilon_0_is_no_place_for_signs():
    bits = clean_bits()
    bits[1, 0, :130] = BROKEN
    assert signs(bits) == []


def test_a_difference_must_be_significant_over_all_epsilons():
    """Eight images on one side: p = 2 / 2⁸ = 0.0078, below 1%, not below a third of it; ten: p = 0.002."""
    for extra, told in ((8, False), (10, True)):
        bits = clean_bits()
        bits[1, 1, : 90 + extra] = BROKEN
        assert 2 * 0.5**extra < SIGNIFICANT
        assert (2 * 0.5**extra < SIGNIFICANT / 3) == told
        assert bool(signs(bits)) == told


def test_a_difference_needs_the_net_of_both_sides():
    """One step breaks 40 others: as many as it misses."""
    bits = clean_bits()
    bits[1, 1] = 0
    bits[1, 1, :10] = bits[1, 1, 90:170] = BROKEN
    assert signs(bits) == []


def test_zero_gradients():
    zero = np.zeros(IMAGES, np.int8)
    zero[:10], zero[10:48] = NOT_RUN, 1
    (sign,) = signs(clean_bits(), zero)
    assert "gradient is exactly zero" in sign.text
    assert sign.size == pytest.approx(38 / IMAGES)
    assert signs(clean_bits(), np.full(IMAGES, NOT_RUN, np.int8)) == []


def test_images_held_where_any_image_is_allowed():
    bits = clean_bits()
    bits[2, 2, 150:] = 0
    bits[1, 2, 190:] = 0
    bits[0, 2] = [BROKEN] * 195 + [0] * 5
    told = {sign.text: sign.size for sign in signs(bits) if "ε = 1," in sign.text}
    expected = {"steps": 50 / IMAGES, WORST: 5 / IMAGES}
    assert told == {f"{k} leaves images unbroken at ε = 1, where any image is allowed": v for k, v in expected.items()}
    assert not any(sign.kind == "left over" for sign in signs(bits, whole_range=False)), "not in another norm"


def test_accuracy_above_chance_in_full_noise():
    bits = clean_bits()
    bits[0, 2, 100:] = 0
    (sign,) = signs(bits)
    assert (sign.kind, sign.size) == ("noise at 1", 0.5)
    assert sign.text.startswith("accuracy under noise at ε = 1 is above chance (weak")
    assert signs(bits, whole_range=False) == []
    assert signs(bits, classes=2) == [], "half is chance with two classes"
    bits[0, 2, 100:] = [BROKEN] * 75 + [0] * 25
    assert signs(bits) == [], "12.5% of 200 images is not above 10% with certainty"


def test_without_epsilon_1_its_signs_are_not_asked():
    bits = clean_bits()
    bits[0, 2, 100:] = 0
    bits[2, 2] = bits[2, 1]
    bits[1, 2] = bits[1, 1]
    assert not any("ε = 1" in sign.text for sign in signs(bits, epsilons=(0.0, 0.1, 0.9), noise=()))


def test_each_iterated_attack_is_compared_by_itself():
    """BIM breaks most; that PGD breaks fewer than one step is a sign all the same."""
    bits = np.concatenate([clean_bits(), clean_bits()[2:]])
    bits[1, 1, :130], bits[2, 1, :150] = BROKEN, BROKEN
    (sign,) = signs(bits, attacks=(*ATTACKS, "weak"), iterated=("steps", "weak"))
    assert sign.params == {"attack": "weak", "epsilon": 0.1}


def test_attacks_that_were_not_run_everywhere_take_no_part():
    bits = clean_bits()
    bits[0, 1, :130] = bits[1, 1, :130] = BROKEN
    assert [sign.kind for sign in signs(bits)] == ["noise", "single step"]
    bits[1, 2, -1] = NOT_RUN
    assert [sign.kind for sign in signs(bits)] == ["noise"], "the single step is left out"
    bits[:, 2, -1] = NOT_RUN
    bits[2, 2, -1] = BROKEN
    bits[2, 1, -1] = NOT_RUN
    assert signs(bits) == []


@pytest.mark.parametrize("missing", ["iterated", "noise", "single_step"])
def test_kinds_of_attacks_that_are_not_there(missing):
    bits = clean_bits()
    bits[0, 1, :130] = bits[1, 1, :130] = BROKEN
    kinds = [sign.kind for sign in signs(bits, **{missing: ()})]
    assert kinds == {"iterated": [], "noise": ["single step"], "single_step": ["noise"]}[missing]
