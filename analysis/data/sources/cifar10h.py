"""CIFAR-10H (Peterson et al. 2019): how often people chose each class for each image of CIFAR-10's test set."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ..files import DataFile, data_root, fetching

ABOUT = "people's votes on CIFAR-10's test images, for the calibration section; 0.8 MB"
MEGABYTES = 0.8
SHAPE = None  # no images

FOLDER, FILE = "cifar-10h", "cifar10h-counts.npy"
URL = f"https://raw.githubusercontent.com/jcpeterson/cifar-10h/master/data/{FILE}"
SHA256 = "9b36b4550349af56c79083356312eb4af856cc5fd3caf1f669d40b9d0bbb69ff"
SECONDS = 60


def status(root: str | Path | None = None) -> list[DataFile]:
    """Whether the file of counts is there, and whether its SHA-256 is that of the published one."""
    path = data_root(root) / FOLDER / FILE
    present = os.path.isfile(path)
    return [DataFile(path, present, present and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256)]


def fetch(root: str | Path | None = None) -> None:
    """Download the counts (0.8 MB) and check them; nothing happens if they are there and whole.

    Raises:
        InputError: they cannot be fetched, fail the checksum or cannot be written.
    """
    (file,) = status(root)
    path = file.path
    if file.ok:
        return
    with fetching("CIFAR-10H", path, _remedy(path)):
        with urlopen(URL, timeout=SECONDS) as answer:
            content = answer.read()
        if hashlib.sha256(content).hexdigest() != SHA256:
            raise OSError("what came has another checksum")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def load(root: str | Path | None = None) -> Tensor:
    """Counts (10000, 10) int64 in the order of CIFAR-10's test set; each image has 47 to 63 votes.

    Raises:
        InputError: the file is missing or fails its checksum.
    """
    (file,) = status(root)
    if not file.ok:
        state = "has another checksum" if file.present else "is missing"
        raise InputError(f"{file.path} {state}. {_remedy(file.path)}")
    return torch.from_numpy(np.load(file.path, allow_pickle=False))


def _remedy(path: Path) -> str:
    return f"Run `mixlens data cifar10h --fetch`, or save {URL} as {path}."
