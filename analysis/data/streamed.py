"""Batches of images that lie in files: cut at random as they are decoded, and all else on the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Generator, Tensor

from .decoders import decoded
from .image_files import ImageFiles
from .loader import Batched

if TYPE_CHECKING:
    from .dataset import Split


class Streamed(Batched):
    """Of `ImageFiles`: pixels travel as bytes, from pinned memory to a CUDA device while it computes.

    Each epoch draws two numbers from ``generator`` after its order, and from these, batch after batch, crops and
    transforms, so that they are the same however many processes decode, and how far ahead. While iterating, a file
    that cannot be read is an InputError.
    """

    images: ImageFiles

    def place(self, split: Split) -> None:
        assert isinstance(split.images, ImageFiles)
        self.images, self.labels = split.images, split.labels.cpu()

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self.order()
        order = torch.arange(len(self.images)) if order is None else order
        source = self.generator.device if self.generator is not None else "cpu"
        seeds = torch.randint(2**62, (2,), generator=self.generator, device=source).tolist()
        crops, others = Generator().manual_seed(seeds[0]), Generator(self.device).manual_seed(seeds[1])
        batches = [order[self.rows(batch)] for batch in range(len(self))]
        pinned = self.device.type == "cuda"
        wanted = (self.images.cut(batch, crops) for batch in batches)
        for batch, pixels in zip(batches, decoded(wanted, pinned=pinned), strict=True):
            labels = self.labels[batch]
            if pinned:
                labels = labels.pin_memory()
            x = self.ready(pixels.to(self.device, non_blocking=True), others)
            yield x, labels.to(self.device, non_blocking=pinned)
