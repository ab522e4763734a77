import numpy as np
import pytest
import torch
from torch import nn

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.modalities import volume
from mixlens.analysis.data.modality import Changes, modality_of
from mixlens.analysis.errors import InputError

MEAN, STD = (0.25,), (0.5,)


def noise(*shape, seed=0):
    return torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def split(count=12, sides=(4, 5, 6), seed=0):
    return Split(noise(count, 1, *sides, seed=seed), torch.arange(count) % 3)


def test_five_dimensions_are_volumes():
    assert modality_of(noise(2, 1, 3, 3, 3)) is volume
    assert split().modality is volume
    assert volume.holds(torch.zeros(2, 1, 3, 3, 3))  # to be refused as one
    assert not volume.holds(noise(2, 1, 3, 3))
    assert not volume.holds(noise(2, 1, 3, 3, 3).numpy())


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (noise(2, 1, 3, 4, 5), ""),
        (
            torch.zeros(2, 1, 3, 3, 3, dtype=torch.bool),
            "dtype bool; give uint8 values 0..255: of truth values, full is",
        ),
        (torch.zeros(2, 1, 3, 3, 3), "dtype float32"),
        (noise(2, 1, 3, 0, 3), r"shape (2, 1, 3, 0, 3); expected (N, C, D, H, W)"),
        (noise(2, 0, 3, 3, 3), r"shape (2, 0, 3, 3, 3)"),
        (noise(9, 1, 3, 3, 3) % 2, "volumes of 0 and 1; full is 255: multiply them by it"),
        (torch.zeros(2, 1, 3, 3, 3, dtype=torch.uint8), ""),
    ],
)
def test_what_is_wrong_with_them(samples, said):
    assert said in volume.problem(samples)
    assert bool(said) == bool(volume.problem(samples))


def test_encoded_they_are_in_0_to_1():
    x = noise(3, 2, 3, 4, 5)
    encoded = volume.encoded(x)
    assert encoded.dtype == torch.float32
    torch.testing.assert_close(encoded, x.double().div(255).float())


def test_parts_are_all_in_order():
    samples = noise(7, 1, 2, 2, 2)
    parts = list(volume.parts(samples, 3))
    assert [len(part) for _, part in parts] == [3, 3, 1]
    assert torch.equal(torch.cat([part for _, part in parts]), samples)
    assert torch.equal(torch.cat([torch.arange(7)[rows] for rows, _ in parts]), torch.arange(7))


def test_of_large_ones_fewer_are_measured_at_once_and_as_many_trained_on():
    large = torch.zeros(6, 1, 64, 64, 64, dtype=torch.uint8)
    assert [len(part) for _, part in volume.parts(large, 16)] == [2, 2, 2]
    assert [len(part) for _, part in volume.parts(large, 1)] == [1] * 6
    data = Split(large, torch.zeros(6, dtype=torch.long))
    assert [len(y) for _, y in volume.batches(data, MEAN, STD, 16)] == [2, 2, 2]
    assert [len(y) for _, y in volume.batches(data, MEAN, STD, 4, changes=Changes())] == [4, 2]


def test_batches_are_normalised_and_neither_flipped_nor_cropped():
    data = split()
    batches = volume.batches(data, MEAN, STD, 5, changes=Changes(flip=True, crop=4))
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    torch.testing.assert_close(x, (data.images.float() / 255 - 0.25) / 0.5)
    assert torch.equal(y, data.labels)


def test_shuffled_they_are_the_same_in_the_order_of_the_generator():
    data = split()

    def epoch(seed):
        generator = torch.Generator().manual_seed(seed)
        return torch.cat([y for _, y in volume.batches(data, MEAN, STD, 4, generator=generator, shuffle=True)])

    assert torch.equal(epoch(1), epoch(1))
    assert not torch.equal(epoch(1), epoch(2))
    assert torch.equal(epoch(1).sort().values, data.labels.sort().values)


def test_what_is_mixed_is_what_the_network_gets():
    network = nn.Flatten()
    before, after = volume.halves(network)
    x = volume.mixable(noise(2, 1, 3, 3, 3), MEAN, STD)
    assert before(x) is x
    assert after is network


def test_transforms_are_of_images():
    assert volume.read_changes("") == volume.read_changes("none") == ""
    with pytest.raises(InputError, match="'randaugment' are of images or recordings; there are none of volumes"):
        volume.read_changes("randaugment")


# as data sets


def test_means_are_per_channel_of_whatever_sides():
    train = Split(noise(6, 2, 3, 4, 5), torch.arange(6) % 2)
    data = Dataset("ct", train, train, ("a", "b"), (0.1, 0.2), (0.3, 0.4))
    assert data.modality is volume
    assert data.subset(4, 0).train.images.shape == (4, 2, 3, 4, 5)
    assert data.fold(1, 3, 0).test.images.shape == (2, 2, 3, 4, 5)
    assert int(data.shared().sum()) == 6
    with pytest.raises(InputError, match=r"expected 2 numbers, one per channel of the train and test volumes"):
        Dataset("ct", train, train, ("a", "b"), (0.1,), (0.3,))


def test_other_sides_and_images_are_refused_in_its_words():
    other = split(sides=(4, 5, 7))
    with pytest.raises(InputError, match=r"test split: volumes of shape \(1, 4, 5, 7\), but those of the train split"):
        Dataset("ct", split(), other, ("a", "b", "c"), MEAN, STD)
    flat = Split(noise(6, 1, 4, 5), torch.arange(6) % 3)
    with pytest.raises(InputError, match="a train split of volumes, and a test split of images"):
        Dataset("ct", split(), flat, ("a", "b", "c"), MEAN, STD)


OWN = """
import numpy as np

def voxels(count=6, dtype="uint8", labels=None, last=4):
    images = np.random.default_rng(count).integers(0, 256, (count, 1, 4, 4, last)).astype(dtype)
    return images, np.arange(labels or count) % 2

def parts(**changed):
    (train, y), (test, z) = voxels(**changed), voxels(4)
    return {"train_images": train, "train_labels": y, "test_images": test, "test_labels": z,
            "classes": ["full", "hollow"], "mean": [0.5], "std": [0.25]}
"""


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "own_volumes.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_a_users_own_volumes_as_arrays(own):
    data = load_dataset("own_volumes:parts")
    assert data.modality is volume
    assert data.train.images.shape == (6, 1, 4, 4, 4)
    expected = np.random.default_rng(6).integers(0, 256, (6, 1, 4, 4, 4))
    np.testing.assert_array_equal(data.train.images.numpy(), expected)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("parts(dtype='float32')", "train split: volumes of dtype float32; give uint8"),
        ("parts(dtype='bool')", "volumes of dtype bool; give uint8 values 0..255: of truth values, full is 255"),
        ("parts(labels=5)", r"labels of shape \(5,\) for 6 volumes"),
        ("parts(count=1)", r"1 volume\(s\); at least 2"),
        ("parts(last=3)", r"volumes of shape \(1, 4, 4, 4\), but those of the train split have \(1, 4, 4, 3\)"),
    ],
)
def test_of_those_that_are_wrong_it_says_volumes(own, spec, said):
    with pytest.raises(InputError, match=said):
        load_dataset(f"own_volumes:{spec}")
