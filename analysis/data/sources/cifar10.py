"""CIFAR-10 (Krizhevsky, 2009) as torchvision stores it; its pickles are opened only after their MD5 is confirmed."""

import os
from http.client import HTTPException
from pathlib import Path

import torch
from torchvision.datasets import CIFAR10
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from ...errors import InputError
from ..dataset import Dataset, Split
from ..files import DataFile, data_root
from ..shape import Shape

ABOUT = "60,000 colour photographs of 32×32 pixels in ten classes; 170 MB"
MEGABYTES = 170.0

# The constants of the published FMix code. Its std is the average of the images' own deviations, which is smaller than
# the deviation over all pixels (0.247, 0.243, 0.262).
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = Shape(50_000, 10_000, (3, 32, 32), CLASSES, MEAN, STD)

_FILES = {**dict(CIFAR10.train_list), **dict(CIFAR10.test_list), CIFAR10.meta["filename"]: CIFAR10.meta["md5"]}


def status(root: str | Path | None = None) -> list[DataFile]:
    """The state of the five training batches, the test batch and batches.meta, in this order."""
    folder = data_root(root) / CIFAR10.base_folder
    return [
        DataFile(folder / name, os.path.isfile(folder / name), check_integrity(folder / name, md5))
        for name, md5 in _FILES.items()
    ]


def fetch(root: str | Path | None = None) -> None:
    """Download the archive (170 MB), check its MD5 and unpack it; nothing happens if all files are there and whole.

    Raises:
        InputError: the archive cannot be fetched, fails its checksum or cannot be written.
    """
    folder = data_root(root)
    try:
        # torchvision's own download=True overlooks a missing batches.meta.
        if not all(file.ok for file in status(folder)):
            download_and_extract_archive(CIFAR10.url, folder, filename=CIFAR10.filename, md5=CIFAR10.tgz_md5)
    except (OSError, RuntimeError, HTTPException) as error:  # no network is a URLError, which is an OSError
        raise InputError(f"CIFAR-10 could not be fetched to {folder}: {error}. {_remedy(folder)}") from error


def load(root: str | Path | None = None) -> Dataset:
    """CIFAR-10: 50,000 training and 10,000 test images (3, 32, 32) in 10 classes.

    Raises:
        InputError: files are missing, unreadable or fail their MD5 (none is unpickled then).
    """
    folder = data_root(root)
    try:
        # The constructor checks the MD5 of all batches before it unpickles one, and that of batches.meta before it.
        train, test = CIFAR10(folder, train=True), CIFAR10(folder, train=False)
    except (OSError, RuntimeError) as error:
        raise InputError(f"CIFAR-10 in {folder} cannot be used: {_found(folder, error)}. {_remedy(folder)}") from error
    return Dataset("cifar10", _split(train), _split(test), tuple(train.classes), MEAN, STD)


def _split(data: CIFAR10) -> Split:
    return Split.of(torch.from_numpy(data.data).permute(0, 3, 1, 2), torch.tensor(data.targets))


def _found(folder: Path, error: Exception) -> str:
    if isinstance(error, OSError):
        return str(error)
    files = status(folder)
    missing = [file.path.name for file in files if not file.present]
    corrupt = [file.path.name for file in files if file.present and not file.ok]
    found = [f"missing {', '.join(missing)}"] * bool(missing) + [f"wrong checksum of {', '.join(corrupt)}"] * bool(
        corrupt
    )
    return f"in {CIFAR10.base_folder}, {'; '.join(found)}" if found else str(error)


def _remedy(folder: Path) -> str:
    return (
        f"Run `mixlens data cifar10 --fetch`, or fetch {CIFAR10.url} and unpack it in {folder}, so that "
        f"{folder / CIFAR10.base_folder} exists; another folder can be named in MIXLENS_DATA."
    )
