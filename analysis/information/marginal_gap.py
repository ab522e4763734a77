"""How much of a rate is no information: the gap D(q(z) ‖ N(0, I)), between two sides."""

from __future__ import annotations

from typing import NamedTuple

from torch import Generator, Tensor

from ..interface import Estimate
from ..statistics.uncertainty import difference
from .encodings import Coded, prepare
from .pairs import MEMORY
from .rate import rate
from .rate_mixture import rate_mixture
from .sandwich import sandwich


class Gap(NamedTuple):
    lower: Estimate  # rate − rate_mixture
    upper: Estimate  # rate − InfoNCE


def marginal_gap(
    mean: Tensor,
    log_scale: Tensor,
    z: Tensor | None = None,
    *,
    fit: Coded,
    generator: Generator | None = None,
    memory: int = MEMORY,
) -> Gap:
    """rate − rate_mixture ≤ D(q(z) ‖ N(0, I)) ≤ rate − InfoNCE (K = N), in expectation; nats.

    rate = I(Z; X) + D(q(z) ‖ N(0, I)) (Hoffman and Johnson 2016), so what bounds the information from above bounds the
    gap from below, and the other way round. From N images InfoNCE cannot exceed log N: at a rate of 78 nats and N =
    10,000 the gap is known to lie somewhere between the first number and 69 nats, and the upper one is ``saturated``.

    Args: see `sandwich`; ``fit``: encodings of other images, see `rate_mixture`.
    """
    mean, log_scale, z = prepare(mean, log_scale, z, generator)
    prior, fitted = rate(mean, log_scale), rate_mixture(mean, log_scale, z, fit=fit, generator=generator)
    contrastive = sandwich(mean, log_scale, z, memory=memory).lower
    return gap_between(prior, fitted, contrastive)


def gap_between(prior: Estimate, fitted: Estimate, contrastive: Estimate) -> Gap:
    """The gap's two sides from the three estimates on the same encodings."""
    return Gap(difference(prior, fitted, "lower"), difference(prior, contrastive, "upper"))
