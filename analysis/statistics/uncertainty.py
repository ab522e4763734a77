"""From per-sample terms to an `Estimate`: three honest ways to a standard error, one for each way terms depend.

Terms of independent samples have the textbook error. The terms of a leave-one-out or contrastive estimate share the
other samples, which the textbook error ignores: its 95% interval can cover less than 80%, where scores are a critic's
and not the encoder's own density. There the error is taken from the estimate's influence function (the infinitesimal
jackknife: Jaeckel 1972; Efron 1982, chapter 6), or from estimates on disjoint blocks, which share nothing.
"""

from __future__ import annotations

import math

from scipy.special import stdtrit
from torch import Tensor

from ..errors import InputError
from ..interface import Bound, Estimate, Interval
from .level import LEVEL


def as_double(values: Tensor) -> Tensor:
    """Without their gradient; on the CPU where float64 does not exist, as on Apple's MPS."""
    return (values.cpu() if values.device.type == "mps" else values).detach().double()


def from_independent(samples: Tensor, bound: Bound, unit: str = "nats") -> Estimate:
    """The mean of independent terms (N,), N ≥ 2, with a Student t interval."""
    if len(samples) < 2:
        raise InputError(f"a standard error needs at least 2 samples, got {len(samples)}.")
    samples = as_double(samples)
    return from_influence(samples, samples, bound, unit, method="Student t")


def from_influence(
    samples: Tensor, influence: Tensor, bound: Bound, unit: str = "nats", method: str = "infinitesimal jackknife"
) -> Estimate:
    """The mean of dependent terms (N,), its error from the influence (N,) of each sample on that mean.

    ``influence`` holds the derivatives of the estimate by the samples' weights, up to a constant; the variance of the
    estimate is Σ (influence − its mean)² / (N (N − 1)).
    """
    n = len(samples)
    value, stderr = samples.mean().item(), deviation(influence) / math.sqrt(n)
    interval = student(value, stderr, n - 1, method)
    centred = influence - influence.mean()
    return Estimate(value, stderr, n, bound, unit, interval, samples=samples, influence=centred)


def from_blocks(samples: Tensor, size: int, bound: Bound) -> Estimate:
    """The mean of terms (N,) that depend on one another within consecutive blocks of ``size`` only; N = blocks · size.

    At least two blocks.
    """
    means = samples.view(-1, size).mean(1)
    value, stderr = means.mean().item(), deviation(means) / math.sqrt(len(means))
    interval = student(value, stderr, len(means) - 1, f"{len(means)} disjoint blocks, Student t")
    return Estimate(value, stderr, len(samples), bound, interval=interval, samples=samples)


def deviation(values: Tensor) -> float:
    """The standard deviation, of values whose squares leave float64 too."""
    found = values.std().item()
    if found < math.inf:
        return found
    largest = values.abs().max().item()
    return (values / largest).std().item() * largest


def student(value: float, stderr: float, degrees: int, method: str) -> Interval:
    """The t interval around ``value``."""
    half = float(stdtrit(degrees, 0.5 + LEVEL / 2)) * stderr
    return Interval(value - half, value + half, LEVEL, method)


def difference(a: Estimate, b: Estimate, bound: Bound) -> Estimate:
    """a − b, two estimates on the same n samples, with the error of the paired difference.

    ``saturated``, and without an error, where either is.
    """
    assert a.samples is not None
    assert b.samples is not None
    assert (a.n, a.unit) == (b.n, b.unit)
    terms = a.samples - b.samples
    if a.influence is None or b.influence is None:
        flagged = a.saturated or b.saturated
        return Estimate(a.value - b.value, None, a.n, bound, a.unit, saturated=flagged, samples=terms)
    return from_influence(terms, a.influence - b.influence, bound, a.unit, "paired difference, influence functions")
