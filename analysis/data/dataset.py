"""A labelled data set, in memory or in files: what every network trains on and every section measures.

Most are of images, and samples of any kind are called images here; `modality` says which they are.
"""

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
from .modality import Modality, modality_of

_INTEGERS = (torch.int8, torch.int16, torch.int32, torch.uint8, torch.uint16, torch.uint32, torch.uint64)


class Head(NamedTuple):
    """One of several questions about each image, and its classes."""

    name: str
    classes: tuple[str, ...]
    weight: float = 1.0  # of its recall among those of the heads


@dataclass(frozen=True, eq=False)
class Split:
    """Images (N, C, H, W) uint8 and their labels int64, (N,), or (N, heads) where there are several heads.

    Labels of another integer dtype are converted. Of another `modality` the samples are volumes (N, C, D, H, W) uint8,
    or what makes tensors as it is indexed: images in files, `modalities.text.Texts`, `modalities.sound.Recordings`.
    """

    images: Any
    labels: Tensor

    def __post_init__(self) -> None:
        if self.labels.dtype in _INTEGERS:
            object.__setattr__(self, "labels", self.labels.long())

    def __len__(self) -> int:
        return len(self.images)

    @property
    def modality(self) -> Modality:
        """What kind of samples these are."""
        return modality_of(self.images)

    def take(self, index: Tensor) -> "Split":
        """Those of these numbers, in memory or in files as they are."""
        index = index.to(self.images.device)
        images = self.images[index] if isinstance(self.images, Tensor) else self.images.at(index)
        return Split(images, self.labels[index])

    def in_memory(self, index: Tensor) -> "Split":
        """Those of these numbers, of images in files the pixels; of other modalities what is in memory anyhow."""
        if self.modality.NAME != "image":
            return self.take(index)
        return Split(self.images[index], self.labels[index])

    @property
    def first(self) -> Tensor:
        """The labels, of the first head where there are several: (N,)."""
        return self.labels if self.labels.ndim == 1 else self.labels[:, 0]

    @classmethod
    def of(cls, images: Any, labels: Any) -> "Split":
        """A split from numpy arrays, tensors or nested lists; the shapes and dtypes are checked by `Dataset`.

        Raises:
            InputError: one of them is no array of numbers.
        """
        return cls(images if hasattr(images, "hashes") else _tensor(images, "images"), _tensor(labels, "labels"))


class Evaluation(NamedTuple):
    """Other images of some of the classes, which networks are measured on besides."""

    split: Split
    among: tuple[int, ...]  # the classes that a prediction is taken from: those that the images are of


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """The words that texts are numbered by, from number 1 on, and vectors (words, channels) where they have some."""

    words: tuple[str, ...]
    vectors: Tensor | None = None


def number_names(words: int) -> tuple[str, ...]:
    """What the words of texts are called that come as numbers, whose meaning is their owner's."""
    return tuple(f"word {number}" for number in range(1, words + 1))


