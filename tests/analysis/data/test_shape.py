"""Data sets of which only the shape is known."""

import pytest
import torch

from mixlens.analysis.data.load import NotThere, find_source, not_there, source_names
from mixlens.analysis.data.shape import Shape
from mixlens.analysis.errors import InputError

SMALL = Shape(8, 4, (3, 6, 5), ("a", "b"), (0.5,) * 3, (0.25,) * 3)


def test_a_stand_in_has_the_shape_and_every_class():
    data = SMALL.stand_in("made-up")
    assert data.name == "made-up"
    assert data.train.images.shape == (8, 3, 6, 5)
    assert data.test.images.shape == (4, 3, 6, 5)
    assert data.train.labels.bincount().tolist() == [4, 4]
    assert data.train.images.unique().numel() > 200, "noise, not blanks: a network's normalisations want some"
    assert torch.equal(data.train.images, SMALL.stand_in("made-up").train.images)


@pytest.mark.parametrize("name", source_names())
def test_each_source_says_what_there_is_to_download(name):
    source = find_source(name)
    assert source.MEGABYTES >= 0
    assert f"{source.MEGABYTES:g} MB" in source.ABOUT or (source.MEGABYTES == 0 and "nothing to fetch" in source.ABOUT)


def test_missing_data_have_a_stand_in(tmp_path):
    absent = not_there("cifar10", tmp_path)
    assert isinstance(absent, NotThere)
    assert absent.megabytes == 170
    assert absent.stand_in.train.images.shape == (50_000, 3, 32, 32)
    assert not list(tmp_path.iterdir())


def test_damaged_data_have_none(tmp_path):
    """They are no reason to plan without: the next command would stop at them."""
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"half")
    assert not_there("cifar10", tmp_path) is None


def test_what_is_there_or_ones_own_has_none(tmp_path):
    assert not_there("photos", tmp_path) is None
    assert not_there("cifar10h", tmp_path) is None, "no images"
    assert not_there("my_code.data:load", tmp_path) is None
    with pytest.raises(InputError, match="cifar10"):
        not_there("cifar", tmp_path)
