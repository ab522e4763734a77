"""The rate against the Gaussian that fits the marginal best, instead of against N(0, I)."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..interface import Estimate
from ..statistics.uncertainty import from_independent
from .encodings import Coded, check, check_fit


def rate_gaussian(mean: Tensor, log_scale: Tensor, *, fit: Coded) -> Estimate:
    """E D(q(z|x) ‖ N(m, C)) over (N, d) encodings, in nats; m and C are the moments of other encodings, ``fit`` (M, d).

    m = mean of μ, C = cov(μ) + diag(mean of σ²): the full-covariance Gaussian nearest to the mixture of the fitted
    encodings (it minimises the rate over all Gaussians). An upper bound on I(Z; X) like every rate, E D(q(z|x) ‖ r) =
    I(Z; X) + D(q(z) ‖ r), for any r that the evaluated encodings had no part in; below `rate` by what the prior
    misses in mean, scale and correlation. Not changed by affine maps of single latents. A fit on M encodings costs up
    to about d (d + 3) / 4M nats more than the best Gaussian.

    Raises:
        InputError: see `encodings.check`; the fit set overlaps the evaluated encodings.
    """
    mean, log_scale = check(mean, log_scale)
    centre, covariance = moments(*check_fit(mean, log_scale, fit))
    return from_independent(rate_gaussian_per_sample(mean, log_scale, centre, covariance), "upper")


def moments(mean: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (d,) and covariance (d, d) of the mixture of encodings given as (M, d) means and log-scales."""
    centre = mean.mean(0)
    spread = (mean - centre).T @ (mean - centre) / len(mean)
    return centre, spread + torch.diag((2 * log_scale).exp().mean(0))


def rate_gaussian_per_sample(mean: Tensor, log_scale: Tensor, centre: Tensor, covariance: Tensor) -> Tensor:
    """D(N(μ, diag σ²) ‖ N(m, C)) for each row: ½ [tr C⁻¹ diag σ² + (μ − m)ᵀ C⁻¹ (μ − m) − d + log det C − Σ log σ²]."""
    scale, factor = factored(covariance)
    inverse = torch.cholesky_inverse(factor)
    whitened = torch.linalg.solve_triangular(factor, ((mean - centre) / scale).T, upper=False)
    log_ratio = log_scale - scale.log()
    trace = (2 * log_ratio).exp() @ inverse.diagonal()
    log_det = 2 * factor.diagonal().log().sum()
    return 0.5 * (trace + whitened.square().sum(0) - mean.shape[1] + log_det - 2 * log_ratio.sum(1))


def factored(covariance: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviations s (d,), and the Cholesky factor L (d, d) of the correlations: C = diag(s) L Lᵀ diag(s).

    Unit variances first: C's condition number then does not depend on the latents' units.
    """
    scale = covariance.diagonal().sqrt()
    factor, failed = torch.linalg.cholesky_ex(covariance / torch.outer(scale, scale))
    if failed:
        raise InputError(
            f"the encodings of the fit set span fewer than their {len(scale)} dimensions: no Gaussian fits them. Give "
            f"more of them, many times {len(scale)}."
        )
    return scale, factor
