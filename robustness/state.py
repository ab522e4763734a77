"""What a sweep has found so far, and the file that keeps it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..analysis.errors import InputError, first_line
from ..analysis.store.tensors import read_tensors, write_tensors
from .measures import NOT_RUN
from .probe import Block, Probe

ARRAYS = ("bits", "correct", "zero_gradient", "distance")


@dataclass(frozen=True)
class Swept:
    """What a sweep found."""

    attacks: tuple[str, ...]
    epsilons: tuple[float, ...]
    bits: np.ndarray[Any, Any]  # int8 (attacks, epsilons, images)
    correct: np.ndarray[Any, Any]  # bool (images,): classified correctly as they are
    zero_gradient: np.ndarray[Any, Any]  # int8 (images,): the loss's gradient is exactly zero; −1 not computed
    # float32 (attacks, images): norm of a minimising attack's own perturbation; inf: it found none, nan: not run
    distance: np.ndarray[Any, Any]


class State:
    """The arrays of a sweep, kept in a file if one is given."""

    def __init__(self, attacks: Sequence[str], epsilons: tuple[float, ...], images: int) -> None:
        self.attacks, self.epsilons = attacks, epsilons
        self.bits = np.full((len(attacks), len(epsilons), images), NOT_RUN, np.int8)
        self.done = np.zeros((len(attacks), images), bool)
        self.correct = np.zeros(images, bool)
        self.zero_gradient = np.full(images, NOT_RUN, np.int8)
        self.distance = np.full((len(attacks), images), np.nan, np.float32)
        self._path: Path | None = None
        self._identity = ""

    def keep_in(self, path: Path, identity: str) -> None:
        """Save to this file from now on, and go on from it if it is there. Raises InputError if it cannot be that."""
        if not path.parent.is_dir():
            raise InputError(f"there is no folder {path.parent} for the checkpoint.")
        self._path, self._identity = path, json.dumps([self.attacks, self.epsilons, identity])
        if path.exists():
            self._restore(path)

    def finish(self, rows: np.ndarray[Any, Any], probes: Mapping[int, Probe], block: Block) -> None:
        """Mark the attacks as done on the images, take what they measured besides, and save."""
        self.correct[rows] = block.correct.cpu().numpy()
        for index, probe in probes.items():
            self.done[index, rows] = True
            self.distance[index, rows] = probe.distance.cpu().numpy()
        if any(probe.attack.follows_gradient for probe in probes.values()):
            self.zero_gradient[rows] = block.zero_gradient()
        if self._path is not None:
            tensors = {name: torch.from_numpy(array) for name, array in self._arrays().items()}
            write_tensors(self._path, tensors, {"sweep": self._identity})

    def result(self) -> Swept:
        return Swept(tuple(self.attacks), self.epsilons, self.bits, self.correct, self.zero_gradient, self.distance)

    def _arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        return {name: getattr(self, name) for name in ("done", *ARRAYS)}

    def _restore(self, path: Path) -> None:
        try:
            tensors, metadata = read_tensors(path)
            if metadata.get("sweep") != self._identity:
                raise ValueError("other attacks, ε, images, protocol, seed or weights")
            found = {name: tensors[name].numpy() for name in self._arrays()}
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise InputError(
                f"{path} is no checkpoint of this sweep ({first_line(error)}). Delete it and start again."
            ) from error
        for name, array in found.items():
            setattr(self, name, array.copy())


def identity_of(
    model: nn.Module, images: Tensor, labels: Tensor, numbers: np.ndarray[Any, Any], protocol: str, seed: int
) -> str:
    """SHA-256 of what determines a sweep's result beside attacks and ε: data, draws, the model's settings and tensors.

    Its settings are what its modules say of themselves (``extra_repr``): a wrapper that says nothing changes nothing.
    """
    modules = [said for module in model.modules() if (said := module.extra_repr())]
    digest = hashlib.sha256(json.dumps([numbers.tolist(), protocol, int(seed), modules]).encode())
    for tensor in (images, labels, *model.parameters(), *model.buffers()):
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
