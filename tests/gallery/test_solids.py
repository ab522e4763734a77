"""What is seen of volumes: silhouettes in closed form, and every ray against a slow walk through the voxels."""

import numpy as np
import pytest

from mixlens.gallery import solids
from mixlens.gallery.solids import FACES, FAR, FINER, PIXELS, TILT, TURN, surfaces


def areas(size):
    """Of the three faces of a box that are seen, in pixels."""
    turn, tilt = np.radians([TURN, TILT])
    pixel = np.linalg.norm(size) / PIXELS
    d, h, w = size
    return (
        np.array([h * w * np.cos(tilt) * np.sin(turn), d * w * np.cos(tilt) * np.cos(turn), d * h * np.sin(tilt)])
        / pixel**2
    )


@pytest.mark.parametrize("size", [(8, 8, 8), (4, 9, 16)], ids=str)
def test_a_full_box_covers_what_its_faces_project_to(size):
    (picture,) = surfaces(np.ones((1, *size)))
    assert picture[..., 3].sum() / 255 == pytest.approx(areas(size).sum(), rel=0.01)
    rays = solids._rays(size)
    entered = np.bincount(rays.faces[np.arange(len(rays.voxels)), (rays.voxels < np.prod(size)).argmax(1)])
    assert entered / FINER**2 == pytest.approx(areas(size), rel=0.02)


def test_each_ray_meets_the_first_voxel_of_a_slow_walk():
    volume = np.random.default_rng(0).random((5, 6, 4)) < 0.2
    rays = solids._rays(volume.shape)
    turn, tilt = np.radians([TURN, TILT])
    viewer = np.array([np.cos(tilt) * np.sin(turn), np.cos(tilt) * np.cos(turn), np.sin(tilt)])
    right = np.array([-np.cos(turn), np.sin(turn), 0])
    up = np.array([-np.sin(tilt) * np.sin(turn), -np.sin(tilt) * np.cos(turn), np.cos(tilt)])
    radius = np.linalg.norm(volume.shape) / 2
    count = PIXELS * FINER
    flat = np.append(volume, False)
    differ = 0
    for place in range(0, len(rays.pixels), 211):
        down, across = divmod(rays.pixels[place], count)
        offsets = [((one + 0.5) / count * 2 - 1) * radius for one in (across, down)]
        begin = np.array(volume.shape) / 2 + radius * viewer + offsets[0] * right - offsets[1] * up
        walked = None
        for step in np.arange(0, 2 * radius, 0.005):
            voxel = np.floor(begin - step * viewer).astype(int)
            if (voxel >= 0).all() and (voxel < volume.shape).all() and volume[tuple(voxel)]:
                walked = np.ravel_multi_index(tuple(voxel), volume.shape)
                break
        hits = flat[rays.voxels[place]]
        seen = rays.voxels[place, hits.argmax()] if hits.any() else None
        differ += seen != walked  # a corner that the walk steps over
    assert differ <= 1


def test_the_last_axis_points_up_and_the_upper_face_is_the_brightest():
    low, high = np.zeros((2, 1, 8, 8, 8))
    low[..., :2], high[..., 6:] = 1, 1
    rows = [np.average(np.arange(PIXELS), weights=surfaces(each)[0, ..., 3].sum(1)) for each in (low, high)]
    assert rows[1] < rows[0] - 10, "smaller rows are higher"
    assert FACES[2] == max(FACES)
    (picture,) = surfaces(np.ones((1, 8, 8, 8)))
    shown = picture[..., 0][picture[..., 3] == 255]
    assert 255 * min(FACES) * (1 - FAR) <= shown.min() < shown.max() <= 255 * max(FACES)


def test_an_empty_volume_is_clear_and_a_half_full_one_is_faint():
    empty, half, full = surfaces(np.stack([np.full((4, 4, 4), share) for share in (0, 0.5, 1)]))
    assert not empty.any()
    assert np.abs(half[..., 3].astype(int) * 2 - full[..., 3]).max() <= 2
    opaque = full[..., 3] == 255
    assert np.abs(half[opaque].astype(int) - full[opaque])[:, :3].max() <= 1, "of the same grey"


def test_what_is_behind_is_not_seen():
    volume = np.zeros((1, 8, 8, 8))
    volume[0, :, 7] = 1  # a wall towards the viewer
    before = surfaces(volume)
    volume[0, 1:3, 3:5, 1:4] = 1
    assert (surfaces(volume) == before).all()
