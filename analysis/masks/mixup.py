"""MixUp: convex interpolation of two samples (Zhang et al. 2017, arXiv 1710.09412)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor

from .transform import Mix


@dataclass(frozen=True)
class MixUp(Mix):
    """x = λ·x₁ + (1 − λ)·x₂ with λ ~ Beta(alpha, alpha). Arguments as for `Mix`."""

    def draw_mask(self, lam: Tensor, size: tuple[int, ...], *, generator: Generator | None = None) -> Tensor:
        return lam.view(-1, 1, *[1] * len(size))
