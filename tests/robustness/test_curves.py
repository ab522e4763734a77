"""Whole curves against closed forms and direct integration."""

import math

import numpy as np
import pytest
from scipy.integrate import quad

from mixlens.robustness.config import EPSILONS
from mixlens.robustness.curves import crossings, half, stretches, weights

POSITIVE = EPSILONS[1:]


def test_the_area_of_a_step_curve_in_closed_form():
    """1 up to ε = 0.1, 0 from ε = 1: over log ε two decades of three, and half of the one in which it falls."""
    assert weights([0.001, 0.01, 0.1, 1.0]) @ [1, 1, 1, 0] == pytest.approx((2 + 0.5) / 3)
    assert weights([0.001, 0.01, 0.1, 1.0]) @ [1, 1, 1, 1] == pytest.approx(1)
    assert weights([0.3]).tolist() == [1]


def test_it_is_the_integral_over_log_epsilon():
    values = np.random.default_rng(0).random(len(POSITIVE))
    ends = np.log(POSITIVE[0]), np.log(POSITIVE[-1])
    area, _ = quad(
        lambda log: np.interp(log, np.log(POSITIVE), values), *ends, points=np.log(POSITIVE[1:-1]), limit=200
    )
    assert weights(POSITIVE) @ values == pytest.approx(area / (ends[1] - ends[0]))


def test_it_is_what_is_expected_at_an_epsilon_drawn_log_uniformly():
    rng = np.random.default_rng(1)
    values = rng.random(len(POSITIVE))
    drawn = rng.uniform(np.log(POSITIVE[0]), np.log(POSITIVE[-1]), 200_000)
    seen = np.interp(drawn, np.log(POSITIVE), values)
    assert weights(POSITIVE) @ values == pytest.approx(seen.mean(), abs=4 * seen.std() / math.sqrt(len(seen)))


def test_a_finer_sweep_of_the_same_lines_has_the_same_area():
    finer = np.exp(np.interp(np.arange(0, len(POSITIVE) - 0.75, 0.25), range(len(POSITIVE)), np.log(POSITIVE)))
    values = np.random.default_rng(2).random(len(POSITIVE))
    assert weights(finer) @ np.interp(np.log(finer), np.log(POSITIVE), values) == pytest.approx(
        weights(POSITIVE) @ values
    )


@pytest.mark.parametrize("at", [0.0017, 0.01, 0.05, 0.6])
def test_the_crossing_of_a_line_is_exact(at):
    """A curve that is straight over log ε and zero at ``at``, rising or falling."""
    line = np.log(POSITIVE) - math.log(at)
    for curve in (line, -line):
        ((low, high),) = crossings(POSITIVE, curve)
        assert low == pytest.approx(at)
        assert high == pytest.approx(at)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([1, 1, 1, 1], []),
        ([0, 0, 0, 0], []),
        ([1, 0, 1, 0], []),  # touches
        ([1, -1, 0, 0], [(10**-2.5, 10**-2.5)]),  # nothing is left at the end
        ([1, 0, 0, -1], [(0.01, 0.1)]),  # alike in between
        ([1, 0, -1, 1], [(0.01, 0.01), (10**-0.5, 10**-0.5)]),
        ([-3, 1, 1, 1], [(10**-2.25, 10**-2.25)]),
    ],
)
def test_crossings(values, found):
    made = crossings([0.001, 0.01, 0.1, 1.0], values)
    assert np.ravel(made) == pytest.approx(np.ravel(found))
    assert len(made) == len(found)


def test_of_one_epsilon_nothing_crosses():
    assert crossings([0.1], [1.0]) == []


def test_stretches_are_runs_of_neighbours():
    epsilons = [0.001, 0.01, 0.1, 1.0]
    assert stretches(epsilons, [True, True, False, True]) == [(0.001, 0.01), (1.0, 1.0)]
    assert stretches(epsilons, [False] * 4) == []
    assert stretches(epsilons, [True] * 4) == [(0.001, 1.0)]


@pytest.mark.parametrize(
    ("accuracy", "at"),
    [
        ([0.9, 0.7, 0.3, 0.0], 10**-1.5),  # halfway over log ε between 0.01 and 0.1
        ([0.9, 0.1, 0.0, 0.0], 0.005),  # halfway over ε between 0 and 0.01
        ([0.9, 0.5, 0.1, 0.0], 0.01),
        ([0.5, 0.4, 0.3, 0.0], 0.0),
        ([0.9, 0.8, 0.7, 0.6], None),
        ([0.9, 0.4, 0.6, 0.4], 0.008),  # the first time
    ],
)
def test_where_a_curve_falls_to_one_half(accuracy, at):
    assert half([0.0, 0.01, 0.1, 1.0], accuracy) == (None if at is None else pytest.approx(at))
