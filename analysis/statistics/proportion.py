"""Fractions of images: their interval, and the paired comparison of two of them."""

from __future__ import annotations

import math

from scipy.stats import binomtest

from ..errors import InputError
from ..interface import Estimate, Interval
from .level import LEVEL


def proportion(count: int, n: int) -> Estimate:
    """``count / n`` with Wilson's score interval (Wilson 1927), which stays inside [0, 1] and is honest at its ends.

    Raises:
        InputError: n is below 1, or count outside 0 … n.
    """
    if not (n >= 1 and 0 <= count <= n):
        raise InputError(f"a proportion needs 0 ≤ count ≤ n and n ≥ 1, got {count} of {n}.")
    value = count / n
    found = binomtest(count, n).proportion_ci(LEVEL, method="wilson")
    interval = Interval(float(found.low), float(found.high), LEVEL, "Wilson")
    return Estimate(value, math.sqrt(value * (1 - value) / n), n, "none", "fraction", interval)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value that two classifiers err equally often on the same images (McNemar 1947).

    Of the images on which they differ, ``only_first`` are right with the first alone; under the null hypothesis that is
    Binomial(discordant, ½). 1 where they never differ.
    """
    discordant = only_first + only_second
    return float(binomtest(only_first, discordant).pvalue) if discordant else 1.0
