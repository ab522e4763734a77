"""Image folders of a user's own: ``folder(path="…")``.

The images lie as torchvision's ImageFolder has them: in a folder for each class, in ``train`` and in ``val`` (or
``test``), or all in one folder of class folders, of which a part of each class is then held out.

Where all images have one size and none is asked for, they are read into memory and trained on as CIFAR's are, with
padded crops. Else they stay in their files (`image_files`): training cuts at random and resizes to ``size``, everything
that measures sees the middle. They are normalised by ImageNet's mean and deviation unless others are given.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator, Tensor

from ...errors import InputError
from ..class_folders import SHOWN, check_same_classes, class_files, class_names
from ..dataset import Dataset
from ..files import DataFile
from ..image_files import Listed
from ..of_files import MEAN, STD, assembled, examined, one_size

ABOUT = 'images of your own in class folders: folder(path="…"); nothing to fetch'
MEGABYTES = 0.0
SHAPE = None

TRAIN, TESTS = "train", ("val", "test")
HELD_OUT = 0.2
SIZE = 224  # pixels, of images of several sizes
MOST = 4096
LAYOUT = (
    f"PATH/{TRAIN}/CLASS/….jpg and PATH/{TESTS[0]}/CLASS/….jpg (or {TESTS[1]}/); or PATH/CLASS/….jpg, of which a part "
    "is held out"
)


def status(root: str | Path | None = None) -> list[DataFile]:
    """Nothing: where the images lie is said with the data set."""
    return []


def fetch(root: str | Path | None = None) -> None:
    """Nothing: there is nowhere to fetch them from."""


def load(
    root: str | Path | None = None,
    *,
    path: str,
    size: int | None = None,
    held_out: float | None = None,
    seed: int = 0,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    skip_damaged: bool = False,
    apart: bool = False,
) -> Dataset:
    """The images in a folder.

    Args:
        path: of the folder.
        size: side of the images that networks see; by default the images' own if they have one, else 224.
        held_out: without train and val, which part of each class is the test split, drawn by ``seed``; 0.2 by default.
        mean, std: of each channel on the [0, 1] scale.
        skip_damaged: leave out files that cannot be read.
        apart: leave out training images whose very file stands in the test split too.

    Raises:
        InputError: arguments of other kinds; a folder that is not there, or otherwise laid out; files that cannot be
            read; a class that is held out of with one image; images in both splits.
    """
    _check(path, size, held_out, seed, mean, std, skip_damaged, apart)
    folder = Path(path).expanduser()
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; expected {LAYOUT}.")
    remedy = "" if skip_damaged else "Mend them, take them away, or leave them out with skip_damaged=True."
    if test := _split_in(folder):
        if held_out is not None:
            raise InputError(f"{folder} has {TRAIN} and {test}; leave held_out={held_out} out.")
        classes = check_same_classes(folder, TRAIN, test)
        parts = [class_files(folder, below, classes) for below in (TRAIN, test)]
    else:
        classes = class_names(folder)
        parts = [class_files(folder, "", classes)]
    manifest = examined(folder, *parts, root=root, remedy=remedy)
    labels = torch.cat([torch.from_numpy(part.labels) for part in parts])
    readable = torch.ones(len(labels), dtype=torch.bool)
    readable[list(manifest.problems)] = False
    in_test = torch.arange(len(labels)) >= len(parts[0].labels) if test else None
    if in_test is None:
        in_test = _held_out(folder, labels, readable, classes, HELD_OUT if held_out is None else held_out, seed)
    chosen = [(readable & ~in_test).nonzero().squeeze(1), (readable & in_test).nonzero().squeeze(1)]
    splits = [(rows, labels[rows]) for rows in chosen]
    for (_, of_split), which in zip(splits, (TRAIN, test or "test"), strict=True):
        _check_each(folder, of_split, classes, which)
    rows = torch.cat(chosen)
    if size is None and not one_size(manifest.files, rows):
        size = SIZE
    dataset = assembled("folder", manifest.files, splits, classes, size, tuple(mean), tuple(std))
    return _without_shared(folder, dataset, manifest.files, chosen, apart)


def _check(path: Any, size: Any, held_out: Any, seed: Any, mean: Any, std: Any, skip_damaged: Any, apart: Any) -> None:
    if not isinstance(path, str) or not path:
        raise InputError(f"folder: path must be the folder's, in quotes, got {path!r}.")
    if size is not None and (type(size) is not int or not 1 <= size <= MOST):
        raise InputError(f"folder: size must be a side in pixels, 1 to {MOST}, got {size!r}.")
    if held_out is not None and (type(held_out) not in (int, float) or not 0 < held_out < 1):
        raise InputError(f"folder: held_out must lie between 0 and 1, got {held_out!r}.")
    if type(seed) is not int or seed < 0:
        raise InputError(f"folder: seed must be a whole number of at least 0, got {seed!r}.")
    for name, values in (("mean", mean), ("std", std)):
        numbers = isinstance(values, list | tuple) and all(type(value) in (int, float) for value in values)
        if not numbers or len(values) != 3:
            raise InputError(f"folder: {name} must be three numbers, one a channel, got {values!r}.")
    for name, value in (("skip_damaged", skip_damaged), ("apart", apart)):
        if type(value) is not bool:
            raise InputError(f"folder: {name} must be True or False, got {value!r}.")


def _split_in(folder: Path) -> str:
    """The test split's folder; empty where there is one folder of class folders. Raises InputError for half of both."""
    there = [name for name in TESTS if (folder / name).is_dir()]
    if (folder / TRAIN).is_dir() and not there:
        raise InputError(f"{folder} has {TRAIN}, but neither {' nor '.join(TESTS)}; expected {LAYOUT}.")
    if there and not (folder / TRAIN).is_dir():
        raise InputError(f"{folder} has {there[0]}, but no {TRAIN}; expected {LAYOUT}.")
    return there[0] if there else ""


