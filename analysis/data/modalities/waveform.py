"""Recordings as waveforms: mixed as they are, over time, and made spectrograms by the network that is given them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Unpack

import torch
from torch import Generator, Tensor

from ..loader import Batches, Taken, standardise
from ..spectrograms import FULL
from ..speech import SpeechInWaves
from .image import halves, parts
from .sound import Recordings, problem, read_changes

if TYPE_CHECKING:
    from ..dataset import Split
    from ..modality import Changes

__all__ = ["NAME", "batches", "encoded", "halves", "holds", "mixable", "parts", "problem", "read_changes"]

NAME, ONE, MANY = "waveform", "waveform", "waveforms"


@dataclass(frozen=True, eq=False)
class Waveforms(Recordings):
    """The int16 tensor (N, 1, T) of N recordings."""

    dtype = torch.int16
    ndim = 3

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 1, self.waveforms.shape[1]))

    def __getitem__(self, which: Any) -> Tensor:
        return self.waveforms[which].unsqueeze(-2)

    def split(self, size: int) -> Iterator[Tensor]:
        """So many, one after the other."""
        return (part.unsqueeze(-2) for part in self.waveforms.split(size))


def holds(samples: Any) -> bool:
    return type(samples) is Waveforms


def encoded(samples: Tensor, *, channels_last: bool = False) -> Tensor:
    """In [−1, 1], float32, of its own memory."""
    return samples.to(torch.float32, copy=True).div_(FULL)


def batches(
    split: Split,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    *,
    changes: Changes | None = None,
    **taken: Unpack[Taken],
) -> Batches:
    """Resident on the device, (B, 1, T)."""
    changed = changes is not None and bool(changes.transforms)
    return Batches(
        replace(split, images=split.images[:]),
        mean,
        std,
        batch_size,
        transforms=SpeechInWaves() if changed else _as_they_are,
        **taken,
    )


def _as_they_are(waveforms: Tensor, *, generator: Generator | None = None) -> Tensor:
    return encoded(waveforms)


def mixable(samples: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return standardise(encoded(samples), mean, std)
