"""Bootstrap over images: intervals of means and of what is no mean, from one set of resamples.

A resample is how often it holds each image, so that a statistic of many resamples is one of weights (R, N) and needs no
loop over them. Weights and what a statistic holds lie on one device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ..interface import Estimate, Interval
from .level import LEVEL

ELEMENTS = 2**18  # of the weights that a statistic is given at once: 2 MB, so that temporaries stay in a CPU's cache


def resamples(images: int, count: int, generator: Generator) -> Tensor:
    """How often each of ``count`` resamples, drawn with replacement, holds each image: (count, images), float64."""
    drawn = torch.randint(images, (count, images), generator=generator)
    once = torch.ones((), dtype=torch.float64).expand(drawn.shape)
    return torch.zeros(drawn.shape, dtype=torch.float64).scatter_add_(1, drawn, once)


def bootstrap_mean(terms: Tensor, weights: Tensor, unit: str) -> Estimate:
    """The mean of terms (N,), float64, with its percentile interval; NaN terms are images of which it says nothing.

    ``weights`` (R, N) are those of `resamples`. inf terms give an infinite mean, which has no interval.
    """
    known = ~terms.isnan()
    n = int(known.sum())
    value = terms[known].mean().item() if n else math.nan
    if not math.isfinite(value):
        return Estimate(value, None, n, "none", unit)
    means = weights @ torch.where(known, terms, 0.0) / (weights @ known.to(weights.dtype))
    return _estimate(value, means, n, unit, terms=terms)


def bootstrap(
    statistic: Callable[[Tensor], Tensor], weights: Tensor, unit: str, *, least: float = -math.inf
) -> Estimate:
    """``statistic`` of all images, with the spread of its values on the resamples, moved to lie around it.

    It takes weights (R, N), some of those of `resamples` or all ones, and gives its values (R,). What is no mean shifts
    when images repeat: an ECE of resamples lies above that of the images, so that their percentiles may leave out the
    estimate. The shift (the bootstrap's estimate of bias) is taken off the interval and left in the estimate. The
    interval ends at ``least``, below which the statistic cannot lie.
    """
    images = weights.shape[1]
    values = torch.cat([statistic(part) for part in weights.split(max(1, ELEMENTS // images))])
    value = statistic(weights.new_ones(1, images)).item()
    return _estimate(value, values - values.nanmean() + value, images, unit, least=least)


def _estimate(
    value: float, values: Tensor, n: int, unit: str, *, terms: Tensor | None = None, least: float = -math.inf
) -> Estimate:
    """With the spread of the resamples that have a value; without an error where most have none."""
    known = values[values.isfinite()]
    if not math.isfinite(value) or len(known) < max(2, len(values) // 2):
        return Estimate(value, None, n, "none", unit, samples=terms)
    low, high = torch.quantile(known, known.new_tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2])).tolist()
    interval = Interval(max(low, least), high, LEVEL, f"{len(known)} bootstrap resamples")
    return Estimate(value, known.std().item(), n, "none", unit, interval, samples=terms)
