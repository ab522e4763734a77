"""Folders of images, one a class, as torchvision's ImageFolder reads them: which files there are, of which class."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import InputError

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")  # torchvision's
SHOWN = 3  # names in a message
_THREADS = 16  # a network's file system takes its time for each question
Array = np.ndarray[Any, Any]


class Files(NamedTuple):
    """One entry a file, by class and name."""

    names: Array  # (N,) bytes, below the root
    labels: Array  # (N,) int64
    sizes: Array  # (N,) int64, bytes
    times: Array  # (N,) int64, nanoseconds, of their last change


def class_names(folder: Path) -> list[str]:
    """The folders in a folder, hidden ones aside, in their order. Raises InputError where there are none."""
    try:
        found = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror or error}.") from error
    if not found:
        raise InputError(f"{folder} holds no folders; expected one for each class, with its images in it.")
    return found


def class_files(root: Path, below: str, classes: Sequence[str], labels: Sequence[int] | None = None) -> Files:
    """The images in ``root/below/CLASS``, and in folders in there.

    Args:
        labels: of the classes; by default their places.

    Raises:
        InputError: a folder that is missing, has no images, cannot be read, or leads back into itself.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        by_class = list(threads.map(lambda name: _images(root, os.path.join(below, name)), classes))
    if empty := [name for name, files in zip(classes, by_class, strict=True) if not files]:
        others = next(os.scandir(root / below / empty[0]), None)
        held = f", but others, such as {others.name}" if others else ""
        raise InputError(
            f"{_listed(empty)} in {root / below} {'holds' if len(empty) == 1 else 'hold'} no image{held}; images end "
            f"in {', '.join(ENDINGS)}. Put some there, or take the folder away."
        )
    numbers = range(len(classes)) if labels is None else labels
    return Files(
        np.array([name for files in by_class for name, _, _ in files], dtype=np.bytes_),
        np.repeat(np.array(numbers, dtype=np.int64), [len(files) for files in by_class]),
        np.array([size for files in by_class for _, size, _ in files], dtype=np.int64),
        np.array([time for files in by_class for _, _, time in files], dtype=np.int64),
    )


def together(*parts: Files) -> Files:
    """The files of all parts, one after the other."""
    return Files(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def check_same_classes(root: Path, train: str, test: str) -> list[str]:
    """The classes of both. Raises InputError where they differ, since labels are the places of names."""
    first, second = class_names(root / train), class_names(root / test)
    for names, others, where, there in ((first, second, train, test), (second, first, test, train)):
        if only := sorted(set(names) - set(others)):
            raise InputError(
                f"{root}: {_listed(only)} in {where} {'has' if len(only) == 1 else 'have'} no folder in {there}; both "
                "must have the same class folders."
            )
    return first


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return f"{'class' if len(names) == 1 else f'{len(names):,} classes,'} {', '.join(names[:SHOWN])}{more}"


def _images(root: Path, below: str) -> list[tuple[bytes, int, int]]:
    """Name, size and time of each image in a folder, in the order of names."""
    found = []
    try:
        for name, entry in _walk(root, below, ()):
            status = entry.stat()
            found.append((os.fsencode(name), status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise InputError(f"{error.filename or root / below} cannot be read: {error.strerror or error}.") from error
    return sorted(found)


def _walk(root: Path, below: str, above: tuple[tuple[int, int], ...]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """``above`` are the folders that lead there, by device and inode."""
    folder = os.path.join(root, below)
    status = os.stat(folder)
    if (status.st_dev, status.st_ino) in above:
        raise InputError(f"{folder} is a link to a folder that it lies in, without end; take it away.")
    with os.scandir(folder) as entries:
        for entry in entries:
            name = os.path.join(below, entry.name)
            if entry.name[0] == ".":
                continue
            if entry.is_dir():
                yield from _walk(root, name, (*above, (status.st_dev, status.st_ino)))
            elif entry.name.lower().endswith(ENDINGS):
                yield name, entry
