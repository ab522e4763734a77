"""Data sets that torchvision reads, each with the published checksum of every file it reads."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from torchvision.datasets import CIFAR10, VisionDataset
from torchvision.datasets.utils import check_integrity, download_and_extract_archive

from ..errors import InputError
from .dataset import Dataset, Split
from .files import DataFile, data_root, fetching
from .shape import Shape


class Published(NamedTuple):
    """A data set as its files lie under the data's folder: what is in them, and where they come from."""

    name: str  # as a study has it
    title: str
    folder: str  # below the data's folder
    files: Mapping[str, str]  # name → MD5, of what is read
    shape: Shape
    address: str
    read: Callable[[Path, bool], VisionDataset]  # the data's folder, whether of the training images
    download: Callable[[Path], None]

    def status(self, root: str | Path | None = None) -> list[DataFile]:
        """The state of its files, in their order."""
        folder = data_root(root) / self.folder
        return [
            DataFile(folder / name, os.path.isfile(folder / name), check_integrity(folder / name, md5))
            for name, md5 in self.files.items()
        ]

    def fetch(self, root: str | Path | None = None) -> None:
        """Download what is missing or damaged, check its MD5 and unpack it.

        Raises:
            InputError: it cannot be fetched, fails its checksum or cannot be written.
        """
        folder = data_root(root)
        with fetching(self.title, folder, self._remedy(folder)):
            if not all(file.ok for file in self.status(folder)):
                self.download(folder)

    def load(self, root: str | Path | None = None) -> Dataset:
        """All of it.

        Raises:
            InputError: files are missing, unreadable or fail their MD5 (none is read then).
        """
        folder = data_root(root)
        if wrong := self._wrong(folder):
            raise InputError(f"{self.title} in {folder} cannot be used: {wrong}. {self._remedy(folder)}")
        try:
            train, test = (self.read(folder, training) for training in (True, False))
            splits = _split(train), _split(test)
        except (OSError, RuntimeError, ValueError) as error:
            raise InputError(f"{self.title} in {folder} cannot be used: {error}. {self._remedy(folder)}") from error
        return Dataset(self.name, *splits, tuple(train.classes), self.shape.mean, self.shape.std)

    def _wrong(self, folder: Path) -> str:
        files = self.status(folder)
        missing = ", ".join(file.path.name for file in files if not file.present)
        corrupt = ", ".join(file.path.name for file in files if file.present and not file.ok)
        found = [f"missing {missing}"] * bool(missing) + [f"wrong checksum of {corrupt}"] * bool(corrupt)
        return f"in {self.folder}, {'; '.join(found)}" if found else ""

    def _remedy(self, folder: Path) -> str:
        return (
            f"Run `mixlens data {self.name} --fetch`, or fetch {self.address} and unpack it in {folder}, so that "
            f"{folder / self.folder} exists; another folder can be named in MIXLENS_DATA."
        )


def _split(data: VisionDataset) -> Split:
    """Of colour images (N, H, W, 3) or grey ones (N, H, W)."""
    images = torch.as_tensor(data.data)
    images = images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2)
    return Split.of(images, torch.as_tensor(data.targets))


def cifar(name: str, title: str, kind: type[CIFAR10], shape: Shape) -> Published:
    """CIFAR-10 or CIFAR-100: pickles, opened only after their MD5 is confirmed."""

    def download(folder: Path) -> None:
        download_and_extract_archive(kind.url, folder, filename=kind.filename, md5=kind.tgz_md5)

    # torchvision overlooks a missing file of class names.
    files = {**dict(kind.train_list), **dict(kind.test_list), kind.meta["filename"]: kind.meta["md5"]}
    return Published(name, title, kind.base_folder, files, shape, kind.url, kind, download)
