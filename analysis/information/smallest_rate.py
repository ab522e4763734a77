"""The smallest of several upper bounds, chosen without looking at the data they are evaluated on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Generator

from ..errors import InputError
from ..interface import Estimate
from .encodings import Coded, check
from .rate import rate, rate_per_sample
from .rate_gaussian import moments, rate_gaussian_per_sample
from .rate_mixture import rate_mixture


def smallest_rate(*encoders: tuple[Coded, Coded], generator: Generator | None = None) -> Estimate:
    """An upper bound in nats on the information that the latents of some encoders share, from their smallest rate.

    I(Z_1; Z_2) ≤ min(I(Z_1; X), I(Z_2; X)) by data processing along Z_1 ← X → Z_2, and each rate, against N(0, I) or
    against a mixture of its encodings, bounds its encoder's information. Which is smallest is decided on the fit sets:
    the smallest of several estimates lies, on average, below the smallest of their expectations. There the Gaussian of
    `rate_gaussian` stands for the mixture, whose rate of the encodings it was fitted to would be too low; only that of
    the encoder chosen is fitted.

    Args:
        encoders: for each, its encodings to evaluate and its encodings of other images.

    Raises:
        InputError: no encoder; see `rate_mixture`.
    """
    if not encoders:
        raise InputError("smallest_rate needs at least one encoder.")
    candidates: list[tuple[float, Callable[[], Estimate]]] = []
    for evaluated, fit in encoders:
        mean, log_scale = check(*fit[:2], names=("fit mean", "fit log_scale"))
        fitted = rate_gaussian_per_sample(mean, log_scale, *moments(mean, log_scale)).mean().item()
        prior = rate_per_sample(mean, log_scale).mean().item()
        mixture = partial(rate_mixture, *evaluated, fit=fit, generator=generator)
        candidates += [(fitted, mixture), (prior, partial(rate, *evaluated[:2]))]
    return min(candidates, key=lambda candidate: candidate[0])[1]()
