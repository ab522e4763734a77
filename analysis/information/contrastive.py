"""Contrastive lower bounds on the information of a Gaussian encoder: InfoNCE and the index code."""

from __future__ import annotations

from torch import Generator, Tensor

from ..interface import Estimate
from .pairs import MEMORY
from .two_sided import sandwich


def infonce(
    mean: Tensor,
    log_scale: Tensor,
    z: Tensor | None = None,
    *,
    k: int,
    generator: Generator | None = None,
    memory: int = MEMORY,
) -> Estimate:
    """E log [q(z_i|x_i) / (1/K Σ_j q(z_i|x_j))] ≤ I(Z; X), in nats: the lower side of `sandwich`, at most log K.

    The encoder's own density is the critic, which is the best one: no other gives more in expectation (van den Oord et
    al. 2018; Poole et al. 2019, sections 2.3 and 2.5). In consecutive blocks of ``k``, so images must be in random
    order; the terms of different blocks share nothing, and their means give the error. Arguments and errors: see
    `sandwich`.
    """
    return sandwich(mean, log_scale, z, k=k, generator=generator, memory=memory).lower


def index_code(
    mean: Tensor,
    log_scale: Tensor,
    z: Tensor | None = None,
    *,
    generator: Generator | None = None,
    memory: int = MEMORY,
) -> Estimate:
    """InfoNCE with K = N: log q(z_i|x_i) against the mixture of all N encodings, in nats, at most log N.

    Exactly the information that a latent holds about the *index* of its image among these N. On independent held-out
    images it is a lower bound on I(Z; X) in expectation; on the images an encoder was trained on it is the index's
    information and no more. Arguments and errors: see `sandwich`.
    """
    return sandwich(mean, log_scale, z, generator=generator, memory=memory).lower
