"""Attack a data set at every ε: who is broken by what, from the passes that this takes and no more.

The product is an int8 array [attack, ε, image]: 0 held, 1 broken, −1 not run. Images that the model gets wrong as they
are count as broken by every attack and are not attacked. Three protocols:

- ``paper``: every attack at every ε, as published. A minimising attack (DeepFool) runs once, is clipped to each ε and
  tested again, as Foolbox does.
- ``nested``: ε ascending; each attack meets only the images that it has not broken at a smaller ε, since a smaller
  ball lies inside a larger one. DeepFool's image is broken at ε where its own ‖δ‖ ≤ ε, or clipped to ε still fools.
- ``nested-worst``: the same across attacks, cheapest first; the worst case alone is defined.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import eagerpy as ep
import numpy as np
import torch
from foolbox.attacks.deepfool import DeepFoolAttack
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.criteria import Misclassification
from foolbox.models import PyTorchModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from ..analysis.errors import InputError, first_line, unknown
from ..analysis.models.classifier import check_classifier
from .attacks import Attack, parse_attacks
from .config import ATTACKS, EPSILONS, ProtocolName, check_epsilons
from .deepfool import deepfool
from .draws import Draws

HELD, BROKEN, NOT_RUN = 0, 1, -1
BLOCK = {"cpu": 500, "cuda": 5000}  # images between two saves; larger ones fill a GPU when few are left to attack


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


def sweep(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    attacks: Sequence[str] = ATTACKS,
    epsilons: Sequence[float] = EPSILONS,
    protocol: ProtocolName = "paper",
    seed: int = 0,
    batch_size: int = 500,
    numbers: Sequence[int] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int], None] = lambda images: None,
) -> Swept:
    """Attack ``model`` (images in [0, 1] → logits) and say which images each attack breaks at each ε.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1]; attacked on the model's device.
        labels: (N,) integer classes.
        attacks: names as `parse_attacks` reads them.
        epsilons: ascending, in the norm of the attacks (L∞: pixel units).
        seed: of random starts and noise, which are drawn for each (attack, ε, image) by itself.
        batch_size: images attacked at once; results do not depend on it but for rounding.
        numbers: the images' numbers in their data set, which seed their draws; their positions by default.
        checkpoint: a file that keeps what is done; a sweep that finds it goes on from there.
        progress: called with the number of images of each finished (attack, block).

    Raises:
        InputError: what `parse_attacks`, `check_epsilons` and `check_classifier` refuse; images outside [0, 1]; labels
            that do not fit; a checkpoint of another sweep.
    """
    if protocol not in get_args(ProtocolName):
        raise unknown("protocol", protocol, get_args(ProtocolName))
    check_epsilons(tuple(epsilons))
    device = next((p.device for p in model.parameters()), images.device)
    _check_images(images, labels)
    _check_labels(labels, check_classifier(model, _unit(images[:8], device)))
    known = np.arange(len(images)) if numbers is None else np.asarray(numbers)
    if known.shape != (len(images),):
        raise InputError(f"numbers must be {len(images)} integers, one for each image, got {known.shape}.")
    chosen = parse_attacks(attacks)
    state = _State([attack.name for attack in chosen], tuple(float(value) for value in epsilons), len(images))
    if checkpoint is not None:
        state.keep_in(checkpoint, _identity(model, images, labels, known, protocol, seed))
    size = BLOCK.get(device.type, BLOCK["cuda"])
    with frozen(model), torch.random.fork_rng([device] if device.type == "cuda" else []):
        for start in range(0, len(images), size):
            rows = np.arange(start, min(start + size, len(images)))
            todo = [index for index in range(len(chosen)) if not state.done[index, rows].all()]
            if len(todo) < len(chosen):  # a resumed sweep
                progress(len(rows) * (len(chosen) - len(todo)))
            if not todo:
                continue
            block = Block(model, _unit(images[rows], device), labels[rows].long().to(device), known[rows], batch_size)
            probes = {index: Probe(chosen[index], block, seed, batch_size) for index in todo}
            if protocol == "nested-worst":
                _nested_worst(state, rows, probes, block)
                state.finish(rows, probes, block)
                progress(len(rows) * len(todo))
                continue
            for index, probe in probes.items():
                _each_epsilon(state, rows, index, probe, block, nested=protocol == "nested")
                state.finish(rows, {index: probe}, block)
                progress(len(rows))
    return state.result()


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No gradients for the parameters meanwhile: attacks do not read them, and they cost a third of the passes."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)


def _each_epsilon(
    state: _State, rows: np.ndarray[Any, Any], index: int, probe: Probe, block: Block, *, nested: bool
) -> None:
    """One attack at every ε, on all images that are classified correctly or on those it has not broken yet."""
    bits = state.bits[index]
    bits[:, rows] = np.where(block.correct.cpu().numpy(), HELD, BROKEN)
    left = block.correct.nonzero().squeeze(1)  # positions in the block
    for k, epsilon in enumerate(state.epsilons):
        broken = probe.broken(left, epsilon, within=nested)
        hit = rows[left[broken].cpu().numpy()]
        if nested:
            bits[k:, hit] = BROKEN
            left = left[~broken]
        else:
            bits[k, hit] = BROKEN


def _nested_worst(state: _State, rows: np.ndarray[Any, Any], probes: Mapping[int, Probe], block: Block) -> None:
    """All attacks, cheapest first, at each ε in turn, on the images that none has broken yet."""
    state.bits[:, :, rows] = np.where(block.correct.cpu().numpy(), NOT_RUN, BROKEN)
    left = block.correct.nonzero().squeeze(1)  # positions in the block
    cheapest_first = sorted(probes.items(), key=lambda item: item[1].attack.cost)
    for k, epsilon in enumerate(state.epsilons):
        for index, probe in cheapest_first:
            broken = probe.broken(left, epsilon, within=True)
            state.bits[index, k, rows[left.cpu().numpy()]] = HELD
            state.bits[index, k:, rows[left[broken].cpu().numpy()]] = BROKEN
            left = left[~broken]


class Block:
    """A few hundred images on the device, with what their attacks share: predictions, and the loss's first gradient."""

    def __init__(
        self, model: nn.Module, x: Tensor, labels: Tensor, numbers: np.ndarray[Any, Any], batch_size: int
    ) -> None:
        self.model, self.x, self.labels, self.numbers = model, x, labels, numbers  # numbers in their data set
        self._batch_size = batch_size
        self._gradient: Tensor | None = None
        with torch.no_grad():
            self.correct = torch.cat([model(part).argmax(1) for part in x.split(batch_size)]) == labels

    @property
    def gradient(self) -> Tensor:
        """∇ₓ cross entropy at the images (0 where they are misclassified), in one pass for all attacks and ε."""
        if self._gradient is None:
            self._gradient = torch.zeros_like(self.x)
            for rows in _batches(self.correct.nonzero().squeeze(1), self._batch_size):
                x = self.x[rows].requires_grad_()
                loss = nn.functional.cross_entropy(self.model(x), self.labels[rows], reduction="sum")
                self._gradient[rows] = torch.autograd.grad(loss, x)[0]
        return self._gradient

    def zero_gradient(self) -> np.ndarray[Any, Any]:
        """int8: 1 where the gradient is exactly zero, −1 for images that are misclassified."""
        zero = self.gradient.flatten(1).abs().amax(1) == 0
        return torch.where(self.correct, zero, NOT_RUN).to(torch.int8).cpu().numpy()


