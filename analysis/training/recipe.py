"""What trains a network, as one bundle, and the loss of mixed images.

A data set, an architecture or a user may give another part, by the name of a function that is called on the standard
recipe (`changed`)::

    def adam(recipe, lr=1e-3):
        return dataclasses.replace(recipe, optimizer=torch.optim.Adam(recipe.network.parameters(), lr))

A user names it as ``--classifier.recipe "my_code.training:adam(lr=0.01)"``, a data set or a network in its attribute
``recipe``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from ..errors import InputError, first_line
from ..interface import Mixed, MixedBatch
from ..spec import call, load_object, read_spec
from .engine import Epochs

KIND = "recipe"
Loss = Callable[[Any, Tensor], Tensor]  # what a network returns, and the labels of B images → a loss of each, (B,)


@dataclass(frozen=True)
class Recipe:
    """What trains a network: all of it but the augmentation and the seed."""

    network: nn.Module  # on its device
    loss: Loss
    score: Callable[[Any, Tensor], Tensor]  # which of B images are right, (B,), for the training curves
    optimizer: Optimizer
    schedule: Callable[[float], float]  # epoch → factor on the optimiser's rates
    batches: Epochs  # of normalised images and labels
    epochs: int


def cross_entropy(outputs: Tensor, y: Tensor) -> Tensor:
    """−Σ_c y_c log softmax(outputs)_c of each image, in nats: (B, classes), with classes (B,) or soft labels → (B,).

    In float32 at least: half precision's logarithms have three digits.
    """
    exact = outputs.float() if outputs.dtype in (torch.float16, torch.bfloat16) else outputs
    return F.cross_entropy(exact, y, reduction="none")


def accuracy(outputs: Tensor, y: Tensor) -> Tensor:
    """Which images (B,) have their largest output at their class (B,)."""
    return outputs.argmax(1) == y


def joint_cross_entropy(outputs: Sequence[Tensor], y: Tensor) -> Tensor:
    """The sum of the heads' cross entropies, in nats: −log p of a whole label (B, heads), heads independent."""
    losses = [cross_entropy(one, labels) for one, labels in zip(outputs, y.unbind(1), strict=True)]
    return torch.stack(losses).sum(0)


def joint_accuracy(outputs: Sequence[Tensor], y: Tensor) -> Tensor:
    """Which images (B,) every head has right; labels (B, heads)."""
    return torch.stack([accuracy(one, labels) for one, labels in zip(outputs, y.unbind(1), strict=True)]).all(0)


def mixed_loss(loss: Loss, outputs: Any, mixed: Mixed) -> Tensor:
    """λ·ℓ(y) + (1 − λ)·ℓ(y_partner) of each image, (B,); of an augmentation that made labels of its own, ℓ of those.

    Where ℓ is linear in its label, as the cross entropy is, this is its value at the mixed label
    λ·y + (1 − λ)·y_partner (Zhang et al. 2017). It needs no such label: there may be several heads, and any labels.
    """
    if not isinstance(mixed, MixedBatch):
        return loss(outputs, mixed[1])
    first, second = loss(outputs, mixed.y), loss(outputs, mixed.y_partner)
    return mixed.lam * first + (1 - mixed.lam) * second


def changed(standard: Recipe, text: str) -> Recipe:
    """The recipe that the function named ``package.module:function(key=value, …)`` makes of the standard one.

    Raises:
        InputError: it cannot be imported, fails, or returns something else.
    """
    spec = read_spec(text, KIND)
    returned = call(load_object(spec.use, KIND), {"recipe": standard, **spec.arguments}, f"{KIND} {spec.text!r}")
    if not isinstance(returned, Recipe):
        raise InputError(
            f"{KIND} {spec.text!r} returned {type(returned).__name__}; expected the Recipe it got, or another."
        )
    return returned


def try_parts(recipe: Recipe, measured: nn.Module) -> None:
    """Raises InputError where a recipe trains what is not ``measured`` afterwards, or its parts are of other kinds."""

    def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
        return {name: tuple(value.shape) for name, value in network.state_dict().items()}

    if shapes(recipe.network) != shapes(measured):
        raise InputError(
            f"the {KIND}'s network is another than the model that is measured: its weights have other names or shapes. "
            "Change what trains the network, and give another network with --model."
        )
    parameters = {id(parameter) for parameter in recipe.network.parameters()}
    if not any(id(one) in parameters for group in recipe.optimizer.param_groups for one in group["params"]):
        raise InputError(f"the {KIND}'s optimiser has none of the network's parameters.")
    if type(recipe.epochs) is not int or recipe.epochs < 1:
        raise InputError(f"the {KIND}'s epochs must be a whole number of at least 1, got {recipe.epochs!r}.")
    try:
        count, factor = len(recipe.batches), float(recipe.schedule(0.0))
    except (Exception, SystemExit) as error:  # whatever the user's schedule or batches raise
        raise InputError(
            f"the {KIND}'s schedule must give a number for an epoch, and its batches have a length: "
            f"{type(error).__name__}: {first_line(error)}"
        ) from error
    if count < 1 or not math.isfinite(factor):
        raise InputError(f"the {KIND} has {count} batches, and its schedule begins at {factor}.")


def try_outputs(recipe: Recipe, outputs: Any, y: Tensor) -> None:
    """Raises InputError where loss or score of B images fail, or are not B finite numbers."""
    for name, function in (("loss", recipe.loss), ("score", recipe.score)):
        try:
            returned = function(outputs, y)
        except (Exception, SystemExit) as error:  # whatever the user's function raises
            raise InputError(f"the {KIND}'s {name} failed with {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(returned, Tensor) or returned.shape != (len(y),) or not returned.isfinite().all():
            tensor = isinstance(returned, Tensor)
            described = f"{returned.dtype} {tuple(returned.shape)}" if tensor else type(returned).__name__
            raise InputError(f"the {KIND}'s {name} of {len(y)} images is {described}; expected a finite number each.")
