"""Differences between augmentations over training seeds and images, and how they are written. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.stats import norm as normal
from scipy.stats import t as student

from .style import interval, number

BASELINE = "baseline"
ENOUGH_SEEDS = 3
LEVEL = 0.95
LEAST_P = 1e-12  # smaller ones are not told apart

Terms = Mapping[tuple[str, int], np.ndarray[Any, Any]]  # (augmentation, seed) → one number an image, same images


def baseline_of(augmentation: str) -> str:
    """What an augmentation is compared with: the baseline, of its own study where a name ends in `` [study]``."""
    _, opened, study = augmentation.rpartition(" [")
    return f"{BASELINE}{opened}{study}" if augmentation.endswith("]") else BASELINE


@dataclass(frozen=True)
class Measured:
    """A quantity that is a mean over images, as every network of a study has it."""

    quantity: str
    title: str
    unit: str  # as it is shown, after ``factor``
    terms: Terms
    factor: float = 1.0
    front: str = ""  # what heads it on a report's front page; empty: it is not there
    figure: str = ""  # name of the `Plot` that draws it


@dataclass(frozen=True)
class Effect:
    """What one augmentation changes against another: the mean difference, its error over seeds *and* images.

    ``low``, ``high`` and ``p`` (two-sided) are None with fewer than `ENOUGH_SEEDS` seeds: one cannot tell.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    seeds: int
    images: int

    @property
    def direction(self) -> int:
        """1 or −1 where the interval or the corrected p leaves out zero, 0 where one cannot tell."""
        if self.p is None or self.p >= 1 - LEVEL:
            return 0
        return 1 if self.value > 0 else -1

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{number(self.value)} (cannot tell)"
        return interval(self.value, self.low, self.high) + {1: " ↑", -1: " ↓", 0: ""}[self.direction]


def effect(measured: Measured, first: str, second: str) -> Effect | None:
    """The first augmentation minus the second, paired by seed and image; None where no seed has both on like images.

    Its variance is that of the two-level bootstrap, which draws seeds and images with replacement (Owen 2007), in
    closed form and without its bias for few seeds: a + b, a = s²(seeds' means)/S, b = s²(images' means)/N. The interval
    is ± √(t² a + z² b), t with S − 1 degrees of freedom for the part known from S seeds, z for the part known from N
    images; p is where it touches zero. It covers at least its level whichever part is larger, also far in the tail
    where Holm's correction reads it; percentiles of a bootstrap over three seeds would leave out zero a quarter of the
    time where there is nothing (all three differences have one sign), and Satterthwaite's degrees of freedom are too
    sure in the tail (tests/analysis/test_effect.py).
    """
    terms = measured.terms
    seeds = [seed for name, seed in terms if name == first and (second, seed) in terms]
    if len({len(terms[name, seed]) for name in (first, second) for seed in seeds}) != 1:  # none, or not the same images
        return None
    differences = measured.factor * np.stack(
        [np.subtract(terms[first, seed], terms[second, seed], dtype=float) for seed in seeds]
    )
    count, images = differences.shape
    value = float(differences.mean())
    if count < ENOUGH_SEEDS or images < 2:
        return Effect(value, None, None, None, count, images)
    over_seeds = float(differences.mean(1).var(ddof=1)) / count
    over_images = float(differences.mean(0).var(ddof=1)) / images

    def half(log_p: float) -> float:
        tail = math.exp(log_p) / 2
        return math.sqrt(student.isf(tail, count - 1) ** 2 * over_seeds + normal.isf(tail) ** 2 * over_images)

    width = half(math.log(1 - LEVEL))
    least = math.log(LEAST_P)
    p = LEAST_P if half(least) <= abs(value) else math.exp(brentq(lambda log_p: half(log_p) - abs(value), least, 0.0))
    return Effect(value, value - width, value + width, 1.0 if value == 0 else p, count, images)


def holm(effects: Sequence[Effect]) -> list[Effect]:
    """The same effects with p corrected for their number (Holm 1979), so that arrows are wrong together at 5%.

    The intervals stay each by itself.
    """
    tested = sorted((found.p, index) for index, found in enumerate(effects) if found.p is not None)
    corrected = list(effects)
    greatest = 0.0
    for rank, (p, index) in enumerate(tested):
        greatest = max(greatest, min(1.0, (len(tested) - rank) * p))
        corrected[index] = replace(effects[index], p=greatest)
    return corrected


def sd(values: pd.Series) -> float | None:
    """Standard deviation over seeds; None for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def over_seeds(values: pd.Series) -> str:
    """Mean ± standard deviation over seeds; a dash where no seed has a value."""
    return number(float(values.mean()), sd(values)) if len(values) else "—"


def difference(differences: pd.Series) -> str:
    """Mean over seeds with its 95% Student t interval and an arrow where that leaves out zero.

    With fewer than three seeds one cannot tell.
    """
    n = len(differences)
    if n == 0:
        return "no baseline"
    mean = float(differences.mean())
    if n < ENOUGH_SEEDS:
        return f"{number(mean)} (cannot tell)"
    half = float(student.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    arrow = " ↑" if mean - half > 0 else " ↓" if mean + half < 0 else ""
    return interval(mean, mean - half, mean + half) + arrow
