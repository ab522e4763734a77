"""Volumes seen from outside: the nearest voxel on each of parallel rays, shaded by face and depth. Imports no torch."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

PIXELS = 80  # of a picture's side
FINER = 2  # rays along each side of a pixel, whose mean it is
TURN, TILT = 32.0, 27.0  # degrees: of the viewer about the upright, and above the horizon
FACES = (0.52, 0.68, 0.86)  # brightness of those across the first, second and last axis
FAR = 0.3  # how much darker the farthest corner is
PRESENT = 0.05  # of a full voxel, from which there is one

Array = np.ndarray[Any, Any]


class _Rays(NamedTuple):
    pixels: Array  # (R,) of the finer picture, those whose rays meet the box
    voxels: Array  # (R, S) the voxels that each passes, in order; one past the last where it is outside
    faces: Array  # (R, S) the axis across which it enters them
    depths: Array  # (R, S) from 0, the nearest corner, to 1


def surfaces(volumes: Array) -> Array:
    """What is seen of volumes (N, D, H, W) in [0, 1]: (N, PIXELS, PIXELS, 4) uint8, clear where nothing is.

    The last axis points up. A voxel is seen from `PRESENT` on, and the emptier, the fainter it is.
    """
    rays = _rays(volumes.shape[1:])
    pictures = np.zeros((len(volumes), (PIXELS * FINER) ** 2, 4), np.float32)
    row = np.arange(len(rays.pixels))
    for volume, picture in zip(volumes, pictures, strict=True):
        flat = np.append(volume.reshape(-1).astype(np.float32), np.float32(0))
        first = (flat > PRESENT)[rays.voxels].argmax(1)
        share = flat[rays.voxels[row, first]]
        share *= share > PRESENT
        grey = np.take(FACES, rays.faces[row, first]) * (1 - FAR * rays.depths[row, first])
        picture[rays.pixels, :3] = (grey * share)[:, None]  # so that the means below are of what is seen
        picture[rays.pixels, 3] = share
    fine = pictures.reshape(len(volumes), PIXELS, FINER, PIXELS, FINER, 4).mean((2, 4))
    fine[..., :3] /= np.maximum(fine[..., 3:], 1e-6)
    return (fine * 255).round().astype(np.uint8)


@lru_cache(maxsize=4)
def _rays(size: tuple[int, ...]) -> _Rays:
    """Every voxel that each ray passes, exactly: its crossings with the planes between voxels, in order."""
    turn, tilt = np.radians([TURN, TILT])
    into = -np.array([np.cos(tilt) * np.sin(turn), np.cos(tilt) * np.cos(turn), np.sin(tilt)])
    right = np.array([-np.cos(turn), np.sin(turn), 0.0])
    up = np.cross(into, right)
    up *= np.sign(up[2])
    sides = np.array(size, float)
    radius = np.linalg.norm(sides) / 2
    count = PIXELS * FINER
    at = ((np.arange(count) + 0.5) / count * 2 - 1) * radius
    start = (
        sides / 2 - 1.01 * radius * into + np.stack([across * right - down * up for down in at for across in at])
    )  # (pixels, 3), in front of the box
    crossings = [(np.arange(side + 1) - start[:, axis, None]) / into[axis] for axis, side in enumerate(size)]
    enter = np.max([each.min(1) for each in crossings], axis=0)
    leave = np.min([each.max(1) for each in crossings], axis=0)
    met = (enter < leave - 1e-9).nonzero()[0]
    times = np.concatenate([each[met] for each in crossings], axis=1)
    order = times.argsort(axis=1, kind="stable")
    times = np.take_along_axis(times, order, 1)
    faces = np.repeat(np.arange(3), [side + 1 for side in size])[order][:, :-1]
    middle = start[met, None] + ((times[:, :-1] + times[:, 1:]) / 2)[..., None] * into
    places = np.floor(middle).astype(np.int64)
    inside = ((places >= 0) & (places < sides)).all(2) & (np.diff(times, axis=1) > 1e-9)
    voxels = np.where(
        inside, np.ravel_multi_index(tuple(np.moveaxis(places.clip(0, sides.astype(int) - 1), 2, 0)), size), 0
    )
    voxels = np.where(inside, voxels, int(np.prod(size))).astype(np.int32)
    depths = (times[:, :-1] / (2.02 * radius)).astype(np.float32)
    return _Rays(met, voxels, faces.astype(np.int8), depths)
