"""Images: uint8 (N, C, H, W) in memory, or files that make them. Mixed as they are, over height and width."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Tensor, nn

from ..image_files import ImageFiles
from ..loader import Batches, Taken, Transforms, normalise, unit
from ..streamed import Streamed
from ..sub_policies import read_transforms

if TYPE_CHECKING:
    from ..dataset import Split
    from ..modality import Changes

NAME, ONE, MANY = "image", "image", "images"
CHANNELS = 4  # at most; more are told from sides by this alone


def holds(samples: Any) -> bool:
    return isinstance(samples, ImageFiles) or (isinstance(samples, Tensor) and samples.ndim == 4)


def problem(samples: Any) -> str:
    if samples.dtype != torch.uint8:
        nans = int(samples.isnan().flatten(1).any(1).sum()) if samples.is_floating_point() and samples.ndim > 1 else 0
        found = f", and {nans} of them contain NaN" if nans else ""
        return f"images of dtype {_dtype(samples)}{found}; give uint8 values 0..255"
    if samples.ndim != 4:
        return f"images of shape {tuple(samples.shape)}; expected (N, C, H, W)"
    if samples.shape[1] > CHANNELS >= samples.shape[3]:
        return (
            f"images of shape {tuple(samples.shape)}, whose channels stand last; expected (N, C, H, W): give "
            "images.transpose(0, 3, 1, 2) of an array, .permute(0, 3, 1, 2) of a tensor"
        )
    return ""


def encoded(samples: Tensor, *, channels_last: bool = False) -> Tensor:
    """In [0, 1], float32."""
    x = unit(samples)
    return x.contiguous(memory_format=torch.channels_last) if channels_last else x


def parts(samples: Any, count: int) -> Iterator[tuple[slice, Tensor]]:
    start = 0
    for part in samples.split(count):
        yield slice(start, start + len(part)), part
        start += len(part)


def batches(
    split: Split,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    *,
    changes: Changes | None = None,
    **taken: Unpack[Taken],
) -> Batches | Streamed:
    """Resident on the device, or cut at random as files are decoded; those are not padded and cropped once more."""
    in_files = isinstance(split.images, ImageFiles)
    transforms = changes and Transforms(
        flip=changes.flip,
        crop_padding=0 if in_files else changes.crop,
        policies=read_transforms(changes.transforms).policies,
    )
    return (Streamed if in_files and changes else Batches)(split, mean, std, batch_size, transforms=transforms, **taken)


def read_changes(text: str) -> str:
    return read_transforms(text).text


def mixable(samples: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return normalise(samples, mean, std)


def halves(network: nn.Module) -> tuple[Any, Any]:
    """Nothing before, all of it afterwards."""
    return (lambda x: x), network


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
