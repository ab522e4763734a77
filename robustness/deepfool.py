"""DeepFool (Moosavi-Dezfooli et al. 2016) with shared work: Foolbox's iterates for a fraction of its passes.

Foolbox runs a forward and a backward pass for every class at every step, on every image, until the slowest is done.
Here a step is one forward pass with one backward pass for every other class, on the images that are not misclassified
yet, and a forward pass that tells which of them are now.
"""

from __future__ import annotations

import eagerpy as ep
import torch
from foolbox.attacks.deepfool import DeepFoolAttack
from torch import Tensor

from .passes import Passes

STABILITY = 1e-4  # Foolbox's addition to each step's distance


def deepfool(attack: DeepFoolAttack, passes: Passes, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Perturbed images like x (B, C, H, W) in [0, 1], and which of them are misclassified (B,).

    ``attack`` brings the norm's formulas, the number of steps and candidates, and the overshoot. The images should be
    classified correctly; others come back as they are. The loss "crossentropy" gives the same differences between
    classes as "logits", the default, up to rounding.

    Raises:
        ValueError: another loss, fewer than two candidates.
    """
    if attack.loss not in ("logits", "crossentropy"):
        raise ValueError(f"expected loss to be 'logits' or 'crossentropy', got {attack.loss!r}")
    logits = passes.logits(x)
    candidates = logits.shape[1] if attack.candidates is None else min(attack.candidates, logits.shape[1])
    if candidates < 2:
        raise ValueError(f"expected at least 2 candidates, got {candidates}")
    ranked = logits.argsort(dim=1, descending=True)[:, :candidates]
    result, total = x.clone(), torch.zeros_like(x)
    fooled = logits.argmax(1) != labels
    active, finite = (~fooled).nonzero().squeeze(1), torch.ones((), dtype=torch.bool, device=x.device)
    for _ in range(attack.steps):
        if not len(active):
            break
        losses, gradients = passes.class_gradients(result[active], ranked[active])
        distances = attack.get_distances(ep.astensor(losses), ep.astensor(gradients)).raw
        finite &= distances.isfinite().all()
        best = distances.argmin(1)
        rows = torch.arange(len(active), device=x.device)
        step = attack.get_perturbations(
            ep.astensor(distances[rows, best] + STABILITY), ep.astensor(gradients[rows, best])
        ).raw
        total[active] += step
        moved = (x[active] + (1.0 + attack.overshoot) * total[active]).clamp(0, 1)
        result[active] = moved
        broken = passes.logits(moved).argmax(1) != labels[active]
        fooled[active] = broken
        active = active[~broken]  # the one thing of a step for which the device is waited for
    if not finite:
        raise ValueError("the classes' gradients by the images are NaN or infinite")
    return result, fooled