@dataclass(frozen=True, eq=False)
class Dataset:
    """Two splits, the names of the classes, and the mean and standard deviation per channel on the [0, 1] scale.

    Texts have neither mean nor deviation, but a vocabulary. With several ``heads`` each image has a label for each, and
    ``classes`` are those of the first; give () for them.

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
    heads: tuple[Head, ...] = ()  # two or more; empty: one label an image
    others: Mapping[str, Evaluation] = field(default_factory=dict)  # by name; no part of the checksum
    vocabulary: Vocabulary | None = None  # of texts

    def __post_init__(self) -> None:
        if self.heads:
            self._check_heads()
            object.__setattr__(self, "classes", self.heads[0].classes)
        for which, split in (("train", self.train), ("test", self.test)):
            problem = _problem(split, len(self.classes), self.heads)
            if problem:
                raise InputError(f"data set {self.name!r}, {which} split: {problem}.")
        if self.modality.NAME != self.test.modality.NAME:
            raise InputError(
                f"data set {self.name!r}: a train split of {self.modality.MANY}, and a test split of "
                f"{self.test.modality.MANY}; give the same."
            )
        if self.modality.NAME == "text":
            self._check_texts()
            return
        train_shape, test_shape = tuple(self.train.images.shape[1:]), tuple(self.test.images.shape[1:])
        if train_shape != test_shape:
            raise InputError(
                f"data set {self.name!r}, test split: {self.modality.MANY} of shape {test_shape}, but those of the "
                f"train split have {train_shape}; give both the same channels and size."
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
                    f"train and test {self.modality.MANY}, {wanted}, on the [0, 1] scale."
                )

    def _check_texts(self) -> None:
        if self.mean or self.std or self.vocabulary is None:
            raise InputError(f"data set {self.name!r}: texts have a vocabulary, and neither mean nor std: give ().")
        known, highest = len(self.vocabulary.words), max(int(one.images.ids.max()) for one in (self.train, self.test))
        if highest > known:
            raise InputError(
                f"data set {self.name!r}: word number {highest}, of a vocabulary of {known} words; number them 1 to "
                f"{known}."
            )
        vectors = self.vocabulary.vectors
        if vectors is not None and (vectors.ndim != 2 or len(vectors) != known or vectors.isinf().any()):
            raise InputError(
                f"data set {self.name!r}: vectors of shape {tuple(vectors.shape)} for {known} words; expected "
                f"({known}, channels), finite, or NaN of words that have none."
            )

    def _check_heads(self) -> None:
        names = [head.name for head in self.heads]
        if len(names) < 2 or len(set(names)) < len(names) or not all(map(str.isidentifier, names)):
            raise InputError(
                f"data set {self.name!r}: heads {names}; expected two or more, each with a name of its own, an "
                "identifier."
            )
        for head in self.heads:
            if len(head.classes) < 2 or not (math.isfinite(head.weight) and head.weight > 0):
                raise InputError(
                    f"data set {self.name!r}, head {head.name!r}: {len(head.classes)} classes, weight {head.weight}; "
                    "expected two classes or more, and a finite weight above 0."
                )
        if self.classes not in ((), self.heads[0].classes):
            raise InputError(
                f"data set {self.name!r}: classes {list(self.classes)[:3]} are not those of the first of its heads; "
                "leave them out, as ()."
            )

    @property
    def modality(self) -> Modality:
        """What kind of samples it has."""
        return self.train.modality

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many classes each head has; of one label an image, its classes."""
        return tuple(len(head.classes) for head in self.heads) or (len(self.classes),)

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
        header: dict[str, Any] = {"shapes": shapes, "classes": self.classes, "mean": self.mean, "std": self.std}
        header |= {"heads": self.heads} if self.heads else {}
        if self.vocabulary is None:
            return _digest(header, *parts)
        header["words"] = len(self.vocabulary.words)
        vectors = self.vocabulary.vectors
        return _digest(header, *parts, *(() if vectors is None else (vectors,)))

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
        return replace(self, train=self.train.take((~which).nonzero().squeeze(1)))

    def subset(self, size: int, seed: int) -> "Dataset":
        """``size`` training images, the classes as equal as can be; the test split and the name stay.

        Class counts differ by at most one; a class with too few images gives them all and the others make up for it.
        Subsets with the same seed are nested: the smaller is part of the larger. Of several heads the classes are the
        first's.

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
        labels = self.train.first.cpu()[shuffled]
        # Every class offers its first image, then every class its second, …: an exhausted class just drops out.
        by_class = labels.argsort(stable=True)
        counts = labels.bincount()
        rank = torch.empty_like(labels)
        rank[by_class] = torch.arange(len(labels)) - (counts.cumsum(0) - counts)[labels[by_class]]
        chosen = shuffled[rank.argsort(stable=True)[:size]].sort().values
        return replace(self, train=self.train.take(chosen))

    def fold(self, index: int, folds: int, seed: int) -> "Dataset":
        """Cross-validation: part ``index`` of the train split becomes the test split, the other parts the train split.

        The parts, their sizes and their class counts (each within one of equal) depend on ``folds`` and ``seed`` only.
        Of several heads these are the counts of the first's classes and of whole labels. The original test split is
        dropped, the name stays.

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
        held_out = dealt(self.train.labels.cpu(), index, folds, seed)
        train, test = (self.train.take(chosen.nonzero().squeeze(1)) for chosen in (~held_out, held_out))
        return replace(self, train=train, test=test)


def dealt(labels: Tensor, index: int, folds: int, seed: int) -> Tensor:
    """Which images (N,) bool are in part ``index`` of ``folds``: dealt like cards, class after class.

    Labels (N,), or (N, heads), whose classes are then whole labels, those with one first label beside each other.
    """
    shuffled = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    classes = labels if labels.ndim == 1 else labels.unique(dim=0, return_inverse=True)[1]
    by_class = shuffled[classes[shuffled].argsort(stable=True)]
    part = torch.zeros(len(labels), dtype=torch.bool)
    part[by_class[index::folds]] = True
    return part


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


def _digest(header: Mapping[str, Any], *parts: Any) -> str:
    digest = sha256(json.dumps(header, sort_keys=True).encode())
    for part in parts:
        if isinstance(part, Tensor):
            digest.update(part.cpu().contiguous().numpy().data)
        else:
            digest.update(b"files")
            digest.update(np.ascontiguousarray(part.hashes()).data)
    return digest.hexdigest()


def _each(images: Any) -> Iterator[bytes]:
    """What each is told from others by."""
    rows = images.cpu().numpy() if isinstance(images, Tensor) else images.hashes()
    return (row.tobytes() for row in rows)


def _problem(split: Split, classes: int, heads: tuple[Head, ...]) -> str | None:
    """What is wrong with a split, and what to do about it; None if nothing is."""
    images, labels = split.images, split.labels
    if found := split.modality.problem(images):
        return found
    one, many = split.modality.ONE, split.modality.MANY
    if labels.dtype != torch.int64:
        each = f"one class per {one} and head" if heads else f"one class per {one}"
        return f"labels of dtype {_dtype(labels)}; give integers 0..{classes - 1}, {each}"
    shape = (len(images), len(heads)) if heads else (len(images),)
    if tuple(labels.shape) != shape:
        return f"labels of shape {tuple(labels.shape)} for {len(images)} {many}; expected {shape}"
    if len(images) < 2:
        return f"{len(images)} {one}(s); at least 2 are needed"
    for place, name, count in [(k, head.name, len(head.classes)) for k, head in enumerate(heads)] or [(0, "", classes)]:
        column = labels[:, place] if heads else labels
        outside = ((column < 0) | (column >= count)).nonzero()
        if len(outside):
            index, where = int(outside[0]), f" of head {name!r}" if name else ""
            return f"label {int(column[index])}{where} at index {index}; with {count} classes, give 0..{count - 1}"
    return None


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _tensor(values: Any, what: str) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach().contiguous()
    try:
        array = np.ascontiguousarray(values)
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError) as error:
        raise InputError(f"{what} cannot be read as an array of numbers: {error}") from error
