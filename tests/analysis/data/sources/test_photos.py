import sys

import numpy as np
import pytest
import torch

from mixlens.analysis.data.sources import photos
from mixlens.analysis.errors import InputError


@pytest.fixture(scope="module")
def data():
    return photos.load()


def test_sizes_and_balance(data):
    assert data.train.images.shape == (5000, 3, 32, 32)
    assert data.test.images.shape == (1000, 3, 32, 32)
    assert data.train.labels.bincount().tolist() == [500] * 10
    assert data.test.labels.bincount().tolist() == [100] * 10
    assert data.classes[:2] == ("astronaut", "chelsea")
    assert data.classes[-2:] == ("china", "flower")


def test_two_builds_are_equal(data):
    assert photos.load().checksum == data.checksum


def test_no_pixel_is_in_both_splits_and_no_patch_leaves_its_photograph():
    covered = {}
    for split in ("train", "test"):
        for name in photos.CLASSES:
            covered[name, split] = np.zeros(photos.photograph(name).shape[:2], int)
        for name, row, column in photos.positions(split):
            patch = covered[name, split][row : row + 32, column : column + 32]
            assert patch.shape == (32, 32)
            patch += 1
    for name in photos.CLASSES:
        train, test = covered[name, "train"] > 0, covered[name, "test"] > 0
        assert not (train & test).any()
        assert train.mean() > 0.7  # and little of a photograph is left out
        assert test.mean() > 0.18


def test_positions_are_distinct_and_those_of_the_images(data):
    images = {name: photos.photograph(name) for name in photos.CLASSES}
    for which, split in (("train", data.train), ("test", data.test)):
        where = photos.positions(which)
        assert len(set(where)) == len(split)
        for index, (name, row, column) in enumerate(where):
            expected = images[name][row : row + 32, column : column + 32].transpose(2, 0, 1)
            assert np.array_equal(split.images[index].numpy(), expected)
            assert data.classes[split.labels[index]] == name


def test_photographs_are_those_of_the_libraries():
    from skimage import data as skimage_data
    from sklearn.datasets import load_sample_image

    for name in ("astronaut", "chelsea", "coffee", "rocket", "immunohistochemistry"):
        assert np.array_equal(photos.photograph(name), getattr(skimage_data, name)())
    for name in ("china", "flower"):
        assert np.array_equal(photos.photograph(name), load_sample_image(f"{name}.jpg"))


def test_scaling_averages_whole_squares():
    from skimage import data as skimage_data

    full = skimage_data.retina().astype(float)
    scaled = photos.photograph("retina")
    assert scaled.shape == (470, 470, 3)
    means = full[:1410, :1410].reshape(470, 3, 470, 3, 3).mean((1, 3))
    assert np.abs(scaled - means).max() <= 0.5 + 1e-9
    assert photos.photograph("hubble").shape == (436, 500, 3)


def test_normalisation_is_that_of_the_training_patches(data):
    scaled = data.train.images.double() / 255
    assert torch.allclose(scaled.mean((0, 2, 3)), torch.tensor(data.mean, dtype=torch.double), atol=6e-5)
    assert torch.allclose(scaled.std((0, 2, 3)), torch.tensor(data.std, dtype=torch.double), atol=2e-4)
    assert all(round(value, 4) == value for value in (*data.mean, *data.std))


def test_nothing_is_downloaded(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("asked the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setitem(sys.modules, "pooch", None)
    photos.load()


def test_a_missing_package_and_a_missing_file(monkeypatch, tmp_path):
    monkeypatch.setitem(photos._FILES, "china", ("no_such_package", "images", "china.jpg"))
    with pytest.raises(InputError, match="needs the package no_such_package; install"):
        photos.load()
    monkeypatch.setitem(photos._FILES, "china", ("sklearn", "datasets/images", "gone.jpg"))
    with pytest.raises(InputError, match=r"gone\.jpg cannot be read .*reinstall"):
        photos.load()
