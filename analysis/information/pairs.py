"""Every sample scored against every other, in chunks: what leave-one-out and contrastive estimates are made of.

Scores are log-densities log q(z_i|x_j) of Gaussian encodings, or a critic's f(x_i, y_j). An N × N matrix is never held:
a chunk of rows is scored against all columns, reduced to sums, and overwritten by the next. Time grows as N², memory as
N; results do not depend on the chunks beyond rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..errors import InputError
from .encodings import LARGEST_LOG_SCALE, LOG_2PI, log_density

MEMORY = 2**27  # bytes of a chunk of scores
LARGEST_ROUNDING = 1e-6  # nats that the expansion of a score may be off


class Scores(Protocol):
    """N × N scores of which rows can be computed at will."""

    matched: Tensor  # (N,) float64: the diagonal

    def rows(self, part: slice, out: Tensor) -> None:
        """Write the scores of these rows with all columns into ``out``, (R, N) float64."""
        ...


class GaussianScores:
    """log q(z_i|x_j) = c_j + z_i · μ_j/σ_j² − ½ z_i² · 1/σ_j², as one product of (N, 2d) matrices.

    The two products of the expansion are stacked into one. Coordinates first get zero mean and unit variance,
    which changes no difference of scores and keeps the expansion's rounding error near 10⁻¹⁶ z²/σ². Where scales are
    so small that this is no small number of nats, squared differences are summed coordinate by coordinate instead,
    d times as slow.
    """

    def __init__(self, mean: Tensor, log_scale: Tensor, z: Tensor) -> None:
        self.matched = log_density(z, mean, log_scale)
        # A constant latent has no spread; the smallest scale there is keeps all squares inside float64.
        centre, spread = z.mean(0), z.std(0).clamp_min(math.exp(-LARGEST_LOG_SCALE))
        mean, z, log_scale = (mean - centre) / spread, (z - centre) / spread, log_scale - spread.log()
        precision = (-2 * log_scale).exp()
        constant = -0.5 * (mean.square() * precision + 2 * log_scale + LOG_2PI).sum(1) - spread.log().sum()
        rounding = torch.finfo(z.dtype).eps * (z.square().amax(0) * precision.amax(0)).sum().item()
        self._expanded = rounding < LARGEST_ROUNDING
        if self._expanded:
            self._constant = constant
            self._left = z
            self._right = torch.cat([-0.5 * precision, mean * precision], 1).T.contiguous()
        else:
            self._constant = -(log_scale + 0.5 * LOG_2PI).sum(1) - spread.log().sum()
            self._left, self._right = z, torch.stack([mean.T, (-log_scale).exp().T])

    def rows(self, part: slice, out: Tensor) -> None:
        if self._expanded:
            z = self._left[part]
            torch.addmm(self._constant, torch.cat([z.square(), z], 1), self._right, out=out)
            return
        step = max(1, len(out) // 4)  # three temporaries of a quarter
        for z, block in zip(self._left[part].split(step), out.split(step), strict=True):
            block.copy_(self._constant.expand_as(block))
            for values, means, inverse in zip(z.T, *self._right, strict=True):
                block.sub_((values[:, None] - means).mul_(inverse).square_(), alpha=0.5)


class PairSums(NamedTuple):
    matched: Tensor  # (N,) s_ii
    others: Tensor  # (N,) log 1/(N−1) Σ_{j≠i} exp s_ij
    pull: Tensor  # (G, N) Σ_{i≠k} gate_i · exp s_ik / Σ_{j≠i} exp s_ij: column k's part in the sums over others


Gates = Callable[[slice, Tensor, Tensor], Tensor]  # (rows, matched, others) → (G, R)


def pair_sums(scores: Scores, gates: Gates, memory: int = MEMORY) -> PairSums:
    """Sums over all pairs of N scores, with at most about ``memory`` bytes of scores at a time."""
    matched = scores.matched
    n = len(matched)
    others, pulls = torch.empty_like(matched), None
    step = rows_within(memory, n)
    chunk = matched.new_empty(step, n)
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        block = chunk[: part.stop - start]
        scores.rows(part, block)
        block.diagonal(start).fill_(-math.inf)
        largest = block.amax(1, keepdim=True)
        total = block.sub_(largest).exp_().sum(1)
        others[part] = largest[:, 0] + total.log() - math.log(n - 1)
        gate = gates(part, matched[part], others[part])
        pulls = matched.new_zeros(len(gate), n) if pulls is None else pulls
        pulls.addmm_(gate / total, block)
    assert pulls is not None
    return PairSums(matched, others, pulls)


def rows_within(memory: int, n: int) -> int:
    """How many rows of n float64 fit into so many bytes, from 1 to n. Raises InputError if memory is not positive."""
    if memory < 1:
        raise InputError(f"memory is the bytes that a chunk of scores may take, at least 1; got {memory}.")
    return min(n, max(1, memory // (8 * n)))
