import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.sources import modelnet10
from mixlens.analysis.data.sources.modelnet10 import CLASSES, fetch, load, status
from mixlens.analysis.errors import InputError

SIDE = 8
TRUE = Path(os.environ.get("MIXLENS_DATA", "")) / modelnet10.FOLDER / "modelnet10-32.npz"


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(modelnet10, "COUNTS", {"train": 20, "test": 10})


def arrays(side=32, **changed):
    generator = np.random.default_rng(0)
    made = {}
    for name, count in (("train", 20), ("test", 10)):
        made[f"X_{name}"] = (generator.random((count, side, side, side)) < 0.1).astype(np.int32)
        made[f"y_{name}"] = np.arange(count) % 10
    return {**made, **changed}


def write_arrays(root, side=32, **changed):
    folder = root / modelnet10.FOLDER
    folder.mkdir(exist_ok=True)
    values = {key: value for key, value in arrays(side, **changed).items() if value is not None}
    np.savez_compressed(folder / f"modelnet10-{side}.npz", **values)
    return folder / f"modelnet10-{side}.npz"


def tetrahedron(number):
    """The published form, header and counts on one line in every other file."""
    head = "OFF" if number % 2 else "OFF\n"
    return f"{head}4 4 6\n0 0 0\n{2 + number} 0 0\n0 {1 + number} 0\n0 0 1\n3 0 1 2\n3 0 1 3\n3 0 2 3\n3 1 2 3\n"


@pytest.fixture
def meshes(tmp_path):
    folder = tmp_path / modelnet10.FOLDER
    for kind in CLASSES:
        for name, numbers in (("train", (1, 2)), ("test", (3,))):
            (folder / kind / name).mkdir(parents=True)
            for number in numbers:
                (folder / kind / name / f"{kind}_{number:04}.off").write_text(tetrahedron(number), encoding="ascii")
    return folder


# arrays


def test_arrays_are_full_and_empty_voxels(tmp_path):
    path = write_arrays(tmp_path)
    (file,) = status(tmp_path)
    assert (file.path, file.present, file.ok) == (path, True, True)
    data = load(tmp_path)
    assert (data.modality.NAME, data.classes) == ("volume", CLASSES)
    np.testing.assert_array_equal(data.train.images.numpy(), arrays()["X_train"][:, None] * 255)
    np.testing.assert_array_equal(data.test.labels.numpy(), arrays()["y_test"])
    share = arrays()["X_train"].mean()
    assert data.mean[0] == pytest.approx(share, abs=5e-5)
    assert data.std[0] == pytest.approx((share - share**2) ** 0.5, abs=5e-5)
    fetch(tmp_path)  # nothing to do


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"X_train": arrays()["X_train"][:-1]}, "expected 20 of 32³"),
        ({"y_test": np.arange(9)}, "y_test (9,)"),
        ({"X_test": arrays()["X_test"][..., :16]}, "expected 10 of 32³"),
        ({"X_test": arrays()["X_test"] * 2}, "must be 0 or 1"),
        ({"X_test": arrays()["X_test"] * np.nan}, "must be 0 or 1"),
        ({"y_train": np.arange(20)}, "0 to 9"),
        ({"y_train": None}, "y_train"),
        ({"y_train": np.array([None] * 20)}, "allow_pickle"),
    ],
)
def test_other_arrays_are_one_message_that_names_the_file(tmp_path, changed, said):
    path = write_arrays(tmp_path, **changed)
    with pytest.raises(InputError) as caught:
        load(tmp_path)
    assert str(path) in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("keep", [0, 100, 5000])
def test_a_damaged_file_is_too(tmp_path, keep):
    path = write_arrays(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    (file,) = status(tmp_path)
    assert file.present
    assert not file.ok
    with pytest.raises(InputError, match=r"modelnet10-32\.npz"):
        load(tmp_path)


def test_any_damaged_byte_is_one_message_or_none(tmp_path):
    """Some bytes of a zip's heads mean nothing; and an array alone is no such file."""
    path = write_arrays(tmp_path)
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 150)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5D]) + whole[place + 1 :])
        with suppress(InputError):
            load(tmp_path)
    with path.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"modelnet10-32\.npz: .* Remove that file"):
        load(tmp_path)


def test_nothing_there_says_how_it_is_had(tmp_path):
    (file,) = status(tmp_path)
    assert not file.present
    with pytest.raises(InputError, match=r"has no meshes\. Run `mixlens data modelnet10 --fetch`"):
        load(tmp_path)
    write_arrays(tmp_path)
    with pytest.raises(InputError, match="16 voxels a side are made of meshes"):
        load(tmp_path, side=16)


