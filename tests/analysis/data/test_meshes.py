import itertools

import numpy as np
import pytest

from mixlens.analysis.data.meshes import Mesh, fill, read_off
from mixlens.analysis.errors import InputError

CORNERS = np.array(list(itertools.product((0.0, 1.0), repeat=3)))
SIDES = [(0, 1, 3, 2), (4, 5, 7, 6), (0, 1, 5, 4), (2, 3, 7, 6), (0, 2, 6, 4), (1, 3, 7, 5)]
BOX = Mesh(CORNERS, np.array([[a, *rest] for a, b, c, d in SIDES for rest in ((b, c), (c, d))]))


def off(mesh, head="OFF\n", faces=None):
    rows = [f"{len(mesh.vertices)} {len(mesh.faces) if faces is None else len(faces)} 0"]
    rows += [" ".join(map(str, vertex)) for vertex in mesh.vertices]
    rows += [f"3 {a} {b} {c}" for a, b, c in mesh.faces] if faces is None else faces
    return head + "\n".join(rows) + "\n"


def read(tmp_path, text):
    path = tmp_path / "shape_0001.off"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_off(path)


@pytest.mark.parametrize("head", ["OFF\n", "OFF", "OFF ", "OFF\r\n", "OFF # a comment\n\n# another\n"])
def test_it_reads_what_was_written(tmp_path, head):
    mesh = read(tmp_path, off(BOX, head))
    np.testing.assert_array_equal(mesh.vertices, BOX.vertices)
    np.testing.assert_array_equal(mesh.faces, BOX.faces)


def test_more_corners_are_triangles_and_colours_are_passed_over(tmp_path):
    faces = [f"4 {' '.join(map(str, side))} 255 0 0" for side in SIDES]
    mesh = read(tmp_path, off(BOX, "OFF", faces))
    assert mesh.faces.shape == (12, 3)
    np.testing.assert_array_equal(fill(mesh, 8), fill(BOX, 8))
    mixed = read(tmp_path, off(BOX, faces=["3 0 1 2", "5 0 1 3 7 4"]))
    assert mixed.faces.tolist() == [[0, 1, 2], [0, 1, 3], [0, 3, 7], [0, 7, 4]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("solid cube\n", "begins with b'solid cu'"),
        (b"\x00\x01\x02", "begins with"),
        ("OFF\n", "do not follow OFF"),
        ("OFF\neight 12 0\n", "do not follow OFF"),
        ("OFF\n0 0 0\n", "0 vertices and 0 faces"),
        ("OFF\n8 0 0\n" + "0 0 0\n" * 8, "8 vertices and 0 faces"),
        (off(BOX)[:90], "cut off"),
        ("OFF\n999999999 999999999 0\n1 2 3\n", "cut off"),
        (off(BOX).replace("1.0 1.0 1.0", "1.0 nan 1.0"), "vertex 7 is not finite"),
        (off(BOX).replace("1.0 1.0 1.0", "1.0 1e999 1.0"), "vertex 7 is not finite"),
        (off(BOX).replace("1.0 1.0 1.0", "1.0 x 1.0"), "coordinates are no numbers"),
        (off(Mesh(CORNERS, BOX.faces + 1)), "vertex 8; with 8 vertices, they are 0 to 7"),
        (off(Mesh(CORNERS, BOX.faces - 1)), "vertex -1"),
        (off(BOX, faces=["3 0 1 2", "3 0 1 b"]), "faces are no numbers"),
        (off(BOX, faces=[f"3 0 1 {10**30}"]), "faces are no numbers"),
        (off(BOX, faces=["4 0 1 3 2", "4 0 1 5"]), "4 corners has 3"),
        (off(BOX, faces=["2 0 1 4 4"]), "2 corners has 2"),
        (off(BOX, faces=["-1 0 1 4 4"]), "-1 corners"),
        (off(BOX).replace("1.0 1.0 1.0", "1.0 1.0 1.0 255 0 0"), "vertex 7 has 6 numbers; expected 3"),
        (off(BOX, faces=["4 0 1 3 2", "3 0 1 2"]).replace("8 2 0", "8 1 0"), "has 10 lines for 8 vertices and 1 faces"),
        (off(BOX, faces=["3 0 1 2", "4 0 1 3 2"]).replace("8 2 0", "8 1 0"), "has 10 lines for 8 vertices and 1 faces"),
    ],
)
def test_what_is_no_mesh_is_one_message_that_names_it(tmp_path, text, said):
    with pytest.raises(InputError, match=r"shape_0001\.off is no mesh: ") as caught:
        read(tmp_path, text)
    assert said in str(caught.value)


