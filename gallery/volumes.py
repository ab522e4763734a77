"""Figures of volumes: as surfaces seen from outside, and as slices across each axis. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from ..analysis.presentation.figures import picture_grid
from ..analysis.presentation.names import label
from ..analysis.presentation.parts import Plot
from .rows import rows_of
from .solids import surfaces

SLICES, AXES = 3, "dhw"  # across each axis


def solid_plot(arrays: Mapping[str, np.ndarray], named: Callable[[str], str] = label) -> Plot:
    """Surfaces of two rows of volumes (N, D, H, W, C) uint8, of each augmentation's masks and the volumes they mix."""
    rows, names = rows_of(arrays, named, "volume")
    mixed = "images" in arrays
    return Plot(
        "masks",
        "Masks and mixed volumes" if mixed else "Masks of a volume",
        f"Masks at the same λ{', and the volumes that they mix' * mixed}, seen from outside, the last axis upwards. "
        "Of a mask the part is shown that takes the first volume; a voxel that is full in part is faint.",
        f"A grid of solids: for each of {', '.join(names)}, a row of masks{' and one of mixed volumes' * mixed}.",
        picture_grid([(title, surfaces(_full(volumes))) for title, volumes in rows]),
    )


def slice_plot(arrays: Mapping[str, np.ndarray], named: Callable[[str], str] = label) -> Plot:
    """Slices of the first pair of volumes, of the first mask of each augmentation and what it mixes."""
    rows, _ = rows_of(arrays, named, "volume")
    first = [(title, _full(volumes[:1])[0]) for title, volumes in rows]
    places = [f"{axis}{place}" for axis, side in zip(AXES, first[0][1].shape, strict=True) for place in _places(side)]
    return Plot(
        "slices",
        "Slices of masks and mixed volumes" if "images" in arrays else "Slices of masks",
        f"Of the first column above, {SLICES} slices across each axis, evenly spaced: d, h and w are the first, second "
        "and last axis, the number the place along it. White takes the first volume, black the second.",
        f"A grid of pictures, a row for each mask and volume, {SLICES} columns for each of three axes.",
        picture_grid([(title, _slices(volume)) for title, volume in first], places),
    )


def _full(volumes: np.ndarray) -> np.ndarray:
    """Masks (N, D, H, W) as they are, volumes (N, D, H, W, C) uint8 in [0, 1], their channels' mean."""
    return volumes if volumes.ndim == 4 else volumes.mean(-1) / 255


def _places(side: int) -> list[int]:
    """Of slices, evenly spaced, half a step from the ends."""
    return [int((slot + 0.5) * side / SLICES) for slot in range(SLICES)]


def _slices(volume: np.ndarray) -> np.ndarray:
    """Slices of (D, H, W) across each axis, each on a square of the longest side, NaN around it."""
    longest = max(volume.shape)
    squares = []
    for axis, side in enumerate(volume.shape):
        for place in _places(side):
            one = volume.take(place, axis)
            square = np.full((longest, longest), np.nan)
            top, left = ((longest - have) // 2 for have in one.shape)
            square[top : top + one.shape[0], left : left + one.shape[1]] = one
            squares.append(square)
    return np.stack(squares)
