"""How far augmented images lie from what a network knows, and how hard they are to fit. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot

from ..analysis.data.loader import Batches
from ..analysis.interface import Augmentation, Estimate, Mixed, MixedBatch
from ..analysis.statistics.uncertainty import from_blocks
from ..analysis.training.recipe import cross_entropy, mixed_loss


class Seen(NamedTuple):
    """What a network makes of images, (N,) float64 each, in the order in which they were seen."""

    right: Tensor  # share of draws whose label of larger weight is the predicted one
    loss: Tensor  # cross entropy with both labels, nats
    entropy: Tensor  # of the labels' weights, nats: the loss's least


@torch.no_grad()
def see(
    network: Callable[[Tensor], Tensor],
    batches: Batches,
    order: Tensor,
    mix: Augmentation | None,
    *,
    classes: int,
    draws: int = 1,
    generator: Generator | None = None,
) -> Seen:
    """Means over ``draws`` mixings of each image, with partners of its own batch, whose members stay the same.

    Args:
        network: normalised images → logits (B, classes).
        order: (N,) of the batches' images, so that sorted ones are mixed with any.
    """
    sums = torch.zeros(3, len(order), dtype=torch.float64)
    for draw in range(draws):
        for number in range(len(batches)):
            rows = batches.rows(number)
            x, y = batches.take(order[rows])
            mixed: Mixed = (x, y) if mix is None else mix.pairs(x, y, generator=generator, step=draw + number)
            logits = network(mixed[0])
            weights = label_weights(mixed, classes)
            terms = (
                logits.argmax(1) == majority(mixed),
                mixed_loss(cross_entropy, logits, mixed),
                torch.special.entr(weights).sum(1),
            )
            sums[:, rows] += torch.stack([term.double().cpu() for term in terms])
    return Seen(*(sums / draws))


def majority(mixed: Mixed) -> Tensor:
    """The label (B,) of larger weight of each image; the first where both weigh ½."""
    if not isinstance(mixed, MixedBatch):
        return _class(mixed[1])
    return torch.where(mixed.lam >= 0.5, _class(mixed.y), _class(mixed.y_partner))


def label_weights(mixed: Mixed, classes: int) -> Tensor:
    """λ·y + (1 − λ)·y_partner, (B, classes); of an augmentation that made labels of its own, those."""
    if not isinstance(mixed, MixedBatch):
        return _weights(mixed[1], classes)
    lam = mixed.lam.float()[:, None]
    return lam * _weights(mixed.y, classes) + (1 - lam) * _weights(mixed.y_partner, classes)


def _class(y: Tensor) -> Tensor:
    return y.argmax(1) if y.ndim == 2 else y


def _weights(y: Tensor, classes: int) -> Tensor:
    return y.float() if y.ndim == 2 else one_hot(y, classes).float()


def over_batches(terms: Tensor, size: int, unit: str) -> Estimate:
    """The mean of terms (N,) with an error from whole batches of ``size``, which share neither images nor draws.

    Images of a batch are each other's partners, and may share λ. Without two whole batches there is no error.
    """
    blocks = len(terms) // size
    if blocks < 2:
        return Estimate(terms.mean().item(), None, len(terms), "none", unit, samples=terms)
    return replace(from_blocks(terms[: blocks * size], size, "none"), unit=unit)
