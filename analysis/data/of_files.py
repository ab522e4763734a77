"""Data sets that are made of files in class folders, or of lists of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import InputError
from .class_folders import Files, together
from .dataset import Dataset, Split
from .image_files import ImageFiles, Listed, resident
from .manifest import Manifest, make_manifest, problems_in_words

# Of ImageNet's training images, by channel, as torchvision and timm have them.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def examined(folder: Path, *parts: Files, root: str | Path | None, remedy: str) -> Manifest:
    """The manifest of the files of all parts, one after the other.

    Raises:
        InputError: some cannot be read; ``remedy`` says what to do, and empty, that they may be left out.
    """
    manifest = make_manifest(folder, together(*parts), root)
    if manifest.problems and remedy:
        raise InputError(f"{problems_in_words(manifest)}. {remedy}")
    return manifest


def split_of(files: Listed, rows: Tensor, labels: Tensor, size: int | None, *, shuffled: bool = False) -> Split:
    """Those files as images: of size × size pixels, decoded when they are asked for; None: as they are, in memory.

    ``shuffled``: in an order drawn once and for all, so that the first few are of all classes.
    """
    if shuffled:
        order = torch.randperm(len(rows), generator=Generator().manual_seed(0))
        rows, labels = rows[order], labels[order]
    images = resident(files, rows) if size is None else ImageFiles(files, rows, size)
    return Split(images, labels)


def one_size(files: Listed, rows: Tensor) -> bool:
    """Whether those images have one width and one height."""
    chosen = rows.numpy()
    return len(np.unique(files.widths[chosen])) == 1 == len(np.unique(files.heights[chosen]))


def assembled(
    name: str,
    files: Listed,
    splits: Sequence[tuple[Tensor, Tensor]],
    classes: Sequence[str],
    size: int | None,
    mean: tuple[float, ...] = MEAN,
    std: tuple[float, ...] = STD,
) -> Dataset:
    """The data set of a train and a test split, each the files' rows and labels."""
    (train, of_train), (test, of_test) = splits
    return Dataset(
        name,
        split_of(files, train, of_train, size),
        split_of(files, test, of_test, size, shuffled=True),
        tuple(classes),
        mean,
        std,
    )
