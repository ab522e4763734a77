"""An upper bound that is never far above the better of the prior and the leave-one-out mixture."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from ..interface import Estimate
from ..statistics.uncertainty import from_influence
from .encodings import log_prior, prepare
from .pairs import MEMORY, GaussianScores, pair_sums


def rate_defensive(
    mean: Tensor,
    log_scale: Tensor,
    z: Tensor | None = None,
    *,
    generator: Generator | None = None,
    memory: int = MEMORY,
) -> Estimate:
    """E [log q(z_i|x_i) − log(½ N(z_i; 0, I) + ½ 1/(N−1) Σ_{j≠i} q(z_i|x_j))] ≥ I(Z; X), in nats.

    The marginal is replaced by a mixture of the prior and the other images' encodings (a defensive mixture: Hesterberg
    1995), so it exceeds neither `rate` nor `leave_one_out` by more than log 2, in expectation: with too few images for
    leave-one-out it is about the rate, with enough it is about leave-one-out. Arguments and errors: see `sandwich`.
    """
    mean, log_scale, z = prepare(mean, log_scale, z, generator)
    prior = log_prior(z)

    def gates(part: slice, matched: Tensor, others: Tensor) -> Tensor:
        return torch.sigmoid(others - prior[part]).unsqueeze(0)  # the others' share of the mixture

    sums = pair_sums(GaussianScores(mean, log_scale, z), gates, memory)
    terms = sums.matched - torch.logaddexp(prior, sums.others) + math.log(2)
    return from_influence(terms, terms - sums.pull[0], "upper")
