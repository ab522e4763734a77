import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from judged import TEST_IMAGES, dataset, shares, votes

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.data.files import DataFile
from mixlens.analysis.data.sources import cifar10, cifar10h
from mixlens.analysis.errors import InputError
from mixlens.calibration import measures
from mixlens.calibration.votes import published_votes, read_votes

needs_data = pytest.mark.skipif("MIXLENS_DATA" not in os.environ, reason="needs CIFAR-10H: set MIXLENS_DATA")
MINE = """
from judged import votes


def as_array():
    return votes().numpy()


def as_tensor(times=1):
    return times * votes()


def turned():
    return votes().flip(0)


def words():
    return ["many", "few"]
"""


def given(path: Path | str, data=None):
    return read_votes(str(path), data or dataset())


def saved(folder, array):
    np.save(folder / "votes.npy", array)
    return folder / "votes.npy"


def with_one(value, dtype=np.float64):
    array = votes().numpy().astype(dtype)
    array[5, 2] = value
    return array


def without_votes():
    array = votes().numpy().copy()
    array[7] = 0
    return array


def unfinished():
    array = shares().numpy().copy()
    array[9] *= 0.5
    return array


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (votes().numpy()[:-1], "has the shape (79, 4); expected (80, 4), a row for each test image in their order"),
        (votes().numpy().T, "has the shape (4, 80); expected (80, 4)"),
        (votes().numpy()[:, :3], "has the shape (80, 3); expected (80, 4)"),
        (votes().numpy()[None], "has the shape (1, 80, 4); expected (80, 4)"),
        (np.array(3), "has the shape (); expected (80, 4)"),
        (with_one(-1, np.int64), "human counts must be finite and at least 0; image 5 has -1"),
        (with_one(-0.5), "human counts must be finite and at least 0; image 5 has -0.5"),
        (with_one(math.nan), "human counts must be finite and at least 0; image 5 has nan"),
        (with_one(math.inf), "human counts must be finite and at least 0; image 5 has inf"),
        (without_votes(), "image 7 has no human votes: its counts sum to zero"),
        (with_one(0.5), "human labels with fractions are probabilities, which sum to one for each image"),
        (unfinished(), "those of image 9 sum to 0.5. Give probabilities, or whole numbers of votes."),
        (votes().numpy()[::-1], "the rows are in another order, or of another data set"),
        (
            votes().numpy()[:, [1, 2, 3, 0]],
            "people's first choice is the label on 0.0% of the images, no more than by chance",
        ),
        (votes().numpy().astype("U3"), "is no .npy array"),
        (np.zeros(3, [("votes", int)]), "is no .npy array"),
    ],
)
def test_counts_that_do_not_fit_are_one_clear_error(tmp_path, array, words):
    with pytest.raises(InputError) as caught:
        given(saved(tmp_path, array))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "objects.npy"
    np.save(path, np.array([{"votes": 3}], object), allow_pickle=True)
    with pytest.raises(InputError, match=r"calibration\.counts: .*objects\.npy is no \.npy array of numbers"):
        given(path)


