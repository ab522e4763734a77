"""DenseNet-BC for small images (Huang, Liu, van der Maaten and Weinberger 2017, "Densely connected networks")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .layers import at_least_one, layers_per_stage, norm_relu

BOTTLENECK = 4  # channels before the 3×3 convolution, in units of the growth
COMPRESSION = 2  # a transition leaves one of so many channels
STAGES = 3


class DenseLayer(nn.Module):
    """BN–ReLU–1×1 conv–BN–ReLU–3×3 conv, whose ``growth`` channels are set beside its input's."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        inner = BOTTLENECK * growth
        self.norm1 = norm_relu(inputs)
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.norm2 = norm_relu(inner)
        self.conv2 = nn.Conv2d(inner, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.conv2(self.norm2(self.conv1(self.norm1(x))))], 1)


class DenseNetBC(nn.Module):
    """Images (B, in_channels, H, W) → logits (B, num_classes). With 190 layers and growth 40: 25.6 million parameters.

    Three stages of (depth − 4) / 6 layers, between them a 1×1 convolution that halves the channels and a 2×2 mean.

    Raises:
        InputError: a depth that is not 6 n + 4.
    """

    def __init__(self, num_classes: int, *, depth: int = 190, growth: int = 40, in_channels: int = 3) -> None:
        super().__init__()
        count, growth = layers_per_stage("depth", depth, 4, 6), at_least_one("growth", growth)
        channels = 2 * growth
        self.stem = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        stages: list[nn.Module] = []
        for number in range(STAGES):
            parts: list[nn.Module] = []
            if number:
                fewer = channels // COMPRESSION
                parts += [norm_relu(channels), nn.Conv2d(channels, fewer, 1, bias=False), nn.AvgPool2d(2)]
                channels = fewer
            parts += [DenseLayer(channels + growth * layer, growth) for layer in range(count)]
            channels += growth * count
            stages.append(nn.Sequential(*parts))
        self.stages = nn.Sequential(*stages)
        self.head_norm = norm_relu(channels)
        self.head = nn.Linear(channels, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.head_norm(self.stages(self.stem(x))).mean((2, 3)))


ARCHITECTURES = {"densenet-bc": DenseNetBC}
