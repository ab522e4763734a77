"""Volumes: uint8 (N, C, D, H, W), such as voxels of shapes, 0 empty and 255 full. Mixed as they are, over all three."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor

from ...errors import InputError
from ..loader import Batches, Taken, unit
from . import image
from .image import halves, mixable

if TYPE_CHECKING:
    from ..dataset import Split
    from ..modality import Changes

__all__ = ["NAME", "batches", "encoded", "halves", "holds", "mixable", "parts", "problem", "read_changes"]

NAME, ONE, MANY = "volume", "volume", "volumes"
USUAL = 32**3  # voxels


def holds(samples: Any) -> bool:
    return isinstance(samples, Tensor) and samples.ndim == 5


def problem(samples: Any) -> str:
    if samples.dtype != torch.uint8:
        kind = str(samples.dtype).removeprefix("torch.")
        return f"volumes of dtype {kind}; give uint8 values 0..255: of truth values, full is 255"
    if min(samples.shape[1:]) < 1:
        return f"volumes of shape {tuple(samples.shape)}; expected (N, C, D, H, W)"
    if len(samples) and samples.amax() == 1:
        return "volumes of 0 and 1; full is 255: multiply them by it"
    return ""


def parts(samples: Any, count: int) -> Iterator[tuple[slice, Tensor]]:
    return image.parts(samples, _at_once(samples, count))


def _at_once(samples: Tensor, count: int) -> int:
    """Fewer of large ones, whose activations would not fit: no more voxels than so many volumes of 32³ have."""
    return max(1, min(count, count * USUAL // max(1, samples[:1].numel())))


def encoded(samples: Tensor, *, channels_last: bool = False) -> Tensor:
    """In [0, 1], float32."""
    return unit(samples)


def batches(
    split: Split,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    *,
    changes: Changes | None = None,
    **taken: Unpack[Taken],
) -> Batches:
    """Resident on the device, and neither flipped nor cropped: those are of images."""
    size = batch_size if changes is not None else _at_once(split.images, batch_size)
    return Batches(split, mean, std, size, **taken)


def read_changes(text: str) -> str:
    if text not in ("", "none"):
        raise InputError(f"--transforms {text!r} are of images or recordings; there are none of volumes.")
    return ""
