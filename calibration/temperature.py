"""Temperature scaling, for calibration and to see what softness alone does. Tensors in, tensors out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Generator, Tensor

from ..analysis.errors import InputError
from .measures import divergence, log_probabilities, smoothed

TEMPERATURES = tuple(float(t) for t in np.round(np.geomspace(1 / 8, 8, 25), 4))  # of `curves`


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The T > 0 that minimises the mean cross entropy of softmax(logits / T) to the targets (Guo et al. 2017).

    ``targets`` are labels (N,), whole numbers, or soft labels (N, C), whose rows sum to one. With β = 1/T the cross
    entropy is convex, and its slope E Σ (p − target) z rises from −E target·z at β = 0 (z: the logits less their mean)
    to E (max z − target·z). Those two say whether there is a minimum, and bracket it whatever the unit of the logits.

    Raises:
        InputError: no finite T is best: targets are always the greatest logits' classes (T → 0), or the logits know
            nothing of them (T → ∞).
    """
    z = logits.double()
    z = z - z.mean(1, keepdim=True)
    largest = z.abs().max().item()
    if 0 < largest < 1e-100 or 1e100 < largest < math.inf:  # whose squares leave float64
        return largest * fit_temperature(z / largest, targets)
    wanted = (targets.double() * z).sum(1) if targets.ndim == 2 else z.gather(1, targets.long().unsqueeze(1)).squeeze(1)
    known, missed = wanted.mean().item(), (z.amax(1) - wanted).mean().item()
    spread = (z.amax(1) - z.amin(1)).square().mean().sqrt().item()
    rounding = 1e-12 * spread
    # A label's logit is the greatest or it is not, however large one image's are; a soft label's is a rounded sum.
    if not (known > rounding and missed > (rounding if targets.ndim == 2 else 0)):
        raise InputError(
            "no finite temperature fits: all images are right, or the logits say nothing about the labels. Fit it on "
            "more images."
        )

    def slope(log_beta: float) -> float:
        return ((torch.softmax(math.exp(log_beta) * z, 1) * z).sum(1) - wanted).mean().item()

    # The slope grows with β by Var_p(z) < spread², and lies below its end by at most Σ d exp(−β d) ≤ (C − 1) / (e β).
    ends = math.log(known / spread**2), math.log(z.shape[1] / missed)
    return math.exp(-brentq(slope, *ends, xtol=1e-10))


def scale(logits: Tensor, targets: Tensor, generator: Generator) -> tuple[Tensor, list[float]] | None:
    """Log-probabilities after temperature scaling, each half of the images at the temperature fitted on the other.

    ``targets`` are those of `fit_temperature`: labels, or people's frequencies. None where no finite temperature fits a
    half: it is right everywhere, or its logits say nothing of the targets.
    """
    order = torch.randperm(len(targets), generator=generator)
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    log_p = torch.empty(logits.shape, dtype=torch.float64)
    temperatures = []
    for fit, apply in (halves, halves[::-1]):
        try:
            temperatures.append(fit_temperature(logits[fit], targets[fit]))
        except InputError:
            return None
        log_p[apply] = log_probabilities(logits[apply], temperatures[-1])
    return log_p, temperatures


def curves(logits: Tensor, counts: Tensor, smoothing: Sequence[float]) -> dict[str, np.ndarray[Any, Any]]:
    """Both directions at `TEMPERATURES`: what softness alone does to the same network."""
    at = [log_probabilities(logits, temperature) for temperature in TEMPERATURES]
    people = smoothed(counts, 0)
    found = {"curve:human_model": [divergence(people, log_p).mean().item() for log_p in at]}
    for pseudo in smoothing:
        people = smoothed(counts, pseudo)
        found[f"curve:model_human:{pseudo:g}"] = [divergence(log_p, people).mean().item() for log_p in at]
    return {"temperatures": np.array(TEMPERATURES)} | {name: np.array(values) for name, values in found.items()}
