"""Random crops of images of any size: which part of each becomes a training image."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

SCALE = (0.08, 1.0)  # of the image's area
RATIO = (3 / 4, 4 / 3)  # of the crop's width to its height
TRIES = 10


def random_boxes(widths: Tensor, heights: Tensor, generator: Generator) -> Tensor:
    """Where each image is cut: (B, 4) int64, left, top, right and bottom in pixels, drawn on the CPU.

    The area is uniform in ``SCALE``, the ratio log-uniform in ``RATIO``, the place uniform. The first of ten draws that
    fits is taken, else the middle of the image, as wide or as high as a ratio nearest to its own lets it be (Szegedy et
    al. 2014, in the form of torchvision's RandomResizedCrop).

    Args:
        widths, heights: (B,) of the images, in pixels.
    """
    count = len(widths)
    widths, heights = widths.double(), heights.double()
    area, ratio, left, top = torch.rand(4, count, TRIES, generator=generator, dtype=torch.float64)
    area = (SCALE[0] + (SCALE[1] - SCALE[0]) * area) * (widths * heights)[:, None]
    low, high = (math.log(end) for end in RATIO)
    ratio = (low + (high - low) * ratio).exp()
    across, down = (area * ratio).sqrt().round(), (area / ratio).sqrt().round()
    fits = (across > 0) & (across <= widths[:, None]) & (down > 0) & (down <= heights[:, None])
    first = fits.to(torch.uint8).argmax(1, keepdim=True)  # 0 where none fits
    across, down, left, top = (values.gather(1, first).squeeze(1) for values in (across, down, left, top))
    left, top = (left * (widths - across + 1)).floor(), (top * (heights - down + 1)).floor()
    drawn = torch.stack([left, top, left + across, top + down], 1)
    return torch.where(fits.any(1, keepdim=True), drawn, _middle(widths, heights)).long()


def _middle(widths: Tensor, heights: Tensor) -> Tensor:
    ratio = widths / heights
    across = torch.where(ratio > RATIO[1], (heights * RATIO[1]).round(), widths)
    down = torch.where(ratio < RATIO[0], (widths / RATIO[0]).round(), heights)
    left, top = ((widths - across) / 2).floor(), ((heights - down) / 2).floor()
    return torch.stack([left, top, left + across, top + down], 1)
