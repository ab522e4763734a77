"""How alike two networks' features of the same images are: linear CKA. Tensors in, tensors out."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..analysis.errors import InputError
from ..analysis.interface import Estimate
from ..analysis.statistics.uncertainty import student
from .config import LEAST_IMAGES


class Similarity(NamedTuple):
    debiased: Estimate
    biased: Estimate


def cka(x: Tensor, y: Tensor) -> Similarity:
    """Linear centred kernel alignment HSIC(x, y) / √(HSIC(x, x) HSIC(y, y)) of features x (N, d_x), y (N, d_y).

    ``biased`` is that of Kornblith et al. (2019, eq. 3), ‖XᵀY‖² / ‖XᵀX‖ ‖YᵀY‖ of centred features: with few images for
    the dimensions it comes near 1 whatever they are. ``debiased`` takes the unbiased HSIC of Song et al. (2012, eq. 5),
    as Nguyen et al. (2021) do; its expectation is 0 where x and y are independent, and it may be negative. In features,
    with n images, k_i = |x_i|² and l_i = |y_i|² after centring,

        HSIC = [‖XᵀY‖² − n/(n−2) Σ k_i l_i + Σ k_i Σ l_i / ((n−1)(n−2))] / n (n−3),

    so no n × n matrix is made. Errors are the jackknife's over images, exact, by the same sums without each image.
    Not changed by shifts, rotations and a scale of x or of y.

    Raises:
        InputError: not the same number of images, fewer than 5, values that are not finite, features without spread.
    """
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or len(x) < LEAST_IMAGES:
        raise InputError(
            f"CKA compares features (N, d) of the same images, at least {LEAST_IMAGES}; got {tuple(x.shape)} and "
            f"{tuple(y.shape)}."
        )
    x, y = _centred(x), _centred(y)
    both = [_hsic(*pair) for pair in ((x, y), (x, x), (y, y))]
    return Similarity(*(_aligned(*values) for values in zip(*both, strict=True)))


def _centred(x: Tensor) -> Tensor:
    """Centred, with a mean square of 1, so that neither scale nor shift costs digits."""
    x = x.double()
    x = x - x.mean(0)
    size = x.square().mean().sqrt()
    if not 0 < size < math.inf:
        raise InputError("features that are the same for all images, or not finite, are like nothing: CKA is 0 / 0.")
    return x / size


def _hsic(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """n (n − 3) HSIC unbiased and n² HSIC biased, (1 + n,): of all images, and without each of them.

    Without image i the centre moves by −x_i / (n − 1), which is worked out in the sums.
    """
    n, cross = len(x), x.T @ y
    k, l = x.square().sum(1), y.square().sum(1)  # noqa: E741
    through = ((x @ cross) * y).sum(1)  # x_i' XᵀY y_i
    r, kl = 1 / (n - 1), k * l
    norms = cross.square().sum() - 2 * (1 + r) * through + (1 + r) ** 2 * kl
    products = (
        (kl.sum() - kl)
        + 2 * r * ((y @ (y.T @ k)) - kl + (x @ (x.T @ l)) - kl)
        + r**2 * (l * (k.sum() - k) + k * (l.sum() - l) + 4 * (through - kl))
        - 3 * r**3 * kl
    )
    totals = (k.sum() - (1 + r) * k) * (l.sum() - (1 + r) * l)
    norms = torch.cat([cross.square().sum()[None], norms])
    products, totals = torch.cat([kl.sum()[None], products]), torch.cat([(k.sum() * l.sum())[None], totals])
    count = torch.full_like(norms, n - 1)
    count[0] = n
    return norms - count / (count - 2) * products + totals / ((count - 1) * (count - 2)), norms


def _aligned(xy: Tensor, xx: Tensor, yy: Tensor) -> Estimate:
    """From HSICs (1 + n,), with the jackknife's error; without one where that of x or y with itself is not positive."""
    values = xy / (xx.sqrt() * yy.sqrt())
    value, without, n = values[0].item(), values[1:], len(values) - 1
    if not math.isfinite(value):
        raise InputError(f"{n} images are too few for features of so little spread: give more with images.")
    if not without.isfinite().all():
        return Estimate(value, None, n, "none", "")
    influence = (n - 1) * (without.mean() - without)
    stderr = influence.std().item() / math.sqrt(n)
    interval = student(value, stderr, n - 1, "jackknife")
    return Estimate(value, stderr, n, "none", "", interval, influence=influence)
