"""CutMix: paste a box of one sample into another (Yun et al. 2019, arXiv 1905.04899).

Pitfall: the box is centred anywhere and clipped at the border, so the kept area is larger than λ on average; labels
must follow the realised area, which is what `Mix.pairs` returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from ..errors import InputError
from .transform import Mix, as_size, check_lam, source


def cutmix_mask(
    lam: Tensor, size: int | Sequence[int], *, generator: Generator | None = None, centre: Tensor | None = None
) -> Tensor:
    """Binary masks (B, 1, *size), of λ's type and device: 0 inside a box of volume 1 − λ before clipping, 1 outside.

    Each side is (1 − λ)^(1/d) of the image's, rounded down to an even number of pixels as in the published code and
    torchvision (timm keeps odd sides); in one dimension the length is 1 − λ, without a root. The centre is uniform
    over the pixels.

    Args:
        lam: (B,) in [0, 1].
        size: one to three sides.
        generator: source of the centres.
        centre: (B, d) integer pixel coordinates, in place of a draw.

    Raises:
        InputError: λ (on a CPU) outside [0, 1], a bad size, centres of another shape.
    """
    check_lam(lam)
    return _cutmix_mask(lam, as_size(size), generator, centre).to(lam.dtype)


def _cutmix_mask(
    lam: Tensor, size: tuple[int, ...], generator: Generator | None = None, centre: Tensor | None = None
) -> Tensor:
    dims = len(size)
    if centre is None:
        uniform = torch.rand(len(lam), dims, **source(generator, lam.device))
        centre = torch.stack([(uniform[:, i] * side).long().clamp(max=side - 1) for i, side in enumerate(size)], dim=1)
    elif tuple(centre.shape) != (len(lam), dims):
        raise InputError(f"centre must have shape ({len(lam)}, {dims}), got {tuple(centre.shape)}.")
    centre = centre.to(lam.device)
    ratio = (1 - lam) ** (1 / dims)
    inside: Tensor | None = None
    for axis, side in enumerate(size):
        half = (0.5 * ratio * side).long()[:, None]
        position = torch.arange(side, device=lam.device)
        offset = position - centre[:, axis, None]
        within = ((offset >= -half) & (offset < half)).view(
            len(lam), 1, *[side if a == axis else 1 for a in range(dims)]
        )
        inside = within if inside is None else inside & within
    assert inside is not None
    return (~inside).to(torch.float32)


@dataclass(frozen=True)
class CutMix(Mix):
    """A box of x₂ pasted into x₁; λ ~ Beta(alpha, alpha) sets its volume. Arguments as for `Mix`."""

    def draw_mask(self, lam: Tensor, size: tuple[int, ...], *, generator: Generator | None = None) -> Tensor:
        return _cutmix_mask(lam, size, generator)
