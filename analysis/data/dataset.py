"""A labelled image data set, in memory or in files: what every network trains on and every section measures."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .image_files import ImageFiles

CHANNELS = 4  # at most, of images; more are told from sides by this alone
_INTEGERS = (torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.uint32, torch.uint64)


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, C, H, W) uint8 and their labels (N,) int64; labels of another integer dtype are converted.

    Images in files make the same tensors as they are indexed.
    """

    images: Tensor | ImageFiles
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.dtype in _INTEGERS:
            object.__setattr__(self, "labels", self.labels.long())

    def __len__(self) -> int:
        return len(self.images)

    @classmethod
    def of(cls, images: Any, labels: Any) -> "Split":
        """A split from numpy arrays, tensors or nested lists; the shapes and dtypes are checked by `Dataset`.

        Raises:
            InputError: one of them is no array of numbers.
        """
        return cls(images if isinstance(images, ImageFiles) else _tensor(images, "images"), _tensor(labels, "labels"))


class Evaluation(NamedTuple):
    """Other images of some of the classes, which networks are measured on besides."""

    split: Split
    among: tuple[int, ...]  # the classes that a prediction is taken from: those that the images are of


@dataclass(frozen=True, eq=False)
class Dataset:
    """Two splits, the names of the classes, and the mean and standard deviation per channel on the [0, 1] scale.

    Raises:
        InputError: names the data set, the split, what was found and what was expected.
    """

    name: str
    train: Split
    test: Split
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    recipe: str = ""  # what trains networks on it, as package.module:function; empty: what trains any
    others: Mapping[str, Evaluation] = field(default_factory=dict)  # by name; no part of the checksum

    def __post_init__(self) -> None:
        for which, split in (("train", self.train), ("test", self.test)):
            problem = _problem(split, len(self.classes))
            if problem:
                raise InputError(f"data set {self.name!r}, {which} split: {problem}.")
        train_shape, test_shape = tuple(self.train.images.shape[1:]), tuple(self.test.images.shape[1:])
        if train_shape != test_shape:
            raise InputError(
                f"data set {self.name!r}, test split: images of shape {test_shape}, but those of the train split have "
                f"{train_shape}; give both the same channels and size."
            )
        channels = train_shape[0]
        for key, values, wanted in (("mean", self.mean, "finite"), ("std", self.std, "finite and > 0")):
            if 1 < max(values, default=0) <= 255 and len(values) == channels:
                raise InputError(
                    f"data set {self.name!r}: {key} is {values}, on the 0 to 255 scale; expected the [0, 1] scale. "
                    f"Divide it by 255: {tuple(round(value / 255, 4) for value in values)}."
                )
            bad = not all(math.isfinite(v) and (key == "mean" or v > 0) for v in values)
            if bad or len(values) != channels:
                raise InputError(
                    f"data set {self.name!r}: {key} is {values}; expected {channels} numbers, one per channel of the "
                    f"train and test images, {wanted}, on the [0, 1] scale."
                )

    @property
    def image_size(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        height, width = self.train.images.shape[2:]
        return height, width

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of all that a network can see: shapes, classes, mean, std and the images' bytes, not the name.

        Of images in files it is the files' own SHA-256s that enter.
        """
        parts = (self.train.images, self.train.labels, self.test.images, self.test.labels)
        shapes = [list(part.shape) for part in parts]
        header = {"shapes": shapes, "classes": self.classes, "mean": self.mean, "std": self.std}
        return _digest(header, *parts)

    def shared(self) -> Tensor:
        """Which training images (N,) bool stand in the test split too, pixel for pixel or file for file.

        An image that repeats within the test split, such as a blank one, is no sign of overlap and does not count.
        """
        times = Counter(_each(self.test.images))
        return torch.tensor([times[image] == 1 for image in _each(self.train.images)])

    def apart(self) -> "Dataset":
        """The same without the training images that stand in the test split too."""
        return self.without(self.shared())

    def without(self, which: Tensor) -> "Dataset":
        """The same without those training images (N,) bool."""
        return replace(self, train=_take(self.train, (~which).nonzero().squeeze(1)))

    def subset(self, size: int, seed: int) -> "Dataset":
        """``size`` training images, the classes as equal as can be; the test split and the name stay.

        Class counts differ by at most one; a class with too few images gives them all and the others make up for it.
        Subsets with the same seed are nested: the smaller is part of the larger.

        Raises:
            InputError: size is below 2, below the number of classes, or above the number of training images.
        """
        smallest = max(2, len(self.classes))
        if not smallest <= size <= len(self.train):
            raise InputError(
                f"data set {self.name!r}: a subset of {size} images of the train split cannot be taken; it has "
                f"{len(self.classes)} classes and {len(self.train)} images: give {smallest} to {len(self.train)}."
            )
        shuffled = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(seed))
        labels = self.train.labels.cpu()[shuffled]
        # Every class offers its first image, then every class its second, …: an exhausted class just drops out.
        by_class = labels.argsort(stable=True)
        counts = labels.bincount()
        rank = torch.empty_like(labels)
        rank[by_class] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]
        chosen = shuffled[rank.argsort(stable=True)[:size]].sort().values
        return replace(self, train=_take(self.train, chosen))

    def fold(self, index: int, folds: int, seed: int) -> "Dataset":
        """Cross-validation: part ``index`` of the train split becomes the test split, the other parts the train split.

        The parts, their sizes and their class counts (each within one of equal) depend on ``folds`` and ``seed`` only.
        The original test split is dropped, the name stays.

        Raises:
            InputError: folds is below 2 or leaves a part with one image, or index is outside 0 … folds − 1.
        """
        count = len(self.train)
        if not 2 <= folds <= count // 2:
            raise InputError(
                f"data set {self.name!r}: the train split of {count} images cannot be cut in {folds} folds; give 2 to "
                f"{count // 2}, so that each holds two images or more."
            )
        if not 0 <= index < folds:
            raise InputError(f"data set {self.name!r}: fold {index} of the train split; expected 0 to {folds - 1}.")
        shuffled = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
        by_class = shuffled[self.train.labels.cpu()[shuffled].argsort(stable=True)]
        held_out = torch.zeros(count, dtype=torch.bool)
        held_out[by_class[index::folds]] = True  # dealt like cards, class after class
        train, test = (_take(self.train, chosen.nonzero().squeeze(1)) for chosen in (~held_out, held_out))
        return replace(self, train=train, test=test)


def evenly_spaced(available: int, count: int | None, where: str) -> Tensor:
    """The numbers of ``count`` of the available images, evenly spaced since some data sets are sorted; all for None.

    Raises:
        InputError: there are not so many; ``where`` names the setting.
    """
    if count is not None and count > available:
        raise InputError(f"{where} is {count}, but there are {available} test images.")
    return torch.linspace(0, available - 1, count or available, dtype=torch.float64).round().long()


def checksum_of(evaluation: Evaluation) -> str:
    """SHA-256 of all that is measured on other images."""
    images, labels = evaluation.split.images, evaluation.split.labels
    return _digest({"shape": list(images.shape), "among": list(evaluation.among)}, images, labels)


def _digest(header: Mapping[str, Any], *parts: Tensor | ImageFiles) -> str:
    digest = sha256(json.dumps(header, sort_keys=True).encode())
    for part in parts:
        if isinstance(part, ImageFiles):
            digest.update(b"files")
            digest.update(np.ascontiguousarray(part.hashes()).data)
        else:
            digest.update(part.cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _each(images: Tensor | ImageFiles) -> Iterator[bytes]:
    """What each is told from others by."""
    rows = images.hashes() if isinstance(images, ImageFiles) else images.cpu().numpy()
    return (row.tobytes() for row in rows)


def _problem(split: Split, classes: int) -> str | None:
    """What is wrong with a split, and what to do about it; None if nothing is."""
    images, labels = split.images, split.labels
    if images.dtype != torch.uint8:
        assert isinstance(images, Tensor)
        nans = int(images.isnan().flatten(1).any(1).sum()) if images.is_floating_point() and images.ndim > 1 else 0
        found = f", and {nans} of them contain NaN" if nans else ""
        return f"images of dtype {_dtype(images)}{found}; give uint8 values 0..255"
    if images.ndim != 4:
        return f"images of shape {tuple(images.shape)}; expected (N, C, H, W)"
    if images.shape[1] > CHANNELS >= images.shape[3]:
        return (
            f"images of shape {tuple(images.shape)}, whose channels stand last; expected (N, C, H, W): give "
            "images.transpose(0, 3, 1, 2) of an array, .permute(0, 3, 1, 2) of a tensor"
        )
    if labels.dtype != torch.int64:
        return f"labels of dtype {_dtype(labels)}; give integers 0..{classes - 1}, one class per image"
    if tuple(labels.shape) != (len(images),):
        return f"labels of shape {tuple(labels.shape)} for {len(images)} images; expected ({len(images)},)"
    if len(images) < 2:
        return f"{len(images)} image(s); at least 2 are needed"
    outside = ((labels < 0) | (labels >= classes)).nonzero()
    if len(outside):
        index = int(outside[0])
        return f"label {int(labels[index])} at index {index}; with {classes} classes, give 0..{classes - 1}"
    return None


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _take(split: Split, index: Tensor) -> Split:
    index = index.to(split.images.device)
    images = split.images.at(index) if isinstance(split.images, ImageFiles) else split.images[index]
    return Split(images, split.labels[index])


def _tensor(values: Any, what: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().contiguous()
    try:
        array = np.ascontiguousarray(values)
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be read as an array of numbers: {error}") from error
