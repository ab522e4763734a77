"""CutMix: paste a box of one sample into another (Yun et al. 2019, arXiv 1905.04899).

Pitfall: the box is centred anywhere and clipped at the border, so the kept area is larger than λ on average (.70 for
.50 over λ ~ U at 32×32); labels must follow the realised area, which is what `Mix.pairs` returns. The trainings of the
FMix paper use torchbearer's CutMix, whose labels follow the λ drawn: ``CutMix(mode="batch", lam="asked",
rounding="nearest")``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Literal, get_args

import torch
from torch import Generator, Tensor

from ..errors import InputError, unknown
from .transform import Mix, as_size, check_lam, floats, for_counts, tensor_of

Rounding = Literal["down", "nearest"]


def cutmix_mask(
    lam: Tensor,
    size: int | Sequence[int],
    *,
    rounding: Rounding = "down",
    generator: Generator | None = None,
    centre: Tensor | None = None,
) -> Tensor:
    """Binary masks (B, 1, *size), of λ's type and device: 0 inside a box of volume 1 − λ before clipping, 1 outside.

    Each side s is (1 − λ)^(1/d) of the image's and reaches ⌊s / 2⌋ pixels either way from the centre, so it is rounded
    down to an even number as by Yun et al. and torchvision (timm keeps odd sides); with ``rounding="nearest"`` it
    reaches ⌊round(s) / 2⌋, as by torchbearer. In one dimension the length is 1 − λ, without a root. The centre is
    uniform over the pixels.

    Args:
        lam: (B,) in [0, 1].
        size: one to three sides.
        generator: source of the centres.
        centre: (B, d) integer pixel coordinates, in place of a draw.

    Raises:
        InputError: λ (on a CPU) outside [0, 1], a bad size or rounding, centres of another shape.
    """
    lam = tensor_of(lam)
    check_lam(lam)
    _check_rounding(rounding)
    return _cutmix_mask(lam, as_size(size), rounding, generator, tensor_of(centre)).to(lam.dtype)


def _check_rounding(rounding: str) -> None:
    if rounding not in get_args(Rounding):
        raise unknown("rounding", rounding, get_args(Rounding))


def _cutmix_mask(
    lam: Tensor,
    size: tuple[int, ...],
    rounding: Rounding,
    generator: Generator | None = None,
    centre: Tensor | None = None,
) -> Tensor:
    dims = len(size)
    if centre is None:
        uniform = torch.rand(len(lam), dims, **floats(generator, lam.device))
        centre = torch.stack([(uniform[:, i] * side).long().clamp(max=side - 1) for i, side in enumerate(size)], dim=1)
    elif tuple(centre.shape) != (len(lam), dims):
        raise InputError(f"centre must have shape ({len(lam)}, {dims}), got {tuple(centre.shape)}.")
    centre = centre.to(lam.device)
    ratio = (1 - for_counts(lam, max(size))) ** (1 / dims)
    inside: Tensor | None = None
    for axis, side in enumerate(size):
        length = ratio * side
        half = (0.5 * (length.round() if rounding == "nearest" else length)).long()[:, None]
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
    """A box of x₂ pasted into x₁; λ ~ Beta(alpha, alpha) sets its volume.

    Arguments as for `Mix`; ``rounding`` of the box's sides as for `cutmix_mask`.
    """

    _: KW_ONLY
    rounding: Rounding = "down"

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_rounding(self.rounding)

    def draw_mask(self, lam: Tensor, size: tuple[int, ...], *, generator: Generator | None = None) -> Tensor:
        return _cutmix_mask(lam, size, self.rounding, generator)
