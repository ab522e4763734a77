"""Random starts and noise drawn for each image by itself, so that they do not depend on who else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import eagerpy as ep
import torch

from ..analysis.training.backend import stream_seed

HOOKS = ("get_random_start", "sample_noise")  # the methods in which Foolbox's attacks draw


class Draws:
    """Makes an attack draw from seeds of its own: of the sweep, the attack, ε, the image and the number of the draw.

    Foolbox's own drawing code runs, on one image at a time, on the CPU's generator whatever the device, so that every
    device sees the same starts. Attacks that draw outside of those two methods keep the stream of the batch, seeded by
    its first image.
    """

    def __init__(self, attack: Any, *purpose: object) -> None:
        self._purpose = purpose
        self._epsilon = 0.0
        self._images: Sequence[int] = ()
        self._count = 0
        for name in HOOKS:
            original = getattr(attack, name, None)
            if original is not None:
                setattr(attack, name, self._by_image(original))

    def begin(self, images: Sequence[int], epsilon: float) -> None:
        """Which images, by their number in the data set, the next run attacks, and at which ε."""
        self._images, self._epsilon, self._count = images, float(epsilon), 0
        torch.manual_seed(stream_seed(*self._purpose, self._epsilon, "batch", *images[:1]))

    def _by_image(self, original: Callable[..., ep.Tensor]) -> Callable[..., ep.Tensor]:
        def draw(x: ep.Tensor, *arguments: Any) -> ep.Tensor:
            one = ep.astensor(x.raw.cpu())
            drawn = []
            for row, image in enumerate(self._images):
                torch.manual_seed(stream_seed(*self._purpose, self._epsilon, image, self._count))
                drawn.append(original(one[row : row + 1], *arguments).raw)
            self._count += 1
            return ep.astensor(torch.cat(drawn).to(x.raw.device))

        return draw
