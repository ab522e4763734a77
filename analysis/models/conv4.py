"""Four convolutions, the network of few-shot learning (Vinyals et al. 2016, "Matching networks"): seconds on a CPU."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import InputError
from .layers import at_least_one, norm_relu

BLOCKS = 4


class Conv4(nn.Module):
    """Images (B, in_channels, H, W) → logits (B, num_classes). Four blocks of convolution, BN, ReLU and maximum.

    Raises:
        InputError: images of less than 16 pixels a side, of which nothing would be left.
    """

    def __init__(self, num_classes: int, *, width: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        width = at_least_one("width", width)
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        stages: list[nn.Module] = [nn.Sequential(norm_relu(width), nn.MaxPool2d(2))]
        for _ in range(BLOCKS - 1):
            conv = nn.Conv2d(width, width, 3, padding=1, bias=False)
            stages.append(nn.Sequential(conv, norm_relu(width), nn.MaxPool2d(2)))
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        if min(x.shape[2:]) < 2**BLOCKS:
            raise InputError(f"conv4 takes images of at least {2**BLOCKS} pixels a side, got {tuple(x.shape[2:])}.")
        return self.head(self.stages(self.stem(x)).mean((2, 3)))


ARCHITECTURES = {"conv4": Conv4}
