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
from ..analysis.training.backend import images_at_once
from .config import PREDICTED, TRUE, NormName
from .layers import tapped
from .methods import Method, find_method


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
    method: str | Method = "gradcam",
    classes: Tensor | None = None,
    upsample: bool = False,
) -> tuple[list[Tensor], Tensor]:
    """Each layer's map of the images x (B, C, H, W), from one forward and one backward pass.

    Args:
        model: images → logits (B, classes), in eval mode.
        layers: names of its modules, or of a `Classifier`'s network's.
        method: see `methods.find_method`, or what it gave.
        classes: (B,) whose logit the maps explain; the predicted ones by default.
        upsample: bilinear, to H × W.

    Returns:
        The maps (B, h, w), at least 0 and not normalised, in the layers' order; and the logits.

    Raises:
        InputError: a layer that is not there, puts out no map or runs twice; the logits do not depend on it, or not by
            differentiable operations; classes that the model does not have; maps that are not finite.
    """
    how = find_method(method) if isinstance(method, str) else method
    gradients: Sequence[Tensor | None] = [None] * len(layers)
    with torch.inference_mode(False), torch.set_grad_enabled(how.follows_gradients):  # whatever the caller is in
        x = x.clone() if x.is_inference() else x
        with tapped(model, layers) as found:
            logits = model(x)
        activations = [found[name] for name in layers]
        if how.follows_gradients:
            gradients = _gradients(logits, classes, dict(zip(layers, activations, strict=True)))
    maps = []
    for name, activation, gradient in zip(layers, activations, gradients, strict=True):
        heat = how(activation.detach(), gradient)
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
    reached = {name: it for name, it in activations.items() if it.requires_grad and score.requires_grad}
    known = torch.autograd.grad(score, list(reached.values()), allow_unused=True) if reached else ()
    found = dict(zip(reached, known, strict=True))
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
    method: str = "gradcam",
    norm: NormName = "max",
    upsample: bool = False,
    target: str = PREDICTED,
    batch_size: int | None = None,
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
    how = find_method(method)
    batch_size = batch_size or images_at_once(next((p.device for p in model.parameters()), torch.device("cpu")))
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
        maps, logits = heatmaps(model, x, layers, method=how, classes=classes, upsample=upsample)
        sums.append(torch.stack([normalise(heat, norm).sum((1, 2)) for heat in maps]))
        zero.append(torch.stack([heat.amax((1, 2)) == 0 for heat in maps]))
        predicted.append(logits.argmax(1))
        for position in shown:
            if start <= position < start + len(x):
                kept[position] = [normalise(heat[position - start :][:1]) for heat in maps]
        areas = tuple(heat[0].numel() for heat in maps)
        progress(len(x))
    pictures = tuple(torch.cat([kept[position][i] for position in shown]) for i in range(len(layers))) if shown else ()
    return Sums(tuple(layers), torch.cat(sums, 1), torch.cat(zero, 1), areas, torch.cat(predicted), pictures)