def _batches(rows: Tensor, size: int) -> Sequence[Tensor]:
    return rows.split(size) if len(rows) else ()


class Probe:
    """One attack on one block."""

    def __init__(self, attack: Attack, block: Block, seed: int, batch_size: int) -> None:
        self.attack, self._block, self._batch_size = attack, block, batch_size
        self._foolbox = copy.copy(attack.foolbox)  # its hooks become this probe's
        self._draws = Draws(self._foolbox, "attack", seed, attack.name)
        self._model = PyTorchModel(block.model, bounds=(0, 1), device=block.x.device)
        if _plain_loss(attack.foolbox):
            self._later_gradient = attack.foolbox.value_and_grad  # type: ignore[attr-defined]
            self._foolbox.value_and_grad = self._value_and_grad  # type: ignore[attr-defined]
        self._batch: tuple[Tensor, Tensor] | None = None  # images under attack, and their rows in the block
        # Of a minimising attack, once it has run on an image: the perturbed image and its distance.
        self._perturbed: Tensor | None = None
        self.distance = torch.full((len(block.numbers),), float("nan"), device=block.x.device)

    def broken(self, rows: Tensor, epsilon: float, *, within: bool) -> Tensor:
        """Which of the block's images ``rows`` (M,), all classified correctly, the attack breaks at ε: (M,) bool.

        ``within`` counts a minimising attack's image as broken at every ε from its own norm on.

        Raises:
            InputError: Foolbox refuses.
        """
        broken = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
        if epsilon == 0:
            return broken
        if self.attack.minimises:
            self._minimise(rows[self.distance[rows].isnan()])
            if within:
                broken = self.distance[rows] <= epsilon
        for part in _batches((~broken).nonzero().squeeze(1), self._batch_size):
            broken[part] = self._broken(rows[part], epsilon)
        return broken

    def _broken(self, rows: Tensor, epsilon: float) -> Tensor:
        x, labels = self._block.x[rows], self._block.labels[rows]
        with self._refusals():
            perturbed = self._run(rows, epsilon=epsilon) if self._perturbed is None else self._perturbed[rows]
            clipped = self.attack.norm.clip_perturbation(x, perturbed.to(x.dtype), epsilon)
        with torch.no_grad():
            return self._block.model(clipped).argmax(1) != labels

    def _minimise(self, rows: Tensor) -> None:
        """Run a minimising attack on images that it has not met."""
        if self._perturbed is None:
            self._perturbed = self._block.x.clone()
        for part in _batches(rows, self._batch_size):
            x, labels = self._block.x[part], self._block.labels[part]
            with self._refusals():
                if isinstance(self._foolbox, DeepFoolAttack):
                    perturbed, fooled = deepfool(self._foolbox, self._block.model, x, labels)
                else:
                    perturbed = self._run(part).to(x.dtype)
                    with torch.no_grad():
                        fooled = self._block.model(perturbed).argmax(1) != labels
            self._perturbed[part] = perturbed
            self.distance[part] = self.attack.norm(x, perturbed).masked_fill(~fooled, float("inf"))

    def _run(self, rows: Tensor, **arguments: float) -> Tensor:
        """Foolbox's attack on these images."""
        x, labels = self._block.x[rows], self._block.labels[rows]
        self._draws.begin(self._block.numbers[rows.cpu().numpy()].tolist(), arguments.get("epsilon", 0.0))
        self._batch = (x, rows)
        return self._foolbox.run(self._model, x, Misclassification(labels), **arguments)  # type: ignore[attr-defined]

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """What Foolbox raises, as an error that names the attack."""
        try:
            yield
        except (AssertionError, NotImplementedError, TypeError, ValueError) as error:
            raise InputError(f"attack {self.attack.name!r} failed: {type(error).__name__}: {error}") from error

    def _value_and_grad(self, loss: Callable[..., ep.Tensor], x: ep.Tensor) -> tuple[Any, ep.Tensor]:
        """Foolbox's hook: at the images themselves, the gradient that all attacks share."""
        if self._batch is not None and x.raw is self._batch[0]:
            return None, ep.astensor(self._block.gradient[self._batch[1]])
        return self._later_gradient(loss, x)