def _held_out(folder: Path, labels: Tensor, readable: Tensor, classes: Sequence[str], part: float, seed: int) -> Tensor:
    """Which files (N,) are the test split: as near to ``part`` of each class as can be, at least one and not all."""
    held_out, generator = torch.zeros(len(labels), dtype=torch.bool), Generator().manual_seed(seed)
    for label, name in enumerate(classes):
        rows = (readable & (labels == label)).nonzero().squeeze(1)
        if len(rows) < 2:
            raise InputError(
                f"class {name} in {folder} has {len(rows)} image{'s' * (len(rows) != 1)} that can be read; at least 2 "
                "are needed, one to train on and one to be held out. Add some, or take the folder away."
            )
        count = min(len(rows) - 1, max(1, round(part * len(rows))))
        held_out[rows[torch.randperm(len(rows), generator=generator)[:count]]] = True
    return held_out


def _check_each(folder: Path, labels: Tensor, classes: Sequence[str], which: str) -> None:
    """Raises InputError where no image of a class is left."""
    for label in (labels.bincount(minlength=len(classes)) == 0).nonzero().flatten()[:1].tolist():
        raise InputError(f"class {classes[label]} of {which} in {folder} has no image that can be read. Mend them.")


def _without_shared(folder: Path, dataset: Dataset, files: Listed, rows: Sequence[Tensor], apart: bool) -> Dataset:
    """Without training files that are in the test split too, where that was asked for. Raises InputError elsewhere."""
    train, test = (files.hashes[chosen.numpy()] for chosen in rows)
    known = {digest.tobytes() for digest in test}
    shared = torch.tensor([digest.tobytes() in known for digest in train])
    if not shared.any():
        return dataset
    if not apart:
        names = [os.fsdecode(files.names[row]) for row in rows[0][shared][:SHOWN].tolist()]
        raise InputError(
            f"{int(shared.sum()):,} of {len(shared):,} training images in {folder} stand in the test split too, such "
            f"as {', '.join(names)}: what is measured on them was learnt by heart. Take them away, or leave them "
            "out of training with apart=True."
        )
    return dataset.without(shared)
