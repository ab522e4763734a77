"""Class activation maps of any number of images, and their sums. Tensors in, tensors out.

A batch takes one forward and one backward pass for all layers, and its maps stay on the device: what is kept of each
image is one number a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..analysis.errors import InputError, unknown
from .config import PREDICTED, TRUE, MethodName, NormName
from .layers import tapped

STABILITY = 1e-6  # pytorch-grad-cam's, in GradCAM++'s denominator


def activation_map(activations: Tensor, gradients: Tensor | None, method: MethodName = "gradcam") -> Tensor:
    """The method's map (B, h, w), at least 0, from activations A (B, C, h, w) and a score's gradients g by them.

    - ``gradcam``: ReLU(Σ_c w_c A_c), w_c = the mean of g_c over pixels (Selvaraju et al. 2017).
    - ``gradcam++``: w_c = Σ_ij α ReLU(g), α = g² / (2 g² + g³ Σ_ij A + 10⁻⁶), 0 where g is (Chattopadhay et al. 2018,
      eq. 19). The constant is pytorch-grad-cam's; it decides where gradients lie below about 10⁻³.
    - ``layercam``: ReLU(Σ_c ReLU(g_c) A_c) (Jiang et al. 2021).
    - ``eigencam``: ReLU of the projection of A, less its mean over pixels, on its first principal component (Muhammad
      and Yeasin 2020); needs no gradients. Of the component's two signs, the one under which the map's correlation with
      the activations' energy Σ_c A_c² is not negative; pytorch-grad-cam leaves the sign to LAPACK.
    """
    if method == "eigencam":
        return _principal(activations)
    assert gradients is not None
    if method == "layercam":
        return (gradients.relu() * activations).sum(1).relu()
    if method == "gradcam":
        weights = gradients.mean((2, 3))
    elif method == "gradcam++":
        square = gradients.square()
        total = activations.sum((2, 3), keepdim=True)
        alpha = square / (2 * square + total * square * gradients + STABILITY)
        weights = (gradients.relu() * torch.where(gradients != 0, alpha, 0)).sum((2, 3))
    else:
        raise unknown("method", method, get_args(MethodName))
    return torch.einsum("bc,bchw->bhw", weights, activations).relu()


def _principal(activations: Tensor) -> Tensor:
    pixels = activations.detach().flatten(2).double()  # (B, C, h·w)
    if not pixels.isfinite().all():
        return torch.full_like(activations[:, 0], torch.nan)
    centred = pixels - pixels.mean(2, keepdim=True)
    component = torch.linalg.eigh(centred @ centred.mT).eigenvectors[..., -1]
    projection = torch.einsum("bc,bcp->bp", component, centred)
    energy = pixels.square().sum(1)
    sign = torch.where((projection * (energy - energy.mean(1, keepdim=True))).sum(1) < 0, -1.0, 1.0)
    return (sign[:, None] * projection).relu().view(len(activations), *activations.shape[2:]).to(activations.dtype)


def normalise(maps: Tensor, norm: NormName = "max") -> Tensor:
    """Maps (B, h, w) of at least 0, each divided by its maximum, or moved to [0, 1], or as they are.

    A map that is zero everywhere stays so, as does with ``minmax`` one that is the same everywhere: never NaN.
    """
    if norm == "none":
        return maps
    if norm == "minmax":
        maps = maps - maps.amin((1, 2), keepdim=True)
    elif norm != "max":
        raise unknown("norm", norm, get_args(NormName))
    greatest = maps.amax((1, 2), keepdim=True)
    return maps / torch.where(greatest > 0, greatest, 1)


def heatmaps(
    model: nn.Module,
    x: Tensor,
    layers: Sequence[str],
    *,
    method: MethodName = "gradcam",
    classes: Tensor | None = None,
    upsample: bool = False,
) -> tuple[list[Tensor], Tensor]:
    """Each layer's map of the images x (B, C, H, W), from one forward and one backward pass.

    Args:
        model: images → logits (B, classes), in eval mode.
        layers: names of its modules, or of a `Classifier`'s network's.
        classes: (B,) whose logit the maps explain; the predicted ones by default.
        upsample: bilinear, to H × W.

    Returns:
        The maps (B, h, w), at least 0 and not normalised, in the layers' order; and the logits.

    Raises:
        InputError: a layer that is not there, puts out no map or runs twice; the logits do not depend on it, or not by
            differentiable operations; classes that the model does not have; maps that are not finite.
    """
    gradients: Sequence[Tensor | None] = [None] * len(layers)
    with torch.inference_mode(False), torch.set_grad_enabled(method != "eigencam"):  # whatever the caller is in
        x = x.clone() if x.is_inference() else x
        with tapped(model, layers) as found:
            logits = model(x)
        activations = [found[name] for name in layers]
        if method != "eigencam":
            gradients = _gradients(logits, classes, dict(zip(layers, activations, strict=True)))
    maps = []
    for name, activation, gradient in zip(layers, activations, gradients, strict=True):
        heat = activation_map(activation.detach(), gradient, method)
        if upsample:
            heat = F.interpolate(heat.unsqueeze(1), x.shape[2:], mode="bilinear").squeeze(1)
        if not heat.isfinite().all():
            raise InputError(f"the heatmaps at layer {name!r} are NaN or infinite.")
        maps.append(heat)
    return maps, logits.detach()


def _gradients(logits: Tensor, classes: Tensor | None, activations: Mapping[str, Tensor]) -> list[Tensor]:
    """The gradients of the classes' logits by each activation."""
    if classes is None:
        classes = logits.detach().argmax(1)
    elif int(classes.min()) < 0 or int(classes.max()) >= logits.shape[1]:
        raise InputError(f"classes must lie in 0 to {logits.shape[1] - 1}, the model's outputs.")
    score = logits.gather(1, classes.unsqueeze(1)).sum()
    reached = {name: made for name, made in activations.items() if made.requires_grad and score.requires_grad}
    made = torch.autograd.grad(score, list(reached.values()), allow_unused=True) if reached else ()
    found = dict(zip(reached, made, strict=True))
    gradients = []
    for name in activations:
        gradient = found.get(name)
        if gradient is None:
            raise InputError(
                f"no gradient of the logits reaches layer {name!r}: they do not depend on it, or the model detaches it "
                "(no_grad, detach, argmax). EigenCAM needs none."
            )
        gradients.append(gradient)
    return gradients


