"""Shapes of triangles, as OFF files hold them, and the voxels that they fill."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from scipy import ndimage

from ..errors import InputError

Array: TypeAlias = "np.ndarray[Any, Any]"
SPACING = 0.5  # of a voxel: at most so far apart lie the points that a surface is made of
EDGE = 1e-6  # by which it is smaller than the cube: a face between two voxels is of the inner one
SMALLEST = 1e-290  # extent, which a side can be divided by
AT_ONCE = 2**20  # points


class Mesh(NamedTuple):
    vertices: Array  # (V, 3) float64
    faces: Array  # (F, 3) int64, numbers of vertices


def read_off(path: Path) -> Mesh:
    """A mesh from an OFF file; faces of more corners are cut into triangles, and colours are passed over.

    ``OFF`` may stand on the line of the counts, before them or glued to them, as in some hundred files of ModelNet.

    Raises:
        InputError: the file cannot be read, or is no mesh: another format, cut off, no face, coordinates that are not
            finite, faces of vertices that it does not have.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        return _parsed(data)
    except ValueError as error:
        raise InputError(f"{path} is no mesh: {error}.") from error


def _parsed(data: bytes) -> Mesh:
    if not data.startswith(b"OFF"):
        raise ValueError(f"it begins with {data[:8]!r}; expected OFF" if data else "it is empty")
    lines = data[3:].splitlines()
    if b"#" in data:
        lines = [line.partition(b"#")[0] for line in lines]
    words = b"\n".join(lines).split()
    try:
        counted, faced, _ = map(int, words[:3])
    except ValueError as error:
        raise ValueError("the numbers of its vertices, faces and edges do not follow OFF") from error
    if counted < 3 or faced < 1:
        raise ValueError(f"it has {counted} vertices and {faced} faces; a surface has 3 and 1 or more")
    end = 3 + 3 * counted
    if len(words) < end + 4 * faced:
        raise ValueError(f"it is cut off: {len(words)} numbers for {counted} vertices and {faced} faces")
    vertices = _numbers(words[3:end], float, "coordinates").reshape(counted, 3)
    if not np.isfinite(vertices).all():
        raise ValueError(f"vertex {int((~np.isfinite(vertices)).any(1).argmax())} is not finite")
    faces = _faces(words[end:], lines, counted, faced)
    outside = (faces < 0) | (faces >= counted)
    if outside.any():
        raise ValueError(
            f"a face has vertex {int(faces[outside][0])}; with {counted} vertices, they are 0 to {counted - 1}"
        )
    return Mesh(vertices, faces)


def _faces(words: list[bytes], lines: list[bytes], vertices: int, count: int) -> Array:
    if len(words) == 4 * count:
        faces = _numbers(words, np.int64, "faces").reshape(count, 4)
        if (faces[:, 0] == 3).all():
            return faces[:, 1:]
    rows = [row for row in map(bytes.split, lines) if row]  # each vertex and face has one, whatever follows a face
    heads = next(place for place, numbers in enumerate(accumulate(map(len, rows)), 1) if numbers >= 3)
    if len(rows) != heads + vertices + count:
        raise ValueError(f"it has {len(rows) - heads} lines for {vertices} vertices and {count} faces")
    for place, row in enumerate(rows[heads : heads + vertices]):
        if len(row) != 3:
            raise ValueError(f"vertex {place} has {len(row)} numbers; expected 3")
    fans = []
    for row in rows[heads + vertices :]:
        corners, *numbers = _numbers(row, float, "faces").astype(np.int64)
        chosen = np.array(numbers[:corners])
        if len(chosen) < 3 or len(chosen) != corners:
            raise ValueError(f"a face of {corners} corners has {len(chosen)}")
        fans.append(np.stack([np.full(len(chosen) - 2, chosen[0]), chosen[1:-1], chosen[2:]], 1))
    return np.concatenate(fans)


def _numbers(words: list[bytes], kind: Any, what: str) -> Array:
    try:
        return np.array(words).astype(kind)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"its {what} are no numbers") from error


def fill(mesh: Mesh, side: int) -> Array:
    """The voxels (side, side, side) bool that the mesh's surface runs through, and those that these enclose.

    x, y and z go along the three axes. The mesh is moved and scaled so that its longest extent takes the whole side and
    its middle is the cube's, as in the arrays of ModelNet's voxels. Its surface is that of a grid of points on every
    triangle, at most half a voxel apart, so that the same mesh gives the same voxels on every machine.

    Raises:
        InputError: all corners are in one place.
    """
    corners = mesh.vertices[mesh.faces]
    low, high = corners.min((0, 1)), corners.max((0, 1))
    with np.errstate(over="ignore"):
        extent = (high - low).max()
    if not SMALLEST < extent < np.inf:
        told = "its corners are all in one place" if extent < 1 else "its corners are too far apart"
        raise InputError(f"the mesh has no extent: {told}.")
    corners = (corners - (low + high) / 2) * (side / extent * (1 - EDGE)) + side / 2
    voxels = np.zeros((side, side, side), dtype=bool)
    for points in _on_triangles(corners, SPACING):
        voxels[tuple(points.astype(np.int64).T)] = True
    filled: Array = ndimage.binary_fill_holes(voxels)
    return filled


def _on_triangles(corners: Array, spacing: float) -> Iterator[Array]:
    """Points (P, 3), some at a time, on triangles (F, 3, 3): a grid on each, by how long its longest edge is."""
    edges = np.linalg.norm(corners - np.roll(corners, 1, 1), axis=2).max(1)
    parts = 2 ** np.ceil(np.log2(np.maximum(edges / spacing, 1))).astype(np.int64)  # a power, for few kinds of grids
    for count in np.unique(parts):
        first, second = np.mgrid[: count + 1, : count + 1].reshape(2, -1)
        inside = first + second <= count
        weights = np.stack([first, second, count - first - second], 1)[inside] / count
        alike = corners[parts == count]
        step = max(1, AT_ONCE // len(weights))
        for start in range(0, len(alike), step):
            yield (weights @ alike[start : start + step]).reshape(-1, 3)