def test_a_file_that_is_not_there_is_one_too(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.off cannot be read: No such file"):
        read_off(tmp_path / "nowhere.off")


@pytest.mark.parametrize("side", [1, 2, 5, 32])
def test_a_box_is_full(side):
    assert fill(BOX, side).all()


def test_a_flat_square_is_a_layer_in_the_middle():
    square = Mesh(CORNERS[:4], np.array([[0, 1, 3], [0, 3, 2]]))  # x is the same
    expected = np.zeros((9, 9, 9), dtype=bool)
    expected[4] = True
    np.testing.assert_array_equal(fill(square, 9), expected)


def test_moved_and_scaled_it_is_the_same():
    stretched = Mesh(CORNERS * (1, 2, 4), BOX.faces)
    voxels = fill(stretched, 16)
    np.testing.assert_array_equal(fill(Mesh(stretched.vertices * 8 - 1000, BOX.faces), 16), voxels)
    assert voxels.any((1, 2)).sum() == 4
    assert voxels.any((0, 2)).sum() == 8
    assert voxels.any((0, 1)).sum() == 16
    np.testing.assert_array_equal(voxels, voxels[::-1, ::-1, ::-1])  # in the middle


def test_axes_are_x_y_and_z():
    voxels = fill(Mesh(CORNERS[[0, 4, 2]] * (4, 1, 1), np.array([[0, 1, 2]])), 16)
    assert [int(voxels.any(axes).sum()) for axes in ((1, 2), (0, 2), (0, 1))] == [16, 4, 1]


def test_vertices_of_no_face_do_not_count():
    loose = Mesh(np.concatenate([CORNERS, [[50.0, 50, 50]]]), BOX.faces)
    assert fill(loose, 8).all()


def test_without_a_lid_it_is_hollow():
    open_box = Mesh(CORNERS, BOX.faces[2:])
    voxels = fill(open_box, 8)
    assert voxels[-1].all()  # the far side
    assert not voxels[:-1, 1:-1, 1:-1].any()
    assert voxels[:-1].sum() == 7 * (64 - 36)  # the walls


def ball(rings):
    """A sphere of radius 1 by latitude and longitude."""
    up, around = np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, 2 * rings, endpoint=False)
    up, around = np.meshgrid(up, around, indexing="ij")
    vertices = np.stack([np.sin(up) * np.cos(around), np.sin(up) * np.sin(around), np.cos(up)], -1).reshape(-1, 3)
    row, column = np.mgrid[:rings, : 2 * rings].reshape(2, -1)
    corner = [(row + i) * 2 * rings + (column + j) % (2 * rings) for i, j in ((0, 0), (1, 0), (1, 1), (0, 1))]
    triangles = np.stack([corner[0], corner[1], corner[2]], 1), np.stack([corner[0], corner[2], corner[3]], 1)
    return Mesh(vertices, np.concatenate(triangles))


def test_a_ball_has_its_volume_within_half_its_surface_of_voxels():
    side = 64
    count, radius = fill(ball(40), side).sum(), side / 2
    volume, surface = 4 / 3 * np.pi * radius**3, 4 * np.pi * radius**2
    assert volume < count < volume + surface


def touched(corners, side, margin):
    """Which voxels, smaller by a margin all around, a triangle meets: by separating axes, a voxel at a time."""
    voxels = np.zeros((side,) * 3, dtype=bool)
    edges = np.roll(corners, -1, 0) - corners
    axes = [*np.eye(3), np.cross(edges[0], edges[1]), *(np.cross(unit, edge) for unit in np.eye(3) for edge in edges)]
    for place in itertools.product(range(side), repeat=3):
        middle, half = np.array(place) + 0.5, 0.5 - margin
        apart = False
        for axis in axes:
            along, reach = (corners - middle) @ axis, half * np.abs(axis).sum()
            apart |= along.min() > reach or along.max() < -reach
        voxels[place] = not apart
    return voxels


@pytest.mark.parametrize("seed", range(6))
def test_a_triangle_runs_through_the_voxels_that_it_meets(seed):
    """All but those of which it cuts off a corner between two points of the surface."""
    side, corners = 9, np.random.default_rng(seed).normal(size=(3, 3))
    voxels = fill(Mesh(corners, np.array([[0, 1, 2]])), side)
    extent = np.ptp(corners, axis=0).max()
    scaled = (corners - (corners.max(0) + corners.min(0)) / 2) * side / extent * (1 - 1e-6) + side / 2
    assert not (voxels & ~touched(scaled, side, -1e-9)).any()
    assert not (touched(scaled, side, 0.3) & ~voxels).any()
    assert voxels.sum() > 0.8 * touched(scaled, side, 0).sum()


@pytest.mark.parametrize(("scale", "told"), [(0, "all in one place"), (1e-320, "all in one place"), (1e308, "too far")])
def test_a_mesh_without_an_extent_is_refused(scale, told):
    with pytest.raises(InputError, match=f"no extent: .*{told}"):
        fill(Mesh((2 * CORNERS - 1) * scale, BOX.faces), 8)
