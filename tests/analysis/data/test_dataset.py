from dataclasses import replace

import numpy as np
import pytest
import torch

from mixlens.analysis.data.dataset import Dataset, Head, Split, evenly_spaced
from mixlens.analysis.errors import InputError


def split(counts, channels=3, seed=0):
    """A split with the given number of images per class, shuffled."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=draw)]
    return Split(torch.randint(0, 256, (len(labels), channels, 5, 6), dtype=torch.uint8, generator=draw), labels)


def dataset(train=(20, 20, 20), test=(3, 3, 3), **changes):
    fields = {"name": "toy", "train": split(train), "test": split(test, seed=1), "classes": ("a", "b", "c")}
    return Dataset(**{**fields, "mean": (0.5, 0.4, 0.3), "std": (0.2, 0.2, 0.2), **changes})


def counts(some):
    return some.labels.bincount(minlength=3).tolist()


def keys(some):
    """Each image as bytes, to compare splits as sets."""
    return [image.numpy().tobytes() for image in some.images]


# Split.of


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"])
def test_integer_labels_become_int64(dtype):
    made = Split.of(np.zeros((3, 1, 2, 2), np.uint8), np.array([0, 1, 2], dtype))
    assert made.labels.dtype == torch.int64
    assert made.labels.tolist() == [0, 1, 2]
    assert len(made) == 3


def test_split_of_tensors_lists_and_strided_or_read_only_arrays():
    array = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3).transpose(0, 3, 1, 2)
    array.flags.writeable = False
    made = Split.of(array, [0, 1])
    assert made.images.is_contiguous()
    assert np.array_equal(made.images.numpy(), array)
    assert Split.of(torch.from_numpy(array.copy()), torch.tensor([0, 1], dtype=torch.int16)).labels.dtype == torch.int64


def test_split_of_words_is_refused():
    with pytest.raises(InputError, match="labels cannot be read as an array of numbers"):
        Split.of(np.zeros((2, 1, 2, 2), np.uint8), np.array(["cat", "dog"]))


# validation


def test_float_images_are_refused_and_nans_counted():
    images = torch.rand(6, 3, 5, 6)
    with pytest.raises(InputError, match=r"'toy', test split: images of dtype float32; give uint8 values 0\.\.255"):
        replace(dataset(), test=Split(images, torch.zeros(6, dtype=torch.long)))
    images[1, 0, 0, 0] = images[1, 2, 3, 3] = images[4, 1, 1, 1] = torch.nan
    with pytest.raises(InputError, match="train split: images of dtype float32, and 2 of them contain NaN"):
        replace(dataset(), train=Split(images, torch.zeros(6, dtype=torch.long)))


@pytest.mark.parametrize(
    ("images", "labels", "told"),
    [
        (torch.zeros(4, 5, 6), [0, 1, 2, 0], r"shape \(4, 5, 6\); expected \(N, C, H, W\)"),
        (torch.zeros(4, 3, 5, 6), [0.0, 1.0, 2.0, 0.0], r"labels of dtype float32; give integers 0\.\.2"),
        (torch.zeros(4, 3, 5, 6), [True, False, True, True], "labels of dtype bool"),
        (torch.zeros(4, 3, 5, 6), [0, 1, 2], r"labels of shape \(3,\) for 4 images"),
        (torch.zeros(4, 3, 5, 6), [[0], [1], [2], [0]], r"labels of shape \(4, 1\) for 4 images"),
        (torch.zeros(4, 3, 5, 6), [0, 1, 3, 0], r"label 3 at index 2; with 3 classes, give 0\.\.2"),
        (torch.zeros(4, 3, 5, 6), [0, -1, 3, 0], "label -1 at index 1"),
        (torch.zeros(1, 3, 5, 6), [0], r"1 image\(s\); at least 2"),
        (torch.zeros(0, 3, 5, 6), torch.zeros(0, dtype=torch.long), r"0 image\(s\)"),
    ],
)
def test_bad_splits_are_named(images, labels, told):
    bad = Split(images.byte(), torch.as_tensor(labels))
    with pytest.raises(InputError, match=f"data set 'toy', train split: .*{told}"):
        replace(dataset(), train=bad)
    with pytest.raises(InputError, match=f"data set 'toy', test split: .*{told}"):
        replace(dataset(), test=bad)


def test_splits_of_different_shape():
    with pytest.raises(InputError, match=r"'toy', test split: images of shape \(1, 5, 6\).*\(3, 5, 6\)"):
        replace(dataset(), test=split((3, 3, 3), channels=1))


@pytest.mark.parametrize("bad", [(0.2, 0.2), (0.2, 0.2, 0.0), (0.2, 0.2, -1.0), (0.2, 0.2, float("nan"))])
def test_bad_std(bad):
    with pytest.raises(InputError, match=r"'toy': std is .*expected 3 numbers"):
        dataset(std=bad)


def test_bad_mean():
    assert dataset(mean=(0.0, -0.1, 0.5)).mean[1] == -0.1
    for bad in ((0.5,), (0.5, 0.5, float("inf"))):
        with pytest.raises(InputError, match="'toy': mean is"):
            dataset(mean=bad)


def test_image_size():
    assert dataset().image_size == (5, 6)


# checksum


def test_checksum_follows_content_and_not_the_name():
    one = dataset()
    assert one.checksum == dataset(name="other").checksum
    assert len(one.checksum) == 64
    images = one.train.images.clone()
    images[0, 0, 0, 0] ^= 1
    labels = one.test.labels.clone()
    labels[0] = (labels[0] + 1) % 3
    changed = [
        replace(one, train=Split(images, one.train.labels)),
        replace(one, test=Split(one.test.images, labels)),
        replace(one, train=Split(one.train.images.mT.contiguous(), one.train.labels), test=_transposed(one.test)),
        replace(one, classes=("a", "b", "d")),
        replace(one, mean=(0.5, 0.4, 0.31)),
        replace(one, std=(0.2, 0.2, 0.21)),
    ]
    assert len({one.checksum, *(some.checksum for some in changed)}) == 1 + len(changed)


def _transposed(some):
    return Split(some.images.mT.contiguous(), some.labels)


def test_checksum_is_of_values_and_not_of_strides():
    one = dataset()
    strided = Split(one.train.images.to(memory_format=torch.channels_last), one.train.labels)
    assert replace(one, train=strided).checksum == one.checksum


# subset


@pytest.mark.parametrize(("size", "wanted"), [(3, [1, 1, 1]), (30, [10, 10, 10]), (60, [20, 20, 20])])
def test_subset_is_balanced(size, wanted):
    assert counts(dataset().subset(size, seed=0).train) == wanted


def test_subset_with_a_remainder_differs_by_one_in_no_fixed_class():
    found = {tuple(counts(dataset().subset(31, seed=seed).train)) for seed in range(30)}
    assert found == {(11, 10, 10), (10, 11, 10), (10, 10, 11)}


def test_a_small_class_gives_all_and_the_others_make_up():
    data = dataset(train=(4, 30, 30))
    assert counts(data.subset(44, seed=1).train) == [4, 20, 20]
    assert sorted(counts(data.subset(45, seed=1).train)) == [4, 20, 21]
    assert counts(data.subset(9, seed=1).train) == [3, 3, 3]


def test_subset_is_seeded_nested_and_leaves_the_rest():
    data = dataset()
    small, again, large = data.subset(12, seed=3), data.subset(12, seed=3), data.subset(25, seed=3)
    assert small.checksum == again.checksum != data.subset(12, seed=4).checksum
    assert set(keys(small.train)) < set(keys(large.train)) < set(keys(data.train))
    assert small.test is data.test
    pairs = dict(zip(keys(data.train), data.train.labels.tolist(), strict=True))
    assert all(pairs[key] == label for key, label in zip(keys(small.train), small.train.labels.tolist(), strict=True))


@pytest.mark.parametrize("size", [-1, 0, 2, 61])
def test_subset_of_impossible_size(size):
    with pytest.raises(InputError, match=f"'toy': a subset of {size} images .* give 3 to 60"):
        dataset().subset(size, seed=0)


# fold


@pytest.mark.parametrize(("train", "folds"), [((20, 20, 20), 10), ((7, 11, 3), 4), ((2, 2, 2), 2)])
def test_folds_partition_the_train_split_and_are_stratified(train, folds):
    data = dataset(train=train)
    parts = [data.fold(index, folds, seed=5) for index in range(folds)]
    held_out = [key for part in parts for key in keys(part.test)]
    assert sorted(held_out) == sorted(keys(data.train))
    for part in parts:
        assert sorted(keys(part.train) + keys(part.test)) == sorted(keys(data.train))
        assert len(part.test) in (sum(train) // folds, -(-sum(train) // folds))
        assert all(n // folds <= got <= -(-n // folds) for n, got in zip(train, counts(part.test), strict=True))


def test_fold_is_seeded():
    data = dataset()
    assert data.fold(1, 10, seed=0).checksum == data.fold(1, 10, seed=0).checksum
    assert data.fold(1, 10, seed=0).checksum != data.fold(1, 10, seed=1).checksum


@pytest.mark.parametrize(
    ("index", "folds", "told"),
    [
        (0, 1, "cut in 1 folds"),
        (0, 0, "cut in 0 folds"),
        (0, 31, "give 2 to 30"),
        (10, 10, "0 to 9"),
        (-1, 10, "fold -1"),
    ],
)
def test_impossible_folds(index, folds, told):
    with pytest.raises(InputError, match=told):
        dataset().fold(index, folds, seed=0)


@pytest.mark.parametrize("available", [2, 3, 24, 101])
def test_evenly_spaced_images_differ_and_reach_from_end_to_end(available):
    assert evenly_spaced(available, None, "images").tolist() == list(range(available))
    for count in range(2, available + 1):
        chosen = evenly_spaced(available, count, "images")
        assert (len(chosen), chosen[0], chosen[-1]) == (count, 0, available - 1)
        gaps = chosen.diff()
        assert gaps.min() >= 1
        assert gaps.max() - gaps.min() <= 1


def test_more_evenly_spaced_images_than_there_are_is_an_error():
    with pytest.raises(InputError, match=r"robustness\.images is 5, but there are 4 test images"):
        evenly_spaced(4, 5, "robustness.images")


# what is easily mistaken


def noise(count, channels=3, side=8, seed=0):
    source = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, channels, side, side), dtype=torch.uint8, generator=source)


def of_noise(train=None, test=None, mean=(0.5,) * 3, std=(0.25,) * 3):
    splits = [
        Split(images, torch.arange(len(images)) % 2)
        for images in (noise(6) if train is None else train, noise(4, seed=1) if test is None else test)
    ]
    return Dataset("mine", *splits, ("a", "b"), mean, std)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_channels_that_stand_last_are_told(channels):
    images = noise(6, channels).permute(0, 2, 3, 1)
    with pytest.raises(InputError, match=r"train split: images of shape \(6, 8, 8, \d\), whose channels stand last"):
        of_noise(train=images)


@pytest.mark.parametrize("shape", [(5, 7, 9), (8, 8, 8), (2, 3, 4), (12, 8, 5)])
def test_other_shapes_have_as_many_channels_as_they_say(shape):
    splits = [Split(torch.zeros(4, *shape, dtype=torch.uint8), torch.zeros(4, dtype=torch.int64)) for _ in "ab"]
    assert Dataset("mine", *splits, ("a",), (0.5,) * shape[0], (0.5,) * shape[0]).image_size == shape[1:]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"mean": (125.3, 123.0, 113.9)},
            r"mean is \(125.3, .* 0 to 255 scale; .* by 255: \(0\.4914, 0\.4824, 0\.4467\)",
        ),
        ({"std": (63.0, 62.1, 66.7)}, r"std is \(63.0, .* by 255: \(0\.2471, 0\.2435, 0\.2616\)"),
        ({"mean": (0.0, 0.0, 1.5)}, "mean is .* on the 0 to 255 scale"),
    ],
)
def test_statistics_of_bytes_are_told_with_what_they_are(given, told):
    with pytest.raises(InputError, match=told):
        of_noise(**given)


def test_statistics_at_the_ends_of_the_scale_are_taken():
    assert of_noise(mean=(0.0, 0.0, 1.0), std=(1.0,) * 3).std == (1.0,) * 3


def test_training_images_that_stand_in_the_test_split():
    data = of_noise(train=torch.cat([noise(6), noise(4, seed=1)[2:]]))
    assert data.shared().tolist() == [False] * 6 + [True] * 2
    assert torch.equal(data.apart().train.images, noise(6))
    assert torch.equal(data.apart().train.labels, torch.arange(6) % 2)
    assert not data.apart().shared().any()


def test_blank_images_are_no_sign_of_overlap():
    blank = torch.zeros(3, 3, 8, 8, dtype=torch.uint8)
    assert not of_noise(train=torch.cat([noise(4), blank]), test=torch.cat([noise(4, seed=1), blank])).shared().any()


# several heads

HEADS = (Head("shape", ("a", "b", "c")), Head("tone", ("x", "y", "z", "w"), 2.0))


def headed(count=48, heads=HEADS, labels=None, **changes):
    index = torch.arange(count)
    labels = torch.stack([index % 3, index // 3 % 4], 1) if labels is None else labels
    images = torch.arange(count).byte().view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()
    both = Split(images, labels)
    return Dataset(**{"name": "heads", "train": both, "test": both, "classes": (), "mean": (0.5,), "std": (0.2,)}
                   | {"heads": heads} | changes)  # fmt: skip


def test_of_several_heads_the_classes_are_the_firsts():
    data = headed()
    assert data.classes == ("a", "b", "c")
    assert data.sizes == (3, 4)
    assert data.train.first.equal(data.train.labels[:, 0])
    assert headed(classes=("a", "b", "c")).checksum == data.checksum


def test_the_checksum_knows_the_heads_and_their_weights():
    renamed = (HEADS[0]._replace(name="form"), HEADS[1])
    assert (
        len({headed(heads=heads).checksum for heads in (HEADS, renamed, (HEADS[0], HEADS[1]._replace(weight=1.0)))})
        == 3
    )


def test_a_subset_is_balanced_in_the_first_head():
    part = headed().subset(15, seed=0)
    assert part.train.first.bincount().tolist() == [5, 5, 5]
    assert part.train.labels.shape == (15, 2)
    assert part.heads == HEADS


@pytest.mark.parametrize("seed", range(8))
def test_folds_are_balanced_in_whole_labels_and_so_in_the_first_head(seed):
    whole = torch.tensor([[0, 0]] * 10 + [[0, 1]] * 3 + [[1, 0]] * 7 + [[1, 3]] * 6 + [[2, 2]] * 4)
    data = headed(len(whole), labels=whole)
    parts = [data.fold(index, 3, seed=seed).test for index in range(3)]
    assert sorted(int(image[0, 0, 0]) for part in parts for image in part.images) == list(range(len(whole)))
    for kind in whole.unique(dim=0):
        counts = [int((part.labels == kind).all(1).sum()) for part in parts]
        assert max(counts) - min(counts) <= 1, kind
    for one in range(3):
        counts = [int((part.first == one).sum()) for part in parts]
        assert max(counts) - min(counts) <= 1, one


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": torch.zeros(48, dtype=torch.long)}, r"labels of shape \(48,\) for 48 images; expected \(48, 2\)"),
        (
            {"labels": torch.tensor([[0, 0]] * 47 + [[0, 4]])},
            "label 4 of head 'tone' at index 47; with 4 classes, give 0",
        ),
        ({"labels": torch.zeros(48, 2)}, "labels of dtype float32; give integers 0..2, one class per image and head"),
        ({"heads": HEADS[:1]}, r"heads \['shape'\]; expected two or more"),
        ({"heads": (HEADS[0], HEADS[0])}, r"heads \['shape', 'shape'\]; expected two or more, each with a name of its"),
        ({"heads": (HEADS[0], HEADS[1]._replace(name="a tone"))}, r"each with a name of its own, an identifier"),
        ({"heads": (HEADS[0], HEADS[1]._replace(weight=0.0))}, r"head 'tone': 4 classes, weight 0\.0; expected two"),
        ({"heads": (HEADS[0], Head("tone", ("x",)))}, "head 'tone': 1 classes"),
        ({"classes": ("a", "b")}, r"classes \['a', 'b'\] are not those of the first of its heads"),
    ],
)
def test_heads_that_do_not_fit_are_refused(changes, told):
    with pytest.raises(InputError, match=told):
        headed(**changes)
