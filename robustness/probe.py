"""One attack on one block of images: which of them it breaks at an ε, from the passes that this takes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import eagerpy as ep
import numpy as np
import torch
from foolbox.attacks.deepfool import DeepFoolAttack
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.criteria import Misclassification
from foolbox.models import PyTorchModel
from torch import Tensor, nn

from ..analysis.data.dataset import Dataset
from ..analysis.errors import InputError
from .attacks import Attack
from .autoattack import AutoAttack
from .deepfool import deepfool
from .draws import Draws
from .measures import NOT_RUN
from .passes import Passes

TRIED, TRIED_EPSILON = 2, 0.1  # images and ε that attacks are tried on


class Block:
    """A few hundred images on the device, with what their attacks share: predictions, and the loss's first gradient."""

    def __init__(
        self, passes: Passes, x: Tensor, labels: Tensor, numbers: np.ndarray[Any, Any], batch_size: int
    ) -> None:
        self.passes, self.x, self.labels, self.numbers = passes, x, labels, numbers  # numbers in their data set
        self._batch_size = batch_size
        self._gradient: Tensor | None = None
        self.correct = torch.cat([self.predict(part) for part in x.split(batch_size)]) == labels

    def predict(self, x: Tensor) -> Tensor:
        """The model's classes. Raises InputError where its logits are not finite: a comparison would not notice."""
        logits = self.passes.logits(x)
        if not logits.isfinite().all():
            spoilt = int((~x.isfinite()).flatten(1).any(1).sum())
            if spoilt:
                raise InputError(
                    f"the attack made NaN or infinite pixels in {spoilt} of {len(x)} images; the model has no part in "
                    "it. Try it with a smaller step, or mend it."
                )
            bad = int((~logits.isfinite()).any(1).sum())
            raise InputError(f"the model returns NaN or infinity on {bad} of {len(x)} images under attack.")
        return logits.argmax(1)

    @property
    def gradient(self) -> Tensor:
        """∇ₓ cross entropy at the images (0 where they are misclassified), in one pass for all attacks and ε."""
        if self._gradient is None:
            self._gradient = torch.zeros_like(self.x)
            for rows in _batches(self.correct.nonzero().squeeze(1), self._batch_size):
                self._gradient[rows] = self.passes.loss_gradient(self.x[rows], self.labels[rows])
            if not self._gradient.isfinite().all():
                raise InputError(
                    "the loss's gradient by the images is NaN or infinite, which no gradient attack can follow: every "
                    "image would look robust."
                )
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
        self._model = PyTorchModel(block.passes.model, bounds=(0, 1), device=block.x.device)
        if _plain_loss(attack.foolbox):
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
        return self._block.predict(clipped) != labels

    def _minimise(self, rows: Tensor) -> None:
        """Run a minimising attack on images that it has not met."""
        if self._perturbed is None:
            self._perturbed = self._block.x.clone()
        for part in _batches(rows, self._batch_size):
            x, labels = self._block.x[part], self._block.labels[part]
            with self._refusals():
                if isinstance(self._foolbox, DeepFoolAttack):
                    perturbed, fooled = deepfool(self._foolbox, self._block.passes, x, labels)
                else:
                    perturbed = self._start_from_anywhere(part).to(x.dtype)
                    fooled = self._block.predict(perturbed) != labels
            self._perturbed[part] = perturbed
            self.distance[part] = self.attack.norm(x, perturbed).masked_fill(~fooled, float("inf"))

    def _start_from_anywhere(self, rows: Tensor) -> Tensor:
        """Run an attack that may find no starting point: then image by image, and the unlucky ones stay as they are."""
        try:
            return self._run(rows)
        except ValueError as error:
            if "init_attack failed" not in str(error):
                raise
            if len(rows) == 1:
                return self._block.x[rows]
            return torch.cat([self._start_from_anywhere(row) for row in rows.split(1)])

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
        except (InputError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # whatever the attack raises
            raise InputError(f"attack {self.attack.name!r} failed: {type(error).__name__}: {error}") from error

    def _value_and_grad(self, loss: Callable[..., ep.Tensor], x: ep.Tensor) -> tuple[Any, ep.Tensor]:
        """Foolbox's hook: the gradient alone; at the images themselves that which all attacks share."""
        assert self._batch is not None
        images, rows = self._batch
        if x.raw is images:
            return None, ep.astensor(self._block.gradient[rows])
        return None, ep.astensor(self._block.passes.loss_gradient(x.raw, self._block.labels[rows]))


def try_attacks(attacks: Sequence[Attack], dataset: Dataset) -> None:
    """Run a step or two of each attack on a few images and a linear network, so that a bad argument is known now.

    AutoAttack is left out: it has no single step.

    Raises:
        InputError: an attack fails, or makes NaN or infinite pixels.
    """
    with torch.inference_mode(False), torch.random.fork_rng([]):
        torch.manual_seed(0)
        images = dataset.test.images[:TRIED].cpu()
        x = images.float() / 255 if images.dtype == torch.uint8 else images.float()
        model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), len(dataset.classes))).eval().requires_grad_(False)
        block = Block(Passes(model, x.device), x, model(x).argmax(1), np.arange(len(x)), len(x))
        for attack in attacks:
            if isinstance(attack.foolbox, AutoAttack):
                continue
            few = copy.copy(attack.foolbox)
            for name in ("steps", "repeats"):
                if type(value := getattr(few, name, None)) is int and value > 2:
                    setattr(few, name, 2)
            Probe(replace(attack, foolbox=few), block, 0, len(x)).broken(
                torch.arange(len(x)), TRIED_EPSILON, within=False
            )


def _plain_loss(attack: Any) -> bool:
    """Whether the attack follows the cross entropy's gradient as Foolbox's base class computes it."""
    return isinstance(attack, BaseGradientDescent) and all(
        getattr(type(attack), name) is getattr(BaseGradientDescent, name) for name in ("value_and_grad", "get_loss_fn")
    )
