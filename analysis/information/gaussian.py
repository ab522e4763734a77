"""Mutual information of jointly Gaussian samples, from canonical correlations."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from scipy.special import digamma
from torch import Tensor

from ..errors import InputError
from ..interface import Estimate
from ..statistics.uncertainty import from_influence, student
from .samples import check_samples, standardise


def gaussian(x: Tensor, y: Tensor, *, correct_bias: bool = True) -> Estimate:
    """−½ Σ log(1 − ρ_k²) over the canonical correlations ρ_k of x (N, d_x) and y (N, d_y), in nats.

    Equal to ½ log(det C_x det C_y / det C) of the sample covariances. It is I(X; Y) if x and y are jointly Gaussian,
    and for other distributions neither bound nor estimate: it sees linear dependence only. Not changed by invertible
    linear maps of x or of y.

    The plain formula is too high by about d_x d_y / 2N: for Gaussian samples by exactly `gaussian_bias`, whatever the
    truth, which is subtracted unless ``correct_bias`` is False; then the estimate is unbiased (Misra et al. 2005), and
    may be negative. Its error is that of the pointwise information log p(x, y) / p(x) p(y) under the fitted Gaussian,
    plus the variance d_x d_y / 2N² that is left where x and y are independent: too large there (the interval covers
    nearly always), a little too small where 2 N I is near 4 in one dimension (a test holds that it covers 83%).

    Raises:
        InputError: see `samples.check_samples`; N ≤ d_x + d_y + 1; a coordinate that is constant or a linear
            combination of others.
    """
    x, y = check_samples(x, y)
    n, d_x, d_y = len(x), x.shape[1], y.shape[1]
    if n <= d_x + d_y + 1:
        raise InputError(
            f"canonical correlations of {d_x} and {d_y} dimensions need more than {d_x + d_y + 1} pairs, got {n}."
        )
    left, right = _whitened(standardise(x, "x"), "x"), _whitened(standardise(y, "y"), "y")
    u, correlations, v = torch.linalg.svd(left.T @ right / n, full_matrices=False)
    if correlations[0] ** 2 > 1 - 1e-12:
        raise InputError(
            "a linear combination of x is one of y to 12 digits, so their information is infinite or more than float64 "
            "can tell (about 13 nats per coordinate). Leave out shared coordinates."
        )
    squares = correlations.square()
    value = -0.5 * torch.log1p(-squares).sum()
    # log p(x, y)/p(x)p(y) in canonical coordinates a, b: Σ [2ρab − ρ²(a² + b²)] / 2(1 − ρ²), plus the value.
    a, b = left @ u, right @ v.T
    pointwise = value + ((correlations * a * b - 0.5 * squares * (a.square() + b.square())) / (1 - squares)).sum(1)
    bias = gaussian_bias(d_x, d_y, n) if correct_bias else 0.0
    estimate = from_influence(pointwise - bias, pointwise, "none", method="influence function, Student t")
    second_order = d_x * d_y / (2 * n**2)
    assert estimate.stderr is not None
    stderr = math.sqrt(estimate.stderr**2 + second_order)
    return replace(estimate, stderr=stderr, interval=student(estimate.value, stderr, n - 1, "influence function, t"))


def gaussian_bias(d_x: int, d_y: int, n: int) -> float:
    """What the plain formula is too high by, in nats, from n Gaussian samples: d_x d_y / 2n to first order.

    ½ [b(d_x) + b(d_y) − b(d_x + d_y)], b(d) = Σ_{i=1}^{d} ψ((n − i)/2): the mean of a Wishart log-determinant, in
    which the truth cancels.
    """

    def log_determinant(d: int) -> float:
        return float(digamma((n - np.arange(1, d + 1)) / 2).sum())

    return 0.5 * (log_determinant(d_x) + log_determinant(d_y) - log_determinant(d_x + d_y))


def _whitened(values: Tensor, name: str) -> Tensor:
    """Coordinates with unit sample covariance (1/N), from a QR decomposition."""
    q, r = torch.linalg.qr(values - values.mean(0))
    size = r.diagonal().abs()
    if size.min() < 1e-10 * size.max():
        raise InputError(
            f"some coordinate of {name} is a linear combination of the others. Leave it out, or project {name} on its "
            "principal components."
        )
    return q * math.sqrt(len(values))