@dataclass(frozen=True)
class Sums:
    """Heatmap sums of N images, and a few of the maps."""

    layers: tuple[str, ...]
    sums: Tensor  # (layers, N): sum over pixels of each normalised map
    zero: Tensor  # (layers, N) bool: the map is zero everywhere
    areas: tuple[int, ...]  # pixels of each layer's maps
    predicted: Tensor  # (N,)
    shown: tuple[Tensor, ...]  # each layer's maps (S, h, w) of the images asked for, divided by their maximum


def heatmap_sums(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    layers: Sequence[str],
    *,
    to_input: Callable[[Tensor], Tensor],
    method: MethodName = "gradcam",
    norm: NormName = "max",
    upsample: bool = False,
    target: str = PREDICTED,
    batch_size: int = 500,
    shown: Sequence[int] = (),
    progress: Callable[[int], None] = lambda images: None,
) -> Sums:
    """Heatmap sums of images (N, …) in batches. ``shown``: positions of images whose maps are wanted.

    Args:
        to_input: a batch of images → the model's input on its device.
        target: ``predicted``, ``true`` or a class's index.
        progress: called with the number of images of each finished batch.

    Raises:
        InputError: what `heatmaps` refuses.
    """
    sums, zero, predicted = [], [], []
    kept: dict[int, list[Tensor]] = {}
    areas: tuple[int, ...] = ()
    for start in range(0, len(images), batch_size):
        x = to_input(images[start : start + batch_size])
        classes = None
        if target == TRUE:
            classes = labels[start : start + batch_size].long().to(x.device)
        elif target != PREDICTED:
            classes = torch.full((len(x),), int(target), device=x.device)
        maps, logits = heatmaps(model, x, layers, method=method, classes=classes, upsample=upsample)
        sums.append(torch.stack([normalise(made, norm).sum((1, 2)) for made in maps]))
        zero.append(torch.stack([made.amax((1, 2)) == 0 for made in maps]))
        predicted.append(logits.argmax(1))
        for position in shown:
            if start <= position < start + len(x):
                kept[position] = [normalise(made[position - start :][:1]) for made in maps]
        areas = tuple(made[0].numel() for made in maps)
        progress(len(x))
    pictures = tuple(torch.cat([kept[position][i] for position in shown]) for i in range(len(layers))) if shown else ()
    return Sums(tuple(layers), torch.cat(sums, 1), torch.cat(zero, 1), areas, torch.cat(predicted), pictures)
