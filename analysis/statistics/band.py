"""A curve of differences with a band that holds all of it at once. Imports no torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy.stats import norm as normal
from scipy.stats import t as student

from .level import ENOUGH_SEEDS, LEVEL

DRAWS = 20_000
Array = np.ndarray[Any, Any]


class Band(NamedTuple):
    """The mean difference at each of K places, and the ends of its band: each (K,)."""

    value: Array
    low: Array
    high: Array


def band(differences: Array) -> Band:
    """The mean of paired differences (seeds, K places, images) with a band that holds the whole curve at 95%.

    Its half width is √(t² a + z² b) at each place, a and b the variances over seeds and images of
    `mixlens.analysis.statistics.effect.effect`. z is the 95% quantile of the largest |deviation| over the places, in
    standard errors, under the Gaussian multiplier bootstrap over images (Chernozhukov et al. 2013), which draws from
    the images' own correlation between places; t leaves out the same share with S − 1 degrees of freedom, as if seeds
    were correlated between places as images are, which a few seeds cannot tell
    (tests/analysis/statistics/test_band.py). With fewer than `ENOUGH_SEEDS` seeds it is over images alone. Where all
    differences are alike its width is zero.
    """
    seeds, places, images = differences.shape
    over_images = np.cov(differences.mean(0)).reshape(places, places) / images
    b = np.diag(over_images)
    a = differences.mean(2).var(0, ddof=1) / seeds if seeds >= ENOUGH_SEEDS else np.zeros(places)
    z = _largest(over_images[np.ix_(a + b > 0, a + b > 0)])
    t = student.isf(normal.sf(z), seeds - 1) if seeds >= ENOUGH_SEEDS else 0.0
    value, half = differences.mean((0, 2)), np.sqrt(t**2 * a + z**2 * b)
    return Band(value, value - half, value + half)


def _largest(covariance: Array) -> float:
    """The quantile of the largest |deviation| of a Gaussian vector, in its standard deviations."""
    if not len(covariance):
        return float(normal.isf((1 - LEVEL) / 2))
    deviations = np.sqrt(np.diag(covariance))
    scale = np.where(deviations > 0, deviations, 1.0)
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)  # what differs between seeds alone counts as a place of its own
    variances, axes = np.linalg.eigh(correlation)
    drawn = np.random.default_rng(0).standard_normal((DRAWS, len(scale)))
    deviating = drawn * np.sqrt(variances.clip(0)) @ axes.T
    return float(np.quantile(np.abs(deviating).max(1), LEVEL))
