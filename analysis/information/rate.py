"""The rate of a Gaussian encoder: E D(q(z|x) ‖ N(0, I)), the paper's estimate of a mutual information."""

from __future__ import annotations

import math

from torch import Tensor

from ..errors import InputError
from ..interface import Bound, Estimate


def rate_per_sample(mean: Tensor, log_scale: Tensor) -> Tensor:
    """D(N(μ, diag σ²) ‖ N(0, I)) in nats for each row; μ and log σ are (N, d), the result (N,).

    ½ Σ (μ² + σ² − 1 − log σ²), the closed form of eq. 5's second term.
    """
    if mean.shape != log_scale.shape or mean.ndim != 2:
        raise InputError(
            f"means and log-scales must both be (N, d), got {tuple(mean.shape)} and {tuple(log_scale.shape)}."
        )
    return 0.5 * (mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale).sum(1)


def rate(mean: Tensor, log_scale: Tensor) -> Estimate:
    """E D(q(z|x) ‖ N(0, I)) over N encodings, with its standard error over them.

    An upper bound on I(Z; X): rate = I(Z; X) + D(q(z) ‖ N(0, I)), and the second term is never negative. The paper
    (section 3, appendix B, eq. 6) reports it as I(Z_A; X), or I(Z_A; X̂) when the encodings are of reconstructions.
    """
    return summarise(rate_per_sample(mean.double(), log_scale.double()), bound="upper")


def summarise(samples: Tensor, bound: Bound, unit: str = "nats") -> Estimate:
    """Mean and standard error of independent samples (N,)."""
    n = len(samples)
    if n < 2:
        raise InputError(f"a standard error needs at least 2 samples, got {n}.")
    spread = samples.double().std().item()
    return Estimate(samples.double().mean().item(), spread / math.sqrt(n), n, bound, unit)
