"""Differences between augmentations, over training seeds and images. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm as normal
from scipy.stats import t as student

from ..interface import Arm
from .level import ENOUGH_SEEDS, LEVEL

LEAST_P = 1e-12  # smaller ones are not told apart
EACH = ", each ε"  # ends the name of a quantity that stands `Measured.apart`, once for each ε of its attack

Terms = Mapping[tuple[Arm, int], np.ndarray[Any, Any]]  # (arm, seed) → an array, such as one number an image


@dataclass(frozen=True)
class Measured:
    """A quantity that is a mean over images, as every network of a study has it.

    Of a quantity that is no such mean, such as a correlation, the terms are one number a network: its differences are
    known over seeds alone.
    """

    quantity: str
    title: str
    unit: str  # as it is shown, after ``factor``
    terms: Terms
    factor: float = 1.0
    front: str = ""  # what heads it on a report's front page; empty: it is not there
    figure: str = ""  # name of the `Plot` that draws it
    apart: bool = False  # for a claim about all such quantities (each ε) alone, not for a list of differences
    over: tuple[str, ...] = ()  # what it is the worst of, such as attacks: of other ones it is another quantity


@dataclass(frozen=True)
class Effect:
    """What one augmentation changes against another: the mean difference, its error over seeds *and* images.

    With fewer than `ENOUGH_SEEDS` seeds one cannot tell what other trainings would give: ``p`` (two-sided) is None, and
    the interval is over images alone, of these networks; None where there are no images to go over either.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    seeds: int
    images: int
    over_seeds: float = 0.0  # the parts of its variance: of the seeds' mean, and of the images'
    over_images: float = 0.0
    adjusted: float | None = None  # p after Holm's correction, of a difference that is judged among others

    def chance_of(self, bound: float) -> float | None:
        """p (one-sided) of a difference as far above ``bound`` as this, where the true one is at most ``bound``.

        Of the other side it is 1 − p. None where one cannot tell.
        """
        if self.p is None:
            return None
        distance = self.value - bound
        tail = self._two_sided(abs(distance)) / 2
        return tail if distance > 0 else 1 - tail

    def _two_sided(self, distance: float) -> float:
        """The p at which the interval reaches as far as ``distance``."""
        if distance == 0:
            return 1.0
        least = math.log(LEAST_P)
        if self._half(least) <= distance:
            return LEAST_P
        return math.exp(brentq(lambda log_p: self._half(log_p) - distance, least, 0.0))

    def _half(self, log_p: float) -> float:
        """Half the width of the interval that leaves out a share p."""
        tail = math.exp(log_p) / 2
        seeds = student.isf(tail, self.seeds - 1) if self.over_seeds else 0.0
        return math.sqrt(seeds**2 * self.over_seeds + normal.isf(tail) ** 2 * self.over_images)

    @property
    def turned(self) -> Effect:
        """The second less the first."""
        if self.low is None or self.high is None:
            return replace(self, value=-self.value)
        return replace(self, value=-self.value, low=-self.high, high=-self.low)

    @property
    def direction(self) -> int:
        """1 or −1 where the corrected p says so, else 0: also of a difference that is not judged among others."""
        if self.adjusted is None or self.adjusted >= 1 - LEVEL:
            return 0
        return 1 if self.value > 0 else -1


def effect(measured: Measured, first: Arm, second: Arm, *, as_given: bool = False) -> Effect | None:
    """The first arm minus the second, paired by seed and image; None where no seed has both on like images.

    ``as_given``: the question is of these networks, such as two checkpoints, not of other trainings, so that fewer than
    `ENOUGH_SEEDS` of them have a p too, over images alone.

    Its variance is that of the two-level bootstrap, which draws seeds and images with replacement (Owen 2007), in
    closed form and without its bias for few seeds: a + b, a = s²(seeds' means)/S, b = s²(images' means)/N. The interval
    is ± √(t² a + z² b), t with S − 1 degrees of freedom for the part known from S seeds, z for the part known from N
    images; p is where it touches zero. It covers at least its level whichever part is larger, also far in the tail
    where Holm's correction reads it; percentiles of a bootstrap over three seeds would leave out zero a quarter of the
    time where there is nothing (all three differences have one sign), and Satterthwaite's degrees of freedom are too
    sure in the tail. Nor is the variance pooled over augmentations where a test finds them alike: of three seeds no
    test sees that one augmentation's trainings vary three times as much, and its intervals would cover 82 to 91% for
    95 (tests/analysis/statistics/test_effect.py).
    """
    terms = measured.terms
    seeds = [seed for arm, seed in terms if arm == first and (second, seed) in terms]
    if len({len(terms[arm, seed]) for arm in (first, second) for seed in seeds}) != 1:  # none, or not the same images
        return None
    differences = measured.factor * np.stack(
        [np.subtract(terms[first, seed], terms[second, seed], dtype=float) for seed in seeds]
    )
    count, images = differences.shape
    value, enough = float(differences.mean()), count >= ENOUGH_SEEDS
    over_seeds = float(differences.mean(1).var(ddof=1)) / count if enough else 0.0
    over_images = float(differences.mean(0).var(ddof=1)) / images if images > 1 else 0.0
    plain = Effect(value, None, None, None, count, images, over_seeds, over_images)
    if not enough and images == 1:
        return plain
    width = plain._half(math.log(1 - LEVEL))
    p = plain._two_sided(abs(value)) if enough or as_given else None
    return replace(plain, low=value - width, high=value + width, p=p)
