"""The leave-one-out upper bound on the information of a Gaussian encoder."""

from __future__ import annotations

from torch import Generator, Tensor

from ..interface import Estimate
from .pairs import MEMORY
from .two_sided import sandwich


def leave_one_out(
    mean: Tensor,
    log_scale: Tensor,
    z: Tensor | None = None,
    *,
    k: int | None = None,
    generator: Generator | None = None,
    memory: int = MEMORY,
) -> Estimate:
    """E [log q(z_i|x_i) − log 1/(K−1) Σ_{j≠i} q(z_i|x_j)] ≥ I(Z; X), in nats: the upper side of `sandwich`.

    An upper bound in expectation, because the logarithm of a mean over *other* images lies below log q(z) on average
    (Jensen; Poole et al. 2019, section 2.5). It has no ceiling, and needs many times exp(I) images to be tight:
    with fewer than exp(I) it is ``saturated`` and far too high. Arguments and errors: see `sandwich`.
    """
    return sandwich(mean, log_scale, z, k=k, generator=generator, memory=memory).upper
