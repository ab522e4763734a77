"""Batches of images that lie in files: cut at random as they are decoded, and all else on the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Generator, Tensor

from ..errors import InputError
from .dataset import Split
from .decoders import decoded
from .image_files import ImageFiles
from .loader import Transforms, standardise, unit


class Streamed:
    """Iterates over a split of `ImageFiles` as `loader.Batches` does over a tensor: x normalised, y, on ``device``.

    Each epoch draws the order and two numbers from ``generator``, and from these, batch after batch, crops and
    transforms, so that they are the same however many processes decode, and how far ahead. Pixels travel as bytes, from
    pinned memory to a CUDA device while it computes. A last batch of one image is joined to the batch before it.

    Raises:
        InputError: a batch size below 2 or above the number of images; while iterating, a file that cannot be read.
    """

    def __init__(
        self,
        split: Split,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        *,
        transforms: Transforms | None = None,
        device: torch.device | str = "cpu",
        generator: Generator,
        channels_last: bool = False,
    ) -> None:
        if not 2 <= batch_size <= len(split):
            raise InputError(f"batch size {batch_size} for a split of {len(split)} images; give 2 to {len(split)}.")
        assert isinstance(split.images, ImageFiles)
        self.images, self.labels, self.device = split.images, split.labels.cpu(), torch.device(device)
        self.mean, self.std = (torch.tensor(values, dtype=torch.float32, device=device) for values in (mean, std))
        self.batch_size, self.transforms, self.generator = batch_size, transforms, generator
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format

    def __len__(self) -> int:
        return (len(self.images) + self.batch_size - 2) // self.batch_size  # one image over makes no batch

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        source = self.generator.device
        order = torch.randperm(len(self.images), generator=self.generator, device=source).cpu()
        seeds = torch.randint(2**62, (2,), generator=self.generator, device=source).tolist()
        crops, others = Generator().manual_seed(seeds[0]), Generator(self.device).manual_seed(seeds[1])
        starts = [number * self.batch_size for number in range(len(self))]
        batches = [order[start:end] for start, end in zip(starts, [*starts[1:], len(order)], strict=True)]
        pinned = self.device.type == "cuda"
        wanted = (self.images.cut(batch, crops) for batch in batches)
        for batch, pixels in zip(batches, decoded(wanted, pinned=pinned), strict=True):
            labels = self.labels[batch]
            if pinned:
                labels = labels.pin_memory()
            yield self._ready(pixels, others), labels.to(self.device, non_blocking=pinned)

    def _ready(self, pixels: Tensor, generator: Generator) -> Tensor:
        x = pixels.to(self.device, non_blocking=True)
        if self.transforms is not None:
            x = self.transforms(x, generator=generator)
        x = x if x.is_floating_point() else unit(x)
        return standardise(x, self.mean, self.std).contiguous(memory_format=self.memory_format)
