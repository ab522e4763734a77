"""PointNet (Qi et al. 2017) on points taken from a volume, so that every augmentation trains and is tested on the same.

A volume is mixed as voxels, and what the network sees are points of what is filled: of MixUp's half-filled voxels each
with half the chance (`data.points`). While it trains they are drawn, from PyTorch's generator as dropout is; in eval
mode they are evenly spaced among the filled voxels in raster order.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from ..data.points import points_of, spaced
from ..errors import InputError
from .layers import at_least_one


class PointNet(nn.Module):
    """Volumes (B, 1, D, H, W) → logits (B, num_classes).

    The published network: each point by itself through 64, 64, and 64, 128, 1024 units, the maximum over points, and
    512 and 256 units, dropout before the last; batch normalisation and ReLU after every layer. Two small networks of
    the same kind turn the points and their 64 features first (3×3 and 64×64, from the identity on); the loss that
    keeps the larger near a rotation is left out. An empty volume is so many points at 0.

    Args:
        points: taken of each volume.
        train_points: another number while it trains, as the published FMix code does (128, of mixed voxels alone);
            training and test then differ in their input.
        turned: without it, Qi et al.'s "vanilla" network.

    Raises:
        InputError: volumes of several channels, numbers that are none.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        points: int = 1000,
        train_points: int | None = None,
        turned: bool = True,
        dropout: float = 0.3,
        in_channels: int = 1,
    ) -> None:
        super().__init__()
        self.cloud = Cloud(points, train_points, in_channels)
        if not 0 <= dropout < 1:
            raise InputError(f"dropout must lie in [0, 1), got {dropout!r}.")
        self.turn = Turn(3) if turned else None
        self.first = layers(3, 64, 64)
        self.turn_features = Turn(64) if turned else None
        self.second = layers(64, 64, 128, 1024)
        self.head = nn.Sequential(layers(1024, 512, 256), nn.Dropout(dropout), nn.Linear(256, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        cloud = self.cloud(x)
        if self.turn is not None:
            cloud = self.turn(cloud)
        cloud = each(self.first, cloud)
        if self.turn_features is not None:
            cloud = self.turn_features(cloud)
        return self.head(each(self.second, cloud).amax(1))


class PointNetOfficial(nn.Module):
    """As the published FMix code calls it, Kaolin's: 64, 128, 1024 units, the last without ReLU, nothing turned.

    And no dropout before 512 and 256 units.

    Raises:
        InputError: as `PointNet`.
    """

    def __init__(
        self, num_classes: int, *, points: int = 1000, train_points: int | None = None, in_channels: int = 1
    ) -> None:
        super().__init__()
        self.cloud = Cloud(points, train_points, in_channels)
        self.features = layers(3, 64, 128, 1024)[:-1]
        self.head = nn.Sequential(layers(1024, 512, 256), nn.Linear(256, num_classes))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(each(self.features, self.cloud(x)).amax(1))


class Cloud(nn.Module):
    """Points (B, P, 3) of volumes (B, 1, D, H, W): drawn while it trains, evenly spaced in eval mode."""

    def __init__(self, points: int, train_points: int | None, channels: int) -> None:
        super().__init__()
        if channels != 1:
            raise InputError(f"pointnet takes one channel, which says what is filled; these volumes have {channels}.")
        self.points = at_least_one("points", points)
        self.train_points = self.points if train_points is None else at_least_one("train_points", train_points)

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 5 or x.shape[1] != 1:
            raise InputError(f"pointnet takes volumes (B, 1, D, H, W), got {tuple(x.shape)}.")
        if self.training:
            return points_of(x.float(), torch.rand(len(x), self.train_points, device=x.device))
        return points_of(x.float(), spaced(self.points, x.device))


class Turn(nn.Module):
    """Clouds (B, P, C) times a matrix (C, C) each, that a PointNet of their own gives; the identity at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.features = layers(channels, 64, 128, 1024)
        last = nn.Linear(256, channels * channels)
        nn.init.zeros_(last.weight)
        with torch.no_grad():
            last.bias.copy_(torch.eye(channels).flatten())
        self.matrix = nn.Sequential(layers(1024, 512, 256), last)

    def forward(self, cloud: Tensor) -> Tensor:
        channels = cloud.shape[2]
        matrix = self.matrix(each(self.features, cloud).amax(1))
        return cloud @ matrix.view(-1, channels, channels)


def layers(*widths: int) -> nn.Sequential:
    """Linear, batch normalisation and ReLU from one width to the next."""
    pairs = pairwise(widths)
    return nn.Sequential(
        *(part for before, after in pairs for part in (nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU()))
    )


def each(shared: nn.Module, cloud: Tensor) -> Tensor:
    """The same layers for every point of clouds (B, P, C), normalised over points and batch alike."""
    return shared(cloud.flatten(0, 1)).unflatten(0, cloud.shape[:2])


TAKES = ("volume",)
ARCHITECTURES = {"pointnet": PointNet, "pointnet-official": PointNetOfficial}
