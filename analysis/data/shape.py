"""What a data set's files hold, known without them: for planning before a download."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .dataset import Dataset, Split


class Shape(NamedTuple):
    """How many images of which shape and class there are, and how they are normalised."""

    train: int
    test: int
    image: tuple[int, int, int]  # channels, height, width
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def stand_in(self, name: str) -> Dataset:
        """A data set of this shape whose pixels are noise; classes come in turn. Nothing is to be learnt from it."""
        generator = torch.Generator().manual_seed(0)

        def split(count: int) -> Split:
            labels = torch.arange(count) % len(self.classes)
            return Split(_noise((count, *self.image), generator), labels)

        return Dataset(name, split(self.train), split(self.test), self.classes, self.mean, self.std)


def _noise(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
