"""Tiny-ImageNet (Stanford's CS231n): 200 classes of ImageNet at 64×64, as its zip unpacks; read into memory.

Its test images have no labels: the validation images are the test split. Some images are grey.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torchvision.datasets.utils import download_and_extract_archive

from ...errors import InputError
from ..class_folders import Files, class_files
from ..dataset import Dataset
from ..files import DataFile, data_root, fetching
from ..of_files import assembled, examined, one_size

ABOUT = "110,000 photographs of 64×64 pixels in 200 classes of ImageNet; 248 MB"
MEGABYTES = 248.0
SHAPE = None  # noise of its size would fill a gigabyte

FOLDER = "tiny-imagenet-200"
URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
CLASSES, EACH, TESTED = 200, 500, 10_000  # training images of each class, and validation images

# Over all pixels of the training images, as most who train on it have them.
MEAN = (0.4802, 0.4481, 0.3975)
STD = (0.2770, 0.2691, 0.2821)

_LISTS = ("wnids.txt", "words.txt", "val/val_annotations.txt")
_REMEDY = f"Run `mixlens data tiny_imagenet --fetch`, or fetch {URL} and unpack it"


def status(root: str | Path | None = None) -> list[DataFile]:
    """Its lists, and its folders of images: whole if they hold as many as were published."""
    folder = data_root(root) / FOLDER
    files = [DataFile(path, path.is_file(), path.is_file()) for path in (folder / name for name in _LISTS)]
    train, tested = folder / "train", folder / "val" / "images"
    counts = [_count(one / "images") for one in train.iterdir() if one.is_dir()] if train.is_dir() else []
    return [
        *files,
        DataFile(train, train.is_dir(), counts == [EACH] * CLASSES),
        DataFile(tested, tested.is_dir(), _count(tested) == TESTED),
    ]


def fetch(root: str | Path | None = None) -> None:
    """Download the zip (248 MB), check its MD5 and unpack it; nothing happens if all is there.

    Raises:
        InputError: it cannot be fetched, fails its checksum or cannot be written.
    """
    folder = data_root(root)
    if not all(file.ok for file in status(folder)):
        with fetching("Tiny-ImageNet", folder, f"{_REMEDY} in {folder}."):
            download_and_extract_archive(URL, folder, filename=f"{FOLDER}.zip", md5=MD5)


def load(root: str | Path | None = None) -> Dataset:
    """100,000 training images, 500 of each class, and the 10,000 validation images in an order drawn once.

    Raises:
        InputError: files are missing or cannot be read; a list that does not fit them.
    """
    folder = data_root(root) / FOLDER
    if wrong := [file for file in status(root) if not file.ok]:
        state = "holds another number of images" if wrong[0].present else "is missing"
        raise InputError(f"Tiny-ImageNet cannot be used: {wrong[0].path} {state}. {_REMEDY} in {folder.parent}.")
    classes = sorted(_lines(folder / "wnids.txt"))
    train = class_files(folder, "train", classes)
    tested = _labelled(folder, class_files(folder, "val", ["images"]), classes)
    manifest = examined(folder, train, tested, root=root, remedy=f"{_REMEDY} anew in {folder.parent}.")
    rows = torch.arange(len(manifest.files.names))
    if not one_size(manifest.files, rows):
        raise InputError(f"{folder}: its images are of several sizes, not all of 64×64. {_REMEDY} in {folder.parent}.")
    splits = [
        (part, torch.from_numpy(files.labels))
        for part, files in zip(rows.split([len(train.names), len(tested.names)]), (train, tested), strict=True)
    ]
    words = dict(line.split("\t", 1) for line in _lines(folder / "words.txt") if "\t" in line)
    names = [words.get(wnid, wnid).partition(",")[0] for wnid in classes]
    return assembled("tiny_imagenet", manifest.files, splits, names, None, MEAN, STD)


def _labelled(folder: Path, files: Files, classes: Sequence[str]) -> Files:
    """The validation images with the classes that their list gives them. Raises InputError where it does not."""
    path, numbers = folder / "val" / "val_annotations.txt", {wnid: number for number, wnid in enumerate(classes)}
    given = dict(line.split("\t")[:2] for line in _lines(path) if "\t" in line)
    labels = []
    for name in map(os.fsdecode, files.names):
        wnid = given.get(os.path.basename(name))
        if wnid not in numbers:
            found = "has no line" if wnid is None else f"is of {wnid!r}, which is not in wnids.txt,"
            raise InputError(f"{os.path.basename(name)} {found} in {path}. {_REMEDY} anew in {folder.parent}.")
        labels.append(numbers[wnid])
    return files._replace(labels=np.array(labels, dtype=np.int64))


def _count(folder: Path) -> int:
    return len(os.listdir(folder)) if folder.is_dir() else 0


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}. {_REMEDY} anew.") from error
