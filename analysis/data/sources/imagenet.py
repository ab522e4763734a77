"""ImageNet (ILSVRC2012; Russakovsky et al. 2015) as class folders, as torchvision and timm read it.

Images stay in their files: training cuts 8 to 100% of each at random and resizes that to 224, everything that measures
sees the middle 224 of 256. Classes are called by their WordNet numbers, in whose order they stand. Where ImageNet-A
lies beside it, classifiers are measured on that too.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch

from ...errors import InputError
from ..class_folders import Files, class_files
from ..dataset import Dataset
from ..files import DataFile, data_root
from ..of_files import assembled, examined
from . import imagenet_a

ABOUT = "1,331,167 photographs in 1,000 classes, 155 GB; it must be asked for, nothing to fetch"
MEGABYTES = 0.0
SHAPE = None
ASK = "https://image-net.org/download.php"

FOLDER, TRAIN, TEST = "imagenet", "train", "val"
LAYOUT = f"{FOLDER}/{TRAIN}/n01440764/….JPEG and {FOLDER}/{TEST}/n01440764/….JPEG, a folder for each of 1,000 classes"
CLASSES, TRAINED, TESTED = 1000, 1_281_167, 50_000
FEWEST = 732  # training images of a class


def status(root: str | Path | None = None) -> list[DataFile]:
    """Its two folders: whole if there is a folder for each class. Their images are counted when they are loaded."""
    folder = data_root(root) / FOLDER
    return [DataFile(folder / name, (folder / name).is_dir(), not _problem(folder / name)) for name in (TRAIN, TEST)]


def fetch(root: str | Path | None = None) -> None:
    """Nothing that a program may do. Raises InputError where the images are not there."""
    if wrong := missing(root):
        raise InputError(f"ImageNet cannot be fetched: it is had from {ASK}. {wrong}; expected {LAYOUT}.")


def missing(root: str | Path | None = None) -> str:
    """What is not as it should lie, in words; empty where all is."""
    folder = data_root(root) / FOLDER
    return next((problem for name in (TRAIN, TEST) if (problem := _problem(folder / name))), "")


def load(root: str | Path | None = None, *, size: int = 224) -> Dataset:
    """All 1,281,167 training images and the 50,000 of validation, which are the test split, in an order drawn once.

    Args:
        size: side of what networks see, in pixels.

    Raises:
        InputError: images are missing or cannot be read.
    """
    if type(size) is not int or not 1 <= size <= 4096:
        raise InputError(f"imagenet: size must be a side in pixels, 1 to 4096, got {size!r}.")
    folder = data_root(root) / FOLDER
    if wrong := missing(root):
        raise InputError(f"ImageNet cannot be used: {wrong}. It is had from {ASK}; expected {LAYOUT}.")
    classes = _wnids(folder / TRAIN)
    parts = [class_files(folder, name, classes) for name in (TRAIN, TEST)]
    _check_counts(folder, parts, classes)
    manifest = examined(folder, *parts, root=root, remedy="Unpack them anew.")
    rows = torch.arange(len(manifest.files.names)).split([len(part.names) for part in parts])
    splits = [(chosen, torch.from_numpy(part.labels)) for chosen, part in zip(rows, parts, strict=True)]
    dataset = assembled("imagenet", manifest.files, splits, classes, size)
    return imagenet_a.beside(dataset, root, size)


def _problem(folder: Path) -> str:
    """What is wrong with a folder of class folders, and what to do; empty where nothing is."""
    if not folder.is_dir():
        return f"{folder} is missing; unpack the images there, or make it a link to where they are"
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries]
    found = _wnids(folder)
    if len(found) == CLASSES:
        return ""
    if packed := sorted(name for name in names if name.endswith(".tar")):
        return (
            f"{folder} holds {len(found):,} class folders of {CLASSES:,} and {len(packed):,} archives, such as "
            f"{packed[0]}, still packed; unpack each into a folder of its name"
        )
    if not found and any(name.endswith(".JPEG") for name in names):
        return (
            f"{folder} holds images, and no class folders; sort them by the devkit's labels, as torchvision does: "
            "torchvision.datasets.imagenet.parse_val_archive"
        )
    return f"{folder} holds {len(found):,} class folders of {CLASSES:,}, each named as n01440764; unpack the others too"


def _wnids(folder: Path) -> list[str]:
    """The class folders, by WordNet's numbers."""
    with os.scandir(folder) as entries:
        return sorted(one.name for one in entries if one.name[0] == "n" and one.name[1:].isdigit() and one.is_dir())


def _check_counts(folder: Path, parts: list[Files], classes: list[str]) -> None:
    for name, part, expected, fewest in zip(
        (TRAIN, TEST), parts, (TRAINED, TESTED), (FEWEST, TESTED // CLASSES), strict=True
    ):
        if len(part.names) == expected:
            continue
        counts = np.bincount(part.labels, minlength=len(classes))
        few = [f"{classes[label]} ({counts[label]:,})" for label in np.flatnonzero(counts < fewest)]
        where = f"; too few are in {', '.join(few[:3])}{f' and {len(few) - 3:,} more' if few[3:] else ''}" * bool(few)
        raise InputError(
            f"ImageNet cannot be used: {folder / name} holds {len(part.names):,} images of {expected:,}{where}. Unpack "
            f"what is missing. For a part of it give folder(path=…), which takes any class folders."
        )