@pytest.mark.parametrize("content", [b"3,4\n5,6\n", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{'descr': '<i8', 'for"])
def test_a_file_that_is_no_array_is_one_clear_error(tmp_path, content):
    path = tmp_path / "votes.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"calibration\.counts: .*votes\.csv is no \.npy array") as caught:
        given(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_several_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "votes.npz", votes=votes().numpy())
    with pytest.raises(InputError, match=r"votes\.npz is no \.npy array"):
        given(tmp_path / "votes.npz")


@pytest.mark.parametrize(("name", "words"), [("missing.npy", "there is no such file"), (".", r"is no \.npy array")])
def test_a_file_that_is_not_there_is_one_clear_error(tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        given(tmp_path / name)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_votes_of_every_dtype_are_taken(tmp_path, dtype):
    found = given(saved(tmp_path, votes().numpy().astype(dtype)))
    assert measures.are_votes(found)
    torch.testing.assert_close(measures.smoothed(found, 0.1), measures.smoothed(votes(), 0.1))


def test_people_who_often_disagree_with_the_labels_are_taken(tmp_path):
    """Fewer than twice chance would be another order: here people are right on six images of ten."""
    counts = votes()
    wrong = torch.arange(TEST_IMAGES) % 5 < 2
    counts[wrong] = counts[wrong].roll(1, 1)
    assert torch.equal(given(saved(tmp_path, counts.numpy())), counts)


def test_votes_by_a_factory_are_those_that_it_gives(mine):
    assert torch.equal(given(f"{mine}:as_array"), votes().double())
    assert torch.equal(given(f"{mine}:as_tensor(times=2)"), 2 * votes().double())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("words", r"calibration\.counts 'mixlens_tests_mine:words': its factory gave no array of numbers"),
        ("absent", "unknown name for the calibration.counts in module 'mixlens_tests_mine': 'absent'"),
        ("as_tensor(time=2)", "unexpected keyword argument 'time'"),
        ("turned", "calibration.counts: mixlens_tests_mine:turned: people's first choice is the label on"),
    ],
)
def test_a_factory_that_gives_no_votes_is_named(mine, name, words):
    with pytest.raises(InputError, match=words):
        given(f"{mine}:{name}")


def test_votes_of_cifar10_alone_are_published(tmp_path, monkeypatch):
    assert published_votes("cifar10", tmp_path) == "", "not fetched"
    file = DataFile(tmp_path, present=True, ok=True)
    monkeypatch.setattr(cifar10h, "status", lambda root: [file] if root == tmp_path else [file._replace(present=False)])
    assert published_votes("cifar10", tmp_path) == "cifar10h"
    assert published_votes("cifar10", None) == ""
    assert published_votes("photos", tmp_path) == ""
    assert published_votes("my.data:cifar10", tmp_path) == ""


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.uint64])
def test_votes_of_any_number_type_are_taken(tmp_path, dtype):
    assert measures.are_votes(given(saved(tmp_path, votes().numpy().astype(dtype))))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04junk"])
def test_a_broken_file_is_one_clear_error(tmp_path, content):
    (tmp_path / "votes.npy").write_bytes(content)
    with pytest.raises(InputError, match=r"no \.npy array of numbers"):
        given(tmp_path / "votes.npy")


def test_people_who_mostly_agree_with_two_classes_are_in_order(tmp_path):
    labels = torch.arange(24) % 2
    counts = 5 * torch.nn.functional.one_hot(labels, 2)
    counts[0] = torch.tensor([4, 5])
    images = torch.zeros(24, 3, 8, 8, dtype=torch.uint8)
    own = Dataset("two", Split(images, labels), Split(images, labels), ("a", "b"), (0.5,) * 3, (0.2,) * 3)
    assert torch.equal(given(saved(tmp_path, counts.numpy()), own), counts.double())


# CIFAR-10H


@pytest.fixture(scope="module")
def cifar():
    return cifar10.load()


def published(name):
    path = cifar10h.status()[0].path.with_name(name)
    if not path.is_file():
        pytest.skip(f"needs {path}, which CIFAR-10H publishes beside its counts")
    return path


@needs_data
def test_the_published_probabilities_are_those_of_the_published_counts(cifar):
    probabilities = given(published("cifar10h-probs.npy"), cifar)
    assert not measures.are_votes(probabilities)
    counts = given(published("cifar10h-counts.npy"), cifar)
    assert measures.are_votes(counts)
    assert torch.equal(counts, cifar10h.load())
    raw, own = measures.smoothed(probabilities, 0), measures.smoothed(counts, 0)
    torch.testing.assert_close(raw.exp(), own.exp(), atol=1e-12, rtol=0)
    assert measures.divergence(own, raw).abs().max() < 1e-9


@needs_data
@pytest.mark.parametrize("name", ["cifar10h-probs.npy", "cifar10h-counts.npy"])
def test_cifar10h_in_another_order_is_refused(cifar, tmp_path, name):
    array = np.load(published(name))
    for other in (array[::-1], np.roll(array, 1, 0), np.random.default_rng(0).permutation(array)):
        with pytest.raises(InputError, match="the rows are in another order"):
            given(saved(tmp_path, other), cifar)


@needs_data
def test_four_cells_of_five_have_no_vote():
    """80.6% of the cells, so that D(model‖human) is infinite on nearly every image: what the README says."""
    counts = cifar10h.load()
    assert (counts == 0).double().mean().item() == pytest.approx(0.806, abs=5e-4)
    uniform = torch.full((10_000, 10), 0.1, dtype=torch.float64).log()
    assert measures.divergence(uniform, measures.smoothed(counts, 0)).isinf().double().mean() > 0.99
    assert measures.divergence(measures.smoothed(counts, 0), uniform).isfinite().all()
