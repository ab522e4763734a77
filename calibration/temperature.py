"""Temperature scaling, for calibration and to see what softness alone does. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy.optimize import minimize_scalar
from torch import Generator, Tensor

from ..analysis.errors import InputError
from .measures import divergence, log_probabilities, smoothed

TEMPERATURES = tuple(float(t) for t in np.round(np.geomspace(1 / 8, 8, 25), 4))  # of `curves`


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The T > 0 that minimises the mean NLL of softmax(logits / T) (Guo et al. 2017); the NLL is convex in 1/T.

    Raises:
        InputError: no finite T is best: every image is right (T → 0), or the logits know nothing (T → ∞).
    """
    logits, labels = logits.double(), labels.long()

    def loss(log_t: float) -> float:
        return float(torch.nn.functional.cross_entropy(logits / np.exp(log_t), labels))

    ends = (-7.0, 7.0)
    found = minimize_scalar(loss, bounds=ends, method="bounded", options={"xatol": 1e-6})
    if min(map(loss, ends)) <= found.fun + 1e-12:  # no minimum between them
        raise InputError(
            "no finite temperature fits: all images are right, or the logits say nothing about the labels. Fit it on "
            "more images."
        )
    return float(np.exp(found.x))


def scale(logits: Tensor, labels: Tensor, generator: Generator) -> tuple[Tensor, list[float]] | None:
    """Log-probabilities after temperature scaling, each half of the images at the temperature fitted on the other.

    None where no finite temperature fits a half: it is right everywhere, or its logits say nothing of the labels.
    """
    order = torch.randperm(len(labels), generator=generator)
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    log_p = torch.empty(logits.shape, dtype=torch.float64)
    temperatures = []
    for fit, apply in (halves, halves[::-1]):
        try:
            temperatures.append(fit_temperature(logits[fit], labels[fit]))
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