def _plain_loss(attack: Any) -> bool:
    """Whether the attack follows the cross entropy's gradient as Foolbox's base class computes it."""
    return isinstance(attack, BaseGradientDescent) and all(
        getattr(type(attack), name) is getattr(BaseGradientDescent, name) for name in ("value_and_grad", "get_loss_fn")
    )


class _State:
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
            aside = self._path.with_name(f"{self._path.name}.tmp")
            tensors = {name: torch.from_numpy(array) for name, array in self._arrays().items()}
            save_file(tensors, aside, {"sweep": self._identity})
            os.replace(aside, self._path)

    def result(self) -> Swept:
        return Swept(tuple(self.attacks), self.epsilons, self.bits, self.correct, self.zero_gradient, self.distance)

    def _arrays(self) -> dict[str, np.ndarray[Any, Any]]:
        return {name: getattr(self, name) for name in ("bits", "done", "correct", "zero_gradient", "distance")}

    def _restore(self, path: Path) -> None:
        try:
            with safe_open(path, framework="np") as file:
                if (file.metadata() or {}).get("sweep") != self._identity:
                    raise ValueError("other attacks, ε, images, protocol, seed or weights")
                found = {name: file.get_tensor(name) for name in self._arrays()}
        except (SafetensorError, OSError, ValueError) as error:
            raise InputError(
                f"{path} is no checkpoint of this sweep ({first_line(error)}). Delete it and start again."
            ) from error
        for name, array in found.items():
            setattr(self, name, array.copy())


def _identity(
    model: nn.Module, images: Tensor, labels: Tensor, numbers: np.ndarray[Any, Any], protocol: str, seed: int
) -> str:
    """SHA-256 of everything but attacks and ε that determines a sweep's result."""
    digest = hashlib.sha256(json.dumps([numbers.tolist(), protocol, int(seed)]).encode())
    for tensor in (images, labels, *model.state_dict().values()):
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _check_labels(labels: Tensor, classes: int) -> None:
    if int(labels.max()) >= classes or int(labels.min()) < 0:
        raise InputError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, but the model has {classes} outputs."
        )


def _check_images(images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or not len(images):
        raise InputError(f"images must have the shape (N, C, H, W), got {tuple(images.shape)}.")
    if labels.shape != (len(images),) or labels.is_floating_point():
        raise InputError(
            f"labels must be {len(images)} integers, one for each image, got {labels.dtype} {tuple(labels.shape)}."
        )
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise InputError(f"images must be uint8 or floats in [0, 1], got {images.dtype}.")
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"images must lie in [0, 1], these reach from {low:g} to {high:g}: give them before normalisation, which "
            "belongs inside the model (mixlens.analysis.models.classifier.Classifier)."
        )


def _unit(images: Tensor, device: torch.device) -> Tensor:
    images = images.to(device)
    x = images.float().div_(255) if images.dtype == torch.uint8 else images.float()
    return x.contiguous(memory_format=torch.channels_last) if device.type != "mps" else x