@pytest.mark.parametrize("side", [0, 7, 129, 32.0, "32", True])
def test_sides_that_are_none(tmp_path, side):
    with pytest.raises(InputError, match="expected 8 to 128 voxels"):
        load(tmp_path, side=side)


# meshes


def test_meshes_are_filled_once_and_kept(meshes, tmp_path, monkeypatch):
    (file,) = status(tmp_path)
    assert (file.path, file.ok) == (meshes, True)
    data = load_dataset(f"modelnet10(side={SIDE})", tmp_path)
    assert data.name == f"modelnet10(side={SIDE})"
    assert data.train.images.shape == (20, 1, SIDE, SIDE, SIDE)
    assert data.train.labels.tolist() == [label for label in range(10) for _ in range(2)]
    voxels = data.train.images[0, 0] == 255
    assert [int(voxels.any(a).any(b).sum()) for a, b in ((1, 1), (0, 1), (0, 0))] == [8, 6, 4]  # of 3 : 2 : 1, centred
    assert torch.equal(data.train.images[0], data.train.images[2])  # of the next class, the same mesh
    monkeypatch.setattr(modelnet10, "read_off", None)
    again = load(tmp_path, side=SIDE)
    assert again.checksum == data.checksum
    assert sorted(path.name for path in meshes.iterdir() if path.is_file()) == [
        f"modelnet10-{SIDE}.lock",
        f"modelnet10-{SIDE}.npz",
    ]


def test_without_a_side_they_are_32(meshes, tmp_path):
    assert load_dataset("modelnet10(side=32)", tmp_path).name == "modelnet10"
    assert (meshes / "modelnet10-32.npz").is_file()
    assert status(tmp_path)[0].path.name == "modelnet10-32.npz"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("<html>", "begins with b'<html>'"),
        (tetrahedron(1)[:40], "cut off"),
        (tetrahedron(1).replace("0 0 1", "0 0 nan"), "not finite"),
        (tetrahedron(1).replace("3 1 2 3", "3 1 2 4"), "vertex 4"),
        (tetrahedron(1).replace("3 0 0", "0 0 0").replace("0 2 0", "0 0 0").replace("0 0 1", "0 0 0"), "no extent"),
    ],
)
def test_a_mesh_that_is_none_is_one_message_that_names_it(meshes, tmp_path, text, said):
    path = meshes / "sofa" / "test" / "sofa_0003.off"
    path.write_text(text, encoding="ascii")
    with pytest.raises(InputError) as caught:
        load(tmp_path, side=SIDE)
    assert str(caught.value).count(str(path)) == 1
    assert said in str(caught.value)
    assert not list(meshes.glob("*.npz"))


def test_a_class_that_is_missing_is_named(meshes, tmp_path):
    (meshes / "desk" / "train").rename(meshes / "desk" / "elsewhere")
    assert not status(tmp_path)[0].ok
    with pytest.raises(InputError, match=r"no meshes in .*desk.train\. Run `mixlens data modelnet10 --fetch`"):
        load(tmp_path, side=SIDE)


def test_too_few_are_counted(meshes, tmp_path):
    (meshes / "desk" / "train" / "desk_0002.off").unlink()
    assert not status(tmp_path)[0].ok
    with pytest.raises(InputError, match=r"19 train meshes in .*; expected 20"):
        load(tmp_path, side=SIDE)


def test_no_room_is_one_message_and_leaves_nothing(meshes, tmp_path, monkeypatch):
    def full(file, **arrays):
        file.write(b"some")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(InputError, match="No space left on device"):
        load(tmp_path, side=SIDE)
    assert not [path.name for path in meshes.iterdir() if path.suffix in (".npz", ".partial")]


# the true ones


@pytest.mark.slow
@pytest.mark.skipif(not TRUE.is_file(), reason="no ModelNet10 in MIXLENS_DATA")
def test_the_true_voxels(monkeypatch):
    monkeypatch.undo()
    data = load()
    assert (len(data.train), len(data.test)) == (3991, 908)
    assert (data.mean, data.std) == ((0.0954,), (0.2937,))
    assert data.train.labels.bincount().tolist() == [106, 515, 889, 200, 200, 465, 200, 680, 392, 344]
    assert data.test.labels.bincount().tolist() == [50, 100, 100, 86, 86, 100, 86, 100, 100, 100]
    empty = [int((split.images.flatten(1).amax(1) == 0).sum()) for split in (data.train, data.test)]
    assert empty == [27, 7]
