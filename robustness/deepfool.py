"""DeepFool (Moosavi-Dezfooli et al. 2016) with shared work: Foolbox's iterates for a fraction of its passes.

Foolbox runs a forward and a backward pass for every class at every step, on every image, until the slowest is done.
Here a step is one forward pass with one backward pass for every other class, on the images that are not misclassified
yet, and a forward pass that tells which of them are now.
"""

from __future__ import annotations

import eagerpy as ep
import torch
from foolbox.attacks.deepfool import DeepFoolAttack
from torch import Tensor, nn

STABILITY = 1e-4  # Foolbox's addition to each step's distance


def deepfool(attack: DeepFoolAttack, model: nn.Module, x: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Perturbed images like x (B, C, H, W) in [0, 1], and which of them are misclassified (B,).

    ``attack`` brings the norm's formulas, the number of steps and candidates, and the overshoot. The images should be
    classified correctly; others come back as they are. The loss "crossentropy" gives the same differences between
    classes as "logits", the default, up to rounding.

    Raises:
        ValueError: another loss, fewer than two candidates.
    """
    if attack.loss not in ("logits", "crossentropy"):
        raise ValueError(f"expected loss to be 'logits' or 'crossentropy', got {attack.loss!r}")
    with torch.no_grad():
        logits = model(x)
    candidates = logits.shape[1] if attack.candidates is None else min(attack.candidates, logits.shape[1])
    if candidates < 2:
        raise ValueError(f"expected at least 2 candidates, got {candidates}")
    ranked = logits.argsort(dim=1, descending=True)[:, :candidates]
    result, total = x.clone(), torch.zeros_like(x)
    fooled = logits.argmax(1) != labels
    active = (~fooled).nonzero().squeeze(1)
    for _ in range(attack.steps):
        if not len(active):
            break
        losses, gradients = _class_gradients(model, result[active], ranked[active])
        distances = attack.get_distances(ep.astensor(losses), ep.astensor(gradients)).raw
        if not distances.isfinite().all():
            raise ValueError("the classes' gradients by the images are NaN or infinite")
        best = distances.argmin(1)
        rows = torch.arange(len(active), device=x.device)
        step = attack.get_perturbations(
            ep.astensor(distances[rows, best] + STABILITY), ep.astensor(gradients[rows, best])
        ).raw
        total[active] += step
        moved = (x[active] + (1.0 + attack.overshoot) * total[active]).clamp(0, 1)
        result[active] = moved
        with torch.no_grad():
            broken = model(moved).argmax(1) != labels[active]
        fooled[active] = broken
        active = active[~broken]
    return result, fooled


def _class_gradients(model: nn.Module, x: Tensor, ranked: Tensor) -> tuple[Tensor, Tensor]:
    """ℓ_k − ℓ_0 (B, candidates − 1) and its gradients (B, candidates − 1, C, H, W), from one forward pass."""
    x = x.detach().requires_grad_()
    logits = model(x).gather(1, ranked)
    differences = logits[:, 1:] - logits[:, :1]
    last = differences.shape[1] - 1
    gradients = [
        torch.autograd.grad(differences[:, k].sum(), x, retain_graph=k < last)[0] for k in range(differences.shape[1])
    ]
    return differences.detach(), torch.stack(gradients, 1)
