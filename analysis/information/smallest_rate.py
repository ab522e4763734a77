"""The smallest of several upper bounds, chosen without looking at the data they are evaluated on."""

from __future__ import annotations

from torch import Generator

from ..errors import InputError
from ..interface import Estimate
from .encodings import Coded, check
from .rate_gaussian import moments, rate_gaussian_per_sample
from .rate_mixture import rate_mixture


def smallest_rate(*encoders: tuple[Coded, Coded], generator: Generator | None = None) -> Estimate:
    """An upper bound in nats on the information that the latents of some encoders share: the smallest of their rates.

    I(Z_1; Z_2) ≤ min(I(Z_1; X), I(Z_2; X)) by data processing along Z_1 ← X → Z_2, and the rate of each encoder bounds
    its information. It is the `rate_mixture` of the `smallest_encoder`.

    Args:
        encoders: for each, its encodings to evaluate and its encodings of other images.

    Raises:
        InputError: no encoder; see `rate_mixture`.
    """
    evaluated, fit = encoders[smallest_encoder(*(fit for _, fit in encoders))]
    return rate_mixture(*evaluated, fit=fit, generator=generator)


def smallest_encoder(*fits: Coded) -> int:
    """Which encoder has the smallest rate, by its encodings of other images than those to be evaluated.

    The smallest of several estimates lies, on average, below the smallest of their expectations, so the choice must not
    be made on the images that are evaluated. On the fit sets the Gaussian of `rate_gaussian` stands for the mixture,
    whose rate of what it was fitted to would be too low.

    Raises:
        InputError: no encoder; see `encodings.check`.
    """
    if not fits:
        raise InputError("smallest_rate needs at least one encoder.")
    rates = []
    for fit in fits:
        mean, log_scale = check(*fit[:2], names=("fit mean", "fit log_scale"))
        rates.append(rate_gaussian_per_sample(mean, log_scale, *moments(mean, log_scale)).mean().item())
    return rates.index(min(rates))
