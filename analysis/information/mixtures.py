"""Gaussian mixtures with full covariances, fitted by EM to latents that are drawn anew in every step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from .encodings import normal
from .pairs import rows_within

STEPS = 20  # of EM
LATER_STEPS = 5  # with what was held out
HELD_OUT = 5  # one encoding of so many
SIZES = (4, 12)  # numbers of components that are tried, beside one
ROWS_PER_COMPONENT = 10  # encodings for each of its dimensions, at least
SHARE = 0.01  # of the Gaussian in the mixture
MEMORY = 2**24  # bytes of a chunk of rows for all components: a processor's cache holds it


class Latents(NamedTuple):
    """Encodings N(μ, diag σ²) in coordinates in which y = L⁻¹ z has mean 0 and covariance I, over all of them."""

    mean: Tensor  # (n, d)
    scale: Tensor  # (n, d): σ, no logarithm
    factor: Tensor  # (d, d): L

    def take(self, index: Tensor) -> Latents:
        return Latents(self.mean[index], self.scale[index], self.factor)

    def draw(self, generator: Generator | None) -> Tensor:
        """y (n, d) of one fresh latent of each encoding."""
        noise = normal(self.mean.float(), generator)  # a fifth of the time of doubles, whose digits no fit needs
        z = self.mean + self.scale * noise
        return torch.linalg.solve_triangular(self.factor, z.T, upper=False).T.contiguous()


class Mixture(NamedTuple):
    """K Gaussians, in coordinates y in which the Gaussian nearest to all latents is N(0, I)."""

    log_weight: Tensor  # (K,)
    mean: Tensor  # (K, d)
    root: Tensor  # (K, d, d): Λ_k, lower triangular, C_k⁻¹ = Λ_kᵀ Λ_k

    def log_ratios(self, y: Tensor) -> Tensor:
        """log [w_k N(y; m_k, C_k) / N(y; 0, I)] of rows (n, d): (n, K)."""
        k, d = self.mean.shape
        standard = (y @ self.root.reshape(k * d, d).T).view(-1, k, d) - (self.root @ self.mean[:, :, None]).squeeze(2)
        constant = self.log_weight + self.root.diagonal(dim1=1, dim2=2).log().sum(1)
        return constant - 0.5 * (standard.square_().sum(2) - y.square().sum(1, keepdim=True))

    def log_ratio(self, y: Tensor) -> Tensor:
        """log [r(y) / N(y; 0, I)] of rows (n, d): (n,); r holds a `SHARE` of N(0, I), so that no tail falls below."""
        parts = [torch.logsumexp(self.log_ratios(part), 1) for part in self.chunks(y)]
        return torch.logaddexp(torch.cat(parts) + math.log1p(-SHARE), y.new_tensor(math.log(SHARE)))

    def chunks(self, y: Tensor) -> tuple[Tensor, ...]:
        return y.split(rows_within(MEMORY, self.mean.numel()))


def choose_mixture(latents: Latents, generator: Generator | None) -> Mixture | None:
    """The mixture of which a held-out fifth of the encodings says that it is better than N(0, I); None where none is.

    Of `SIZES`, that with the largest gain in mean log-density, less its standard error, where N(0, I) gains 0. It then
    takes in what was held out.
    """
    n, d = latents.mean.shape
    order = normal(latents.mean[:, 0], generator).argsort()
    held, rest = (latents.take(part) for part in (order[: n // HELD_OUT], order[n // HELD_OUT :]))
    best, least = None, 0.0
    for components in SIZES:
        if n < ROWS_PER_COMPONENT * d * components:
            break
        mixture = fit_mixture(rest, components, generator)
        gains = mixture.log_ratio(held.draw(generator))
        sure = (gains.mean() - gains.std() / math.sqrt(len(gains))).item()
        if sure > least:
            best, least = mixture, sure
    return None if best is None else improve(best, latents, LATER_STEPS, generator)


def fit_mixture(latents: Latents, components: int, generator: Generator | None) -> Mixture:
    """EM (Dempster, Laird and Rubin 1977) from N(c_k, I), with random latents c_k.

    It ends at a local optimum. In many dimensions nearly all of a distance is noise, so k-means++ starts, at outliers,
    end worse on the encodings of images; random responsibilities do not part well-separated clusters.
    """
    y = latents.draw(generator)
    centres = y[normal(y[:, 0], generator).argsort()[:components]]
    unit = torch.eye(y.shape[1], dtype=y.dtype, device=y.device).expand(len(centres), -1, -1)
    return improve(Mixture(y.new_zeros(len(centres)), centres, unit), latents, STEPS, generator)


def improve(mixture: Mixture, latents: Latents, steps: int, generator: Generator | None) -> Mixture:
    """Steps of EM, each on fresh latents: a component cannot close in on the draws of few encodings."""
    for _ in range(steps):
        y = latents.draw(generator)
        mixture = _maximise((part, torch.softmax(mixture.log_ratios(part), 1)) for part in mixture.chunks(y))
    return mixture


def _maximise(parts: Iterable[tuple[Tensor, Tensor]]) -> Mixture:
    """The M step, from rows (n, d) with their responsibilities (n, K), a chunk at a time.

    Each covariance is shrunk to that of all latents, I, by d rows of it: (S_k + d I) / (n_k + d).
    """
    total = torch.zeros(())
    for y, shares in parts:
        rows = torch.cat([y, y.new_ones(len(y), 1)], 1)  # one product then holds squares, sums and counts
        total = total + (shares[:, :, None] * rows[:, None]).flatten(1).T @ rows
    total = total.view(-1, total.shape[1], total.shape[1])
    squares, sums, counts = total[:, :-1, :-1], total[:, -1, :-1], total[:, -1, -1]
    k, d = sums.shape
    mean = sums / counts.clamp_min(1e-300)[:, None]
    unit = torch.eye(d, dtype=mean.dtype, device=mean.device)
    spread = squares - mean[:, :, None] * sums[:, None]
    covariance = (spread + d * unit) / (counts + d)[:, None, None]
    root = torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), unit.expand(k, d, d), upper=False)
    return Mixture(((counts + 1) / (counts.sum() + k)).log(), mean, root)
