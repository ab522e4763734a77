"""Bootstrap over images: intervals of means and of what is no mean, from one set of resamples."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from ..interface import Estimate, Interval
from .level import LEVEL


def resamples(images: int, count: int, generator: Generator) -> Tensor:
    """Which images each of ``count`` resamples holds: (count, images), drawn with replacement."""
    return torch.randint(images, (count, images), generator=generator)


def bootstrap_mean(terms: Tensor, drawn: Tensor, unit: str) -> Estimate:
    """The mean of terms (N,) with its percentile interval; NaN terms are images of which it says nothing.

    inf terms give an infinite mean, which has no interval.
    """
    known = ~terms.isnan()
    n = int(known.sum())
    value = terms[known].mean().item() if n else math.nan
    if not math.isfinite(value):
        return Estimate(value, None, n, "none", unit)
    filled = torch.where(known, terms, 0.0)
    means = torch.stack([filled[rows].sum() / known[rows].sum() for rows in drawn])
    return _estimate(value, means, n, unit, terms=terms)


def bootstrap(statistic: Callable[[Tensor], float], drawn: Tensor, unit: str, *, least: float = -math.inf) -> Estimate:
    """``statistic(rows)`` of all images, with the spread of its values on the resamples, moved to lie around it.

    What is no mean shifts when images repeat: an ECE of resamples lies above that of the images, so that their
    percentiles may leave out the estimate. The shift (the bootstrap's estimate of bias) is taken off the interval and
    left in the estimate. The interval ends at ``least``, below which the statistic cannot lie.
    """
    images = drawn.shape[1]
    values = torch.tensor([statistic(rows) for rows in drawn], dtype=torch.float64)
    value = statistic(torch.arange(images))
    return _estimate(value, values - values.nanmean() + value, images, unit, least=least)


def _estimate(
    value: float, values: Tensor, n: int, unit: str, *, terms: Tensor | None = None, least: float = -math.inf
) -> Estimate:
    """With the spread of the resamples that have a value; without an error where most have none."""
    known = values[values.isfinite()]
    if not math.isfinite(value) or len(known) < max(2, len(values) // 2):
        return Estimate(value, None, n, "none", unit, samples=terms)
    low, high = torch.quantile(known, torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=torch.float64)).tolist()
    interval = Interval(max(low, least), high, LEVEL, f"{len(known)} bootstrap resamples")
    return Estimate(value, known.std().item(), n, "none", unit, interval, samples=terms)
