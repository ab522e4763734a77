"""Points of volumes and volumes of points, a batch at a time, on its device.

A volume's longest side is [−1, 1], with its centre at 0, and a point's three coordinates go along D, H and W.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError


def points_of(volumes: Tensor, places: Tensor) -> Tensor:
    """Centres of voxels (B, P, 3), each taken with a chance in proportion to how full it is.

    Full is what a volume has most, and empty what it has least, whatever its values were shifted and scaled by; of a
    volume that is the same everywhere all points are at 0.

    Args:
        volumes: (B, 1, D, H, W), floats.
        places: (B, P) or (1, P) in [0, 1): where in the running sum over the volume, in raster order, each point is
            taken. Uniform draws make a sample; evenly spaced ones go through all that is full in turn.
    """
    values = volumes.flatten(1)
    least = values.amin(1, keepdim=True)
    span = values.amax(1, keepdim=True) - least
    filled = (values - least) / torch.where(span > 0, span, 1)  # a full voxel is exactly 1, so that its sums are exact
    running = filled.cumsum(1)
    total = running[:, -1:]
    below = torch.nextafter(total, torch.zeros_like(total))  # rounding may lift a place to the end, where nothing is
    wanted = torch.minimum(places.expand(len(volumes), -1) * total, below)
    index = torch.searchsorted(running, wanted.contiguous(), right=True).clamp(max=values.shape[1] - 1)
    centres = _centres(tuple(volumes.shape[2:]), values)
    return centres[index] * (span > 0).unsqueeze(2)


def spaced(count: int, device: torch.device | str | None = None) -> Tensor:
    """Places (1, count) for `points_of`: the middles of so many equal parts of [0, 1)."""
    return ((torch.arange(count, device=device) + 0.5) / count).unsqueeze(0)


def volumes_of(points: Tensor, side: int) -> Tensor:
    """Voxels (B, 1, side, side, side) uint8, 255 where a point lies and 0 elsewhere; those at 1 are in the last voxel.

    Args:
        points: (B, P, 3), in [−1, 1] (`in_cube`).

    Raises:
        InputError: points of another shape, outside, or NaN; no side.
    """
    _check(points)
    if type(side) is not int or side < 1:
        raise InputError(f"volumes of {side!r} voxels a side; give a whole number of at least 1.")
    if not (points.abs() <= 1).all():
        raise InputError("points that are NaN or outside [-1, 1]; move them there (in_cube).")
    index = ((points + 1) * (side / 2)).long().clamp_(max=side - 1)
    flat = (index * torch.tensor([side * side, side, 1], device=points.device)).sum(2)
    voxels = torch.zeros(len(points), side**3, dtype=torch.uint8, device=points.device)
    return voxels.scatter_(1, flat, 255).view(-1, 1, side, side, side)


def in_cube(points: Tensor) -> Tensor:
    """Points (B, P, 3) moved and scaled, each cloud by its own, so that its longest extent is [−1, 1] about 0.

    A cloud of one point alone is at 0.

    Raises:
        InputError: points of another shape.
    """
    _check(points)
    low, high = points.amin(1, keepdim=True), points.amax(1, keepdim=True)
    extent = (high - low).amax(2, keepdim=True)
    centred = (points - (low + high) / 2) / torch.where(extent > 0, extent / 2, 1)
    return centred.clamp_(-1, 1)


def _check(points: Tensor) -> None:
    if not isinstance(points, Tensor):
        raise InputError(
            f"points are {type(points).__name__}; expected a tensor of floats (B, P, 3): torch.as_tensor(points)."
        )
    if points.ndim != 3 or points.shape[2] != 3 or not points.shape[1] or not points.is_floating_point():
        raise InputError(f"points of shape {tuple(points.shape)}, {points.dtype}; expected floats (B, P, 3).")


def _centres(sizes: tuple[int, ...], like: Tensor) -> Tensor:
    """Of every voxel, in raster order: (D·H·W, 3)."""
    axes = [torch.arange(size, dtype=like.dtype, device=like.device) for size in sizes]
    middles = [(2 * axis + 1 - size) / max(sizes) for axis, size in zip(axes, sizes, strict=True)]
    return torch.stack(torch.meshgrid(*middles, indexing="ij"), -1).flatten(0, 2)
