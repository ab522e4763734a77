"""VoxNet (Maturana and Scherer 2015): two convolutions over voxels, for shapes."""

from __future__ import annotations

from torch import Tensor, nn

from ..errors import InputError
from .layers import at_least_one

LEAST = 12  # voxels a side, of which the convolutions leave something to pool
POOLED = 6  # a side, as is left of 32


class VoxNet(nn.Module):
    """Volumes (B, in_channels, D, H, W) → logits (B, num_classes).

    Convolutions of 5³ in steps of 2 and of 3³, each with a leaky ReLU of 0.1 and dropout (0.2, 0.3), a maximum down to
    6³, of sides of 32 by twos as published, and 128 units with dropout of 0.4.

    Raises:
        InputError: volumes of less than 12 voxels a side.
    """

    def __init__(self, num_classes: int, *, width: int = 32, in_channels: int = 1) -> None:
        super().__init__()
        width = at_least_one("width", width)
        self.features = nn.Sequential(
            nn.Conv3d(in_channels, width, 5, stride=2),
            nn.LeakyReLU(0.1),
            nn.Dropout(0.2),
            nn.Conv3d(width, width, 3),
            nn.LeakyReLU(0.1),
            nn.AdaptiveMaxPool3d(POOLED),
            nn.Dropout(0.3),
        )
        self.head = nn.Sequential(
            nn.Linear(width * POOLED**3, 128), nn.ReLU(), nn.Dropout(0.4), nn.Linear(128, num_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 5 or min(x.shape[2:]) < LEAST:
            raise InputError(f"voxnet takes volumes of at least {LEAST} voxels a side, got {tuple(x.shape[1:])}.")
        return self.head(self.features(x).flatten(1))


TAKES = ("volume",)
ARCHITECTURES = {"voxnet": VoxNet}
