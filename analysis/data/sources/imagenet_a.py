"""ImageNet-A (Hendrycks et al. 2021): photographs of 200 of ImageNet's classes that a ResNet-50 gets wrong.

No data set to train on: classifiers of ImageNet are measured on it, their prediction taken among its 200 classes, as
its authors measure.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torchvision.datasets.utils import download_and_extract_archive

from ...errors import InputError
from ..class_folders import class_files, class_names
from ..dataset import Dataset, Evaluation
from ..files import DataFile, data_root, fetching
from ..of_files import examined, split_of

ABOUT = "7,500 photographs of 200 of ImageNet's classes, on which its classifiers are measured too; 688 MB"
MEGABYTES = 688.0
SHAPE = None  # not to be trained on

NAME = FOLDER = "imagenet-a"
URL = "https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar"
MD5 = "c3e55429088dc681f30d81f4726b6595"
CLASSES, IMAGES = 200, 7500
_REMEDY = f"Run `mixlens data imagenet_a --fetch`, or fetch {URL} and unpack it"


def status(root: str | Path | None = None) -> list[DataFile]:
    """Its folder: whole if it has as many images in as many class folders as were published."""
    folder = data_root(root) / FOLDER
    present = folder.is_dir()
    counts = [sum(1 for _ in one.iterdir()) for one in folder.iterdir() if one.is_dir()] if present else []
    return [DataFile(folder, present, len(counts) == CLASSES and sum(counts) == IMAGES)]


def fetch(root: str | Path | None = None) -> None:
    """Download the archive (688 MB), check its MD5 and unpack it; nothing happens if all is there.

    Raises:
        InputError: it cannot be fetched, fails its checksum or cannot be written.
    """
    folder = data_root(root)
    if not all(file.ok for file in status(folder)):
        with fetching("ImageNet-A", folder, f"{_REMEDY} in {folder}."):
            download_and_extract_archive(URL, folder, filename=f"{FOLDER}.tar", md5=MD5)


def load(root: str | Path | None = None) -> Path:
    """Where its images lie. Raises InputError where they do not, or not all."""
    (file,) = status(root)
    if not file.ok:
        state = f"does not hold {IMAGES:,} images in {CLASSES} class folders" if file.present else "is missing"
        raise InputError(f"{file.path} {state}. {_REMEDY} in {file.path.parent}.")
    return file.path


def beside(dataset: Dataset, root: str | Path | None, size: int) -> Dataset:
    """ImageNet with this to be measured on, if it is there.

    Raises:
        InputError: it is there, but not whole, or of other classes.
    """
    if not (data_root(root) / FOLDER).exists():
        return dataset
    folder = load(root)
    names = class_names(folder)
    if others := [name for name in names if name not in dataset.classes]:
        raise InputError(f"{folder} has class folder {others[0]}, which is none of ImageNet's. {_REMEDY} anew.")
    among = tuple(dataset.classes.index(name) for name in names)
    files = class_files(folder, "", names, among)
    manifest = examined(folder, files, root=root, remedy=f"{_REMEDY} anew.")
    rows, labels = torch.arange(len(files.names)), torch.from_numpy(files.labels)
    return replace(dataset, others={NAME: Evaluation(split_of(manifest.files, rows, labels, size), among)})
