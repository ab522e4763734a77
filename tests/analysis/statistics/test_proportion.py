import math

import numpy as np
import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.statistics.proportion import mcnemar, proportion

Z = 1.959963984540054  # the 97.5% quantile of a standard normal


def wilson(count, n):
    """Wilson (1927): the p with |p̂ − p| = z √(p (1 − p) / n), by the quadratic formula."""
    p = count / n
    centre = (p + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * math.sqrt(p * (1 - p) / n + Z**2 / (4 * n**2))
    return centre - half, centre + half


def binomial(k, n, p=0.5):
    return math.comb(n, k) * p**k * (1 - p) ** (n - k)


@pytest.mark.parametrize(
    ("count", "n"), [(1, 2), (1, 10), (5, 10), (9, 10), (30, 100), (9463, 10000), (1, 10000), (7, 7), (0, 7)]
)
def test_wilsons_interval_closed_form(count, n):
    found = proportion(count, n)
    assert (found.value, found.n, found.unit, found.bound) == (count / n, n, "fraction", "none")
    assert (found.interval.low, found.interval.high) == pytest.approx(wilson(count, n), abs=1e-12)
    assert (found.interval.level, found.interval.method) == (0.95, "Wilson")
    assert found.stderr == pytest.approx(math.sqrt(count * (n - count) / n**3))


@pytest.mark.parametrize("n", [1, 2, 10, 10000])
def test_at_the_ends_the_interval_stays_inside_and_is_not_empty(n):
    none, every = proportion(0, n), proportion(n, n)
    reach = Z**2 / (n + Z**2)  # its other end in closed form
    assert (none.value, none.stderr, every.value, every.stderr) == (0, 0, 1, 0)
    assert (none.interval.low, none.interval.high) == pytest.approx((0, reach), abs=1e-12)
    assert (every.interval.low, every.interval.high) == pytest.approx((1 - reach, 1), abs=1e-12)
    assert none.interval.low >= 0
    assert every.interval.high <= 1


@pytest.mark.parametrize(("p", "n"), [(0.5, 20), (0.3, 50), (0.95, 100), (0.02, 60)])
def test_coverage(p, n):
    """Simulated coverage against the exact one, a sum of binomial probabilities; which is near 95%."""
    covers = np.array([(e := proportion(k, n).interval).low <= p <= e.high for k in range(n + 1)])
    exact = sum(binomial(k, n, p) for k in range(n + 1) if wilson(k, n)[0] <= p <= wilson(k, n)[1])
    trials = 20_000
    hits = covers[np.random.default_rng(0).binomial(n, p, trials)].mean()
    assert abs(hits - exact) / math.sqrt(exact * (1 - exact) / trials) < 4
    assert 0.93 < exact < 0.98


@pytest.mark.parametrize(("count", "n"), [(-1, 5), (6, 5), (0, 0), (1, 0), (0, -1)])
def test_what_is_no_proportion_is_refused(count, n):
    with pytest.raises(InputError, match=rf"0 ≤ count ≤ n and n ≥ 1, got {count} of {n}"):
        proportion(count, n)


@pytest.mark.parametrize(("first", "second"), [(1, 0), (5, 5), (3, 8), (0, 12), (40, 61), (7, 6)])
def test_mcnemar_is_twice_the_binomial_tail(first, second):
    n = first + second
    tail = sum(binomial(k, n) for k in range(min(first, second) + 1))
    assert mcnemar(first, second) == pytest.approx(min(1, 2 * tail))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 8), (100, 140), (2, 0)])
def test_mcnemar_is_symmetric(first, second):
    assert mcnemar(first, second) == pytest.approx(mcnemar(second, first), rel=1e-12)


def test_mcnemar_of_classifiers_that_never_differ_is_1():
    assert mcnemar(0, 0) == 1


def test_mcnemar_rejects_at_most_as_often_as_it_says():
    """Its exact level under the null, over every outcome of 30 discordant images."""
    for level in (0.01, 0.05, 0.2):
        assert sum(binomial(k, 30) for k in range(31) if mcnemar(k, 30 - k) <= level) <= level
