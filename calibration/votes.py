"""People's votes on the test images: where they come from, and whether they can be what they are taken for."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from scipy.stats import binomtest
from torch import Tensor

from ..analysis.data.dataset import Dataset
from ..analysis.data.load import find_source
from ..analysis.errors import InputError, first_line
from ..analysis.spec import call, load_object, read_spec
from . import measures

KIND = "calibration.counts"
CIFAR10H = "cifar10h"
CHANCE = 0.001  # p-value from which on people agree with the labels no more often than in a random order


def published_votes(data: str, root: Path | None = None) -> str:
    """What names the votes that belong to a data set: CIFAR-10H for ``cifar10``, if they were fetched; else nothing."""
    return CIFAR10H if data == "cifar10" and all(file.present for file in find_source(CIFAR10H).status(root)) else ""


def read_votes(text: str, dataset: Dataset, root: Path | None = None) -> Tensor:
    """People's votes (test images, classes) or their probabilities, float64.

    Args:
        text: ``cifar10h``, a .npy file, or package.module:factory, which gives an array.
        root: the folder of the data.

    Raises:
        InputError: what is no array; neither votes nor probabilities; or not of this test set in its order.
    """
    where = f"{KIND}: {text}"
    if text == CIFAR10H:
        votes = find_source(CIFAR10H).load(root)
    elif ":" in text and not os.path.exists(text):
        votes = _of_factory(text)
    else:
        votes = _of_file(Path(text), where)
    wanted = (len(dataset.test), len(dataset.classes))
    if tuple(votes.shape) != wanted:
        raise InputError(
            f"{where} has the shape {tuple(votes.shape)}; expected {wanted}, a row for each test image in their order "
            "and a column for each class."
        )
    try:
        votes = measures.check_counts(votes.double())
        if not measures.are_votes(votes):
            measures.check_probabilities(votes)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    _check_order(votes, dataset, where)
    return votes


def fingerprint(votes: Tensor) -> str:
    """SHA-256 of the votes, whatever they were read from."""
    return hashlib.sha256(votes.numpy().tobytes()).hexdigest()


def _of_file(path: Path, where: str) -> Tensor:
    try:
        return _numbers(np.load(path, allow_pickle=False))
    except FileNotFoundError:
        raise InputError(f"{where}: there is no such file.") from None
    except OSError as error:
        raise InputError(f"{where} is no .npy array of numbers: {error.strerror or first_line(error)}.") from error
    except Exception as error:  # zipfile, numpy and pickle each have their own
        raise InputError(f"{where} is no .npy array of numbers ({type(error).__name__}).") from error


def _of_factory(text: str) -> Tensor:
    spec = read_spec(text, KIND)
    returned = call(load_object(spec.use, KIND), spec.arguments, f"{KIND} {spec.text!r}")
    try:
        return _numbers(np.asarray(returned))
    except TypeError as error:
        raise InputError(f"{KIND} {spec.text!r}: its factory gave no array of numbers, but {error}.") from error


def _numbers(values: np.ndarray) -> Tensor:
    if values.dtype.kind not in "biuf":
        raise TypeError(values.dtype)
    return torch.from_numpy(values.astype(np.float64))


def _check_order(votes: Tensor, dataset: Dataset, where: str) -> None:
    """Refuse people whose first choices agree with the labels no more often than in a random order."""
    first, labels = votes.argmax(1), dataset.test.labels.cpu()
    classes, n = len(dataset.classes), len(labels)
    chance = (first.bincount(minlength=classes) / n * labels.bincount(minlength=classes) / n).sum().item()
    agree = int((first == labels).sum())
    if chance < 1 and binomtest(agree, n, chance, alternative="greater").pvalue > CHANCE:
        raise InputError(
            f"{where}: people's first choice is the label on {agree / n:.1%} of the images, no more than by chance "
            f"({chance:.1%}): the rows are in another order, or of another data set."
        )
