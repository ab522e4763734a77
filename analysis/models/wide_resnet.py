"""Wide residual networks for small images (Zagoruyko and Komodakis 2016, "Wide residual networks")."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from .layers import at_least_one, layers_per_stage, norm_relu
from .preact_resnet import PreActBlock

STEM = 16  # channels
GROWTH = (1, 2, 4)  # channels of the three stages, in units of 16 widths
PUBLISHED_POOL = 7  # pixels a side


class WideResNet(nn.Module):
    """Images (B, in_channels, H, W) → logits (B, num_classes). WRN-28-10 has 36.5 million parameters.

    Three stages of (depth − 4) / 6 pre-activated blocks each, ``width`` times as wide as a ResNet's. ``official`` is
    the network of the published FMix code, which averages the last maps over 7×7 of their 8×8 pixels: the last row
    and column of a 32×32 image's maps are not seen.

    Raises:
        InputError: a depth that is not 6 n + 4.
    """

    def __init__(
        self, num_classes: int, *, depth: int = 28, width: int = 10, in_channels: int = 3, official: bool = False
    ) -> None:
        super().__init__()
        blocks, width = layers_per_stage("depth", depth, 4, 6), at_least_one("width", width)
        self.stem = nn.Conv2d(in_channels, STEM, 3, padding=1, bias=False)
        stages: list[nn.Module] = []
        inputs = STEM
        for growth in GROWTH:
            outputs, stride = STEM * growth * width, 2 if stages else 1
            first = PreActBlock(inputs, outputs, stride, activated=False)
            others = [PreActBlock(outputs, outputs, 1, activated=False) for _ in range(blocks - 1)]
            stages.append(nn.Sequential(first, *others))
            inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.head_norm = norm_relu(inputs)
        self.head = nn.Linear(inputs, num_classes)
        self.official = official

    def forward(self, x: Tensor) -> Tensor:
        features = self.head_norm(self.stages(self.stem(x)))
        if self.official:
            features = F.avg_pool2d(features, PUBLISHED_POOL)
        return self.head(features.mean((2, 3)))


ARCHITECTURES = {
    "wide-resnet": partial(WideResNet, official=False),
    "wide-resnet-official": partial(WideResNet, official=True),
}
