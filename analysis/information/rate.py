"""The rate of a Gaussian encoder: E D(q(z|x) ‖ N(0, I)), the paper's estimate of a mutual information."""

from __future__ import annotations

from torch import Tensor

from ..errors import InputError
from ..interface import Estimate
from ..statistics.uncertainty import from_independent
from .encodings import check


def rate_per_sample(mean: Tensor, log_scale: Tensor) -> Tensor:
    """D(N(μ, diag σ²) ‖ N(0, I)) in nats for each row; μ and log σ are (N, d), the result (N,).

    ½ Σ (μ² + σ² − 1 − log σ²), the closed form of eq. 5's second term.
    """
    if mean.shape != log_scale.shape or mean.ndim != 2:
        raise InputError(
            f"means and log-scales must both be (N, d), got {tuple(mean.shape)} and {tuple(log_scale.shape)}."
        )
    return _terms(mean, log_scale).sum(1)


def rate_per_latent(mean: Tensor, log_scale: Tensor) -> Tensor:
    """E D(q(z_j|x) ‖ N(0, 1)) in nats of each latent (d,), over rows (N, d); they add up to the rate."""
    return _terms(mean, log_scale).mean(0)


def _terms(mean: Tensor, log_scale: Tensor) -> Tensor:
    return 0.5 * (mean.square() + (2 * log_scale).exp() - 1 - 2 * log_scale)


def rate(mean: Tensor, log_scale: Tensor) -> Estimate:
    """E D(q(z|x) ‖ N(0, I)) over encodings given as (N, d) means and log-scales, in nats.

    An upper bound on I(Z; X): rate = I(Z; X) + D(q(z) ‖ N(0, I)), and the second term is never negative. The paper
    (section 3, appendix B, eq. 6) reports it as I(Z_A; X), or I(Z_A; X̂) when the encodings are of reconstructions.
    It depends on the latents' units: an encoder whose latents are scaled or shifted has another rate.

    Raises:
        InputError: see `encodings.check`.
    """
    return from_independent(rate_per_sample(*check(mean, log_scale)), "upper")
