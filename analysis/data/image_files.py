"""Images in files, decoded when they are asked for: what stands in a `Split` in place of a tensor of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import InputError
from .crops import random_boxes
from .decoders import Wanted, decoded

AT_ONCE = 128  # images that are decoded together where nobody says how many
MEMORY = 0.5  # of the machine's, at most, for images that are to be a tensor


@dataclass(frozen=True, eq=False)
class Listed:
    """All files of a folder, flat arrays of one entry each, so that millions take little memory and no time to send."""

    folder: str
    names: np.ndarray[Any, Any]  # (N,) bytes, below the folder
    hashes: np.ndarray[Any, Any]  # (N, 32) uint8, SHA-256 of the files
    widths: np.ndarray[Any, Any]  # (N,) int32, pixels
    heights: np.ndarray[Any, Any]

    def path(self, row: int) -> str:
        return os.path.join(self.folder, os.fsdecode(self.names[row]))


@dataclass(frozen=True, eq=False)
class ImageFiles:
    """The uint8 tensor (N, 3, size, size) that the files make, as far as others look at one.

    Indexed by a number, a slice or a tensor of numbers or truth values it gives a tensor: the middle of each image, its
    shorter side resized to size / 0.875 (`decoder.evaluation_crop`). Training cuts at random in its stead (`cut`).
    """

    files: Listed
    rows: Tensor  # (N,) int64, of the files
    size: int

    dtype = torch.uint8
    device = torch.device("cpu")
    ndim = 4

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 3, self.size, self.size))

    def __getitem__(self, which: Any) -> Tensor:
        rows = self.rows[which]
        if not rows.ndim:
            return next(self._decoded([rows[None]]))[0]
        if not len(rows):
            return torch.empty(0, *self.shape[1:], dtype=self.dtype)
        _check_memory(len(rows), self.size, self.size)
        images = torch.empty(len(rows), self.size, self.size, 3, dtype=self.dtype).permute(0, 3, 1, 2)
        for place, part in zip(images.split(AT_ONCE), self._decoded(rows.split(AT_ONCE)), strict=True):
            place.copy_(part)
        return images

    def split(self, size: int) -> Iterator[Tensor]:
        """Tensors of so many images, one after the other, the next ones decoded meanwhile."""
        return self._decoded(self.rows.split(size))

    def cpu(self) -> ImageFiles:
        return self

    def to(self, device: torch.device | str) -> Tensor:
        """All of them as a tensor there. Raises InputError where this machine's memory does not hold it."""
        return self[:].to(device)

    def at(self, which: Tensor) -> ImageFiles:
        """Those of these numbers, as files still."""
        return replace(self, rows=self.rows[which])

    def cut(self, which: Tensor, generator: Generator) -> Wanted:
        """A random part of each of these images, resized to size × size: what training sees of them."""
        rows = self.rows[which].numpy()
        widths, heights = (torch.from_numpy(sides[rows]) for sides in (self.files.widths, self.files.heights))
        boxes = random_boxes(widths, heights, generator)
        return Wanted([self.files.path(row) for row in rows], self.size, self.size, "training", boxes.tolist())

    def hashes(self) -> np.ndarray[Any, Any]:
        """SHA-256 of each file, (N, 32) uint8: what they are known by."""
        return self.files.hashes[self.rows.numpy()]

    def _decoded(self, parts: Any) -> Iterator[Tensor]:
        return decoded(
            Wanted([self.files.path(row) for row in rows.numpy()], self.size, self.size, "evaluation") for rows in parts
        )


def resident(files: Listed, rows: Tensor) -> Tensor:
    """Those images as they are, all of one size: (N, 3, H, W) uint8. Raises InputError where memory is too little."""
    first = int(rows[0])
    width, height = int(files.widths[first]), int(files.heights[first])
    _check_memory(len(rows), width, height)
    images = torch.empty(len(rows), 3, height, width, dtype=torch.uint8)
    wanted = (Wanted([files.path(row) for row in part.numpy()], width, height, "whole") for part in rows.split(AT_ONCE))
    for place, part in zip(images.split(AT_ONCE), decoded(wanted), strict=True):
        place.copy_(part)
    return images


def _check_memory(count: int, width: int, height: int) -> None:
    needed, there = 3 * count * width * height, _memory()
    if needed > MEMORY * there:
        raise InputError(
            f"{count:,} images of {width}×{height} pixels would take {needed / 2**30:.1f} GB of memory, of "
            f"{there / 2**30:.1f} that there are. Ask for fewer, or for smaller ones: size=…, as in "
            "folder(path=…,size=224), has them decoded as they are needed."
        )


def _memory() -> float:
    """Bytes that this machine has; without end where it does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):  # not of Windows
        return float("inf")
