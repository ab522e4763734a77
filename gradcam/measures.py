"""Class activation maps of any number of images, and their sums. Tensors in, tensors out.

A batch takes one forward and one backward pass for all layers, and its maps stay on the device: what is kept of each
image is one number a layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..analysis.errors import InputError, unknown
from ..analysis.training.backend import images_at_once
from ..classifier.measures import check_evaluating, check_logits
from .config import PREDICTED, TRUE, NormName, check_target
from .layers import as_images, network_of, tapped
from .library import LibraryMethod, Seen
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
    x: Tensor | np.ndarray,
    layers: Sequence[str],
    *,
    method: str | Method | LibraryMethod = "gradcam",
    classes: Tensor | np.ndarray | None = None,
    upsample: bool = False,
) -> tuple[list[Tensor], Tensor]:
    """Each layer's map of the images x (B, C, H, W), from one forward and one backward pass of all.

    ShapleyCAM takes a pass for each layer; ScoreCAM and AblationCAM take one more for each channel.

    Args:
        model: images → logits (B, classes), in eval mode. It is left as it was.
        x: floats as the model takes them; an array comes to the model's device and precision.
        layers: names of its modules, or of a `Classifier`'s network's.
        method: see `methods.find_method`, or what it gave.
        classes: (B,) whose logit the maps explain; the predicted ones by default.
        upsample: bilinear, to H × W.

    Returns:
        The maps (B, h, w), at least 0 and not normalised, in the layers' order; and the logits.

    Raises:
        InputError: a model in training mode, or that gives no logits; images that are no floats (B, C, H, W); a layer
            that is not there, puts out no map or does not run once; the logits do not depend on it, or not by
            differentiable operations; classes that are not one of the model's for each image; maps that are not finite.
    """
    how = find_method(method) if isinstance(method, str) else method
    check_evaluating(model)
    x = as_images(x, model)
    if isinstance(layers, str) or not layers:
        raise InputError(f"layers must be a list of names, such as ['layer1'], got {layers!r}.")
    if how.second_order and len(layers) > 1:  # after a layer's the graph is gone
        alone = [heatmaps(model, x, [name], method=how, classes=classes, upsample=upsample) for name in layers]
        return [heat for (heat,), _ in alone], alone[0][1]
    with torch.inference_mode(False), torch.set_grad_enabled(how.follows_gradients):  # whatever the caller is in
        x = x.clone() if x.is_inference() else x
        with tapped(model, layers, as_they_are=how.replaces_layer) as activations:
            logits = model(x)
        check_logits(logits, len(x))
        for name in layers:
            if name not in activations:
                raise InputError(f"layer {name!r} does not run when the model is called: it has no activation.")
        seen = Seen(model, x, logits.detach(), _classes(classes, logits))
        gradients: Mapping[str, Tensor] = {}
        if how.follows_gradients:
            score = how.score(logits, seen.classes)
            gradients = _gradients(score, {name: activations[name] for name in layers}, how.second_order)
        modules = dict(network_of(model).named_modules())
        maps = [how.maps(modules[name], activations[name], gradients.get(name), seen) for name in layers]
    if upsample:
        maps = [F.interpolate(heat.unsqueeze(1), x.shape[2:], mode="bilinear").squeeze(1) for heat in maps]
    finite = torch.stack([heat.isfinite().all() for heat in maps]).tolist() if maps else []  # one read of the device
    for name, whole in zip(layers, finite, strict=True):
        if not whole:
            raise InputError(f"the heatmaps at layer {name!r} are NaN or infinite.")
    return maps, logits.detach()


def _classes(classes: Tensor | np.ndarray | None, logits: Tensor) -> Tensor:
    """The class that is explained of each image (B,): as given, or the predicted one."""
    if classes is None:
        return logits.detach().argmax(1)
    classes = torch.as_tensor(classes, device=logits.device)
    if classes.shape != logits.shape[:1] or classes.is_floating_point() or classes.dtype == torch.bool:
        raise InputError(
            f"expected classes as integers ({len(logits)},), one an image; got {tuple(classes.shape)} of "
            f"{classes.dtype}."
        )
    classes = classes.long()
    if ((classes < 0) | (classes >= logits.shape[1])).any():
        raise InputError(f"classes must lie in 0 to {logits.shape[1] - 1}, the model's outputs.")
    return classes


def _gradients(score: Tensor, activations: Mapping[str, Tensor], differentiable: bool) -> dict[str, Tensor]:
    """The gradients of the score by each activation."""
    reached = {name: it for name, it in activations.items() if it.requires_grad and score.requires_grad}
    known: Sequence[Tensor | None] = ()
    if reached:
        inputs = list(reached.values())
        known = torch.autograd.grad(score, inputs, allow_unused=True, create_graph=differentiable)
    found = dict(zip(reached, known, strict=True))
    gradients = {}
    for name in activations:
        gradient = found.get(name)
        if gradient is None:
            raise InputError(
                f"no gradient of the logits reaches layer {name!r}: they do not depend on it, or the model detaches it "
                "(no_grad, detach, argmax). EigenCAM needs none."
            )
        gradients[name] = gradient
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
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray,
    layers: Sequence[str],
    *,
    to_input: Callable[[Any], Tensor],
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
        InputError: what `heatmaps` refuses; no images, or not a label for each; another target; a batch or a position
            that cannot be.
    """
    how = find_method(method)
    check_target(target)
    labels = torch.as_tensor(labels)
    if not len(images) or labels.shape != (len(images),):
        raise InputError(f"expected images and a label for each; got {len(images)} and {tuple(labels.shape)}.")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}.")
    if not all(0 <= position < len(images) for position in shown):
        raise InputError(f"shown must be positions of images, 0 to {len(images) - 1}, got {list(shown)}.")
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    batch_size = batch_size or how.at_once or images_at_once(device)
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
