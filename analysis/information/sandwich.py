"""Both sides of a Gaussian encoder's information from one pass over all pairs: InfoNCE below, leave-one-out above."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import softplus

from ..errors import InputError
from ..interface import Bound, Estimate
from ..schema import number
from ..statistics.uncertainty import from_blocks, from_influence
from .encodings import prepare
from .pairs import MEMORY, GaussianScores, Scores, pair_sums


class Sandwich(NamedTuple):
    lower: Estimate  # InfoNCE
    upper: Estimate  # leave-one-out


def sandwich(
    mean: Tensor,
    log_scale: Tensor,
    z: Tensor | None = None,
    *,
    k: int | None = None,
    generator: Generator | None = None,
    memory: int = MEMORY,
) -> Sandwich:
    """InfoNCE ≤ I(Z; X) ≤ leave-one-out, in expectation over images, for a Gaussian encoder; nats.

    For encodings (N, d) with one latent z_i ~ q(z|x_i) each (drawn from ``generator`` if not given) and
    LOO_i = log q(z_i|x_i) − log 1/(K−1) Σ_{j≠i} q(z_i|x_j) (Poole et al. 2019, section 2.5),

        NCE_i = log K − softplus(log(K−1) − LOO_i) = log [q(z_i|x_i) / (1/K Σ_j q(z_i|x_j))]  ≤  log K.

    Means over all N, each against the others of its own ``k`` (all N if not given; otherwise consecutive blocks of k, a
    last incomplete one left out; the images must then be in random order). Both directions assume independent images
    that the encoder was not trained on. Not changed by affine maps of single latent coordinates, nor (all N) by the
    images' order.

    Both are ``saturated`` within log 2 of the ceiling (K < 4: within half of it), where the right one of K is picked
    with a geometric mean probability above ½: then InfoNCE
    states little but its ceiling, leave-one-out measures distances to nearest neighbours, and neither has an interval.
    Leave-one-out alone has none where a single sample holds a quarter of its variance: images far from all others can
    make its distribution too heavy for any error to be trusted, in one or two dimensions above all. What is withheld
    for one set of images is not made good by another of the same kind that happened to draw no such image: its
    interval lies too low. `rate_defensive` has no such tails.

    Raises:
        InputError: see `encodings.prepare`; k is not between 2 and N.
    """
    mean, log_scale, z = prepare(mean, log_scale, z, generator)
    return bounds_from(lambda part: GaussianScores(mean[part], log_scale[part], z[part]), len(mean), k, memory)


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


def bounds_from(make: Callable[[slice], Scores], n: int, k: int | None, memory: int) -> Sandwich:
    """The two estimates from scores: ``make`` scores a slice of the n samples against itself.

    The upper one is a bound only where the scores are the true log-densities log q(z|x); the lower one always.
    """
    k = n if k is None else number(k)
    if not isinstance(k, int) or not 2 <= k <= n:
        raise InputError(f"k is how many samples are told apart: between 2 and the {n} there are; got {k}.")
    sums = [pair_sums(make(slice(i, i + k)), _gates(k), memory) for i in range(0, n - k + 1, k)]
    excess = torch.cat([part.matched - part.others for part in sums])
    terms = contrast(excess, k)
    full = terms.mean().item() > max(math.log(k) - math.log(2), 0.5 * math.log(k))
    if full:
        lower, upper = _without_error(terms, "lower"), _without_error(excess, "upper")
    elif len(sums) > 1:
        lower, upper = from_blocks(terms, k, "lower"), from_blocks(excess, k, "upper")
    else:
        # The derivative of the mean by sample k's weight: its own term, less its part in the others' sums.
        matched, others, (gated, ungated) = sums[0]
        lower = from_influence(terms, terms - gated + _gates(k)(slice(None), matched, others)[0], "lower")
        influence = excess - ungated
        upper = from_influence(excess, influence, "upper")
        if _one_dominates(influence):
            upper = replace(upper, stderr=None, interval=None)
    return Sandwich(replace(lower, ceiling=math.log(k)), upper)


def contrast(excess: Tensor, k: int) -> Tensor:
    """NCE_i from LOO_i, in nats; never above log K."""
    return math.log(k) - softplus(math.log(k - 1) - excess, threshold=50)


def _gates(k: int) -> Callable[[slice, Tensor, Tensor], Tensor]:
    """How much of a contrastive sum the others hold, 1 − q_ii / Σ_j q_ij; and 1, for the sum without the diagonal."""

    def gates(part: slice, matched: Tensor, others: Tensor) -> Tensor:
        share = torch.sigmoid(others + math.log(k - 1) - matched)
        return torch.stack([share, torch.ones_like(share)])

    return gates


def _one_dominates(influence: Tensor) -> bool:
    squares = (influence - influence.mean()).square()
    return squares.max().item() > max(0.25 * squares.sum().item(), 1e-20)  # rounding errors do not dominate


def _without_error(terms: Tensor, bound: Bound) -> Estimate:
    return Estimate(terms.mean().item(), None, len(terms), bound, saturated=True, samples=terms)
