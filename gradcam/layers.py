"""Which layers of a network have maps, and their activations during a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..analysis.errors import InputError
from ..classifier.model import Classifier, check_evaluating

# First convolution, first and second stage: of ours, and of torchvision's and timm's ResNets.
KNOWN = (("stem", "stages.0", "stages.1"), ("conv1", "layer1", "layer2"))


class Layer(NamedTuple):
    """What a layer puts out for one image."""

    name: str
    shape: tuple[int, ...]  # (C, h, w)
    convolution: bool


def network_of(model: nn.Module) -> nn.Module:
    """What names a model's layers: itself, or of a `Classifier` the network inside its normalisation."""
    return model.network if isinstance(model, Classifier) else model


def spatial_layers(model: nn.Module, x: Tensor) -> list[Layer]:
    """The layers that put out maps (C, h, w) larger than one pixel for images x (B, C, H, W), in order of execution.

    A layer that runs more than once in a pass has no one activation and is left out.

    Raises:
        InputError: the model is in training mode, in which the pass would change it.
    """
    check_evaluating(model)
    calls: list[Layer] = []

    def note(name: str, module: nn.Module, output: object) -> None:
        shape = tuple(output.shape[1:]) if isinstance(output, Tensor) and output.ndim == 4 else ()
        calls.append(Layer(name, shape, isinstance(module, nn.Conv2d)))

    handles = [
        module.register_forward_hook(lambda module, inputs, output, name=name: note(name, module, output))
        for name, module in network_of(model).named_modules()
        if name
    ]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    names = [layer.name for layer in calls]
    return [layer for layer in calls if names.count(layer.name) == 1 and layer.shape[1:] > (1, 1)]


def choose_layers(model: nn.Module, x: Tensor, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The named layers, or by default the first convolution and what `KNOWN` adds.

    Raises:
        InputError: a name that is no layer with maps, or a network that has none; a model in training mode.
    """
    layers = spatial_layers(model, x)
    there = [layer.name for layer in layers]
    listed = ", ".join(f"{layer.name} {'×'.join(map(str, layer.shape))}" for layer in layers)
    names = [name for text in names for name in text.split(",")]  # --gradcam.layers stem,stages.0
    for name in names:
        if name not in there:
            known = name and name in dict(network_of(model).named_modules())
            problem = "puts out no map (or runs more than once)" if known else "does not exist"
            raise InputError(f"layer {name!r} {problem}; those with maps: {listed or 'none'}.")
    if names:
        return tuple(names)
    for known_names in KNOWN:
        if set(known_names) <= set(there):
            return known_names
    convolutions = [layer.name for layer in layers if layer.convolution]
    if not convolutions:
        raise InputError(
            f"the model has no convolution with a map; name layers with --gradcam.layers: {listed or 'none'}."
        )
    return (convolutions[0],)


@contextmanager
def tapped(model: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """The named layers' activations in one forward pass.

    Where no graph is built before a layer, as with frozen weights, it begins there, so that a backward pass ends at the
    first of them. What runs after a layer sees a copy: an operation in place would change the activation.

    Raises:
        InputError: a layer that is not there, puts out no map, or runs more than once.
    """
    outputs: dict[str, Tensor] = {}
    modules = dict(network_of(model).named_modules())
    for name in names:
        if not name or name not in modules:
            raise InputError(f"layer {name!r} does not exist; the model's are {', '.join(filter(None, modules))}.")

    def tap(name: str, output: object) -> Tensor:
        if not isinstance(output, Tensor) or output.ndim != 4:
            raise InputError(f"layer {name!r} puts out no map (B, C, h, w).")
        if name in outputs:
            raise InputError(f"layer {name!r} runs more than once in a pass: it has no one activation.")
        if torch.is_grad_enabled() and not output.requires_grad:
            output = output.detach().requires_grad_()
        outputs[name] = output
        return output.clone()

    handles = [
        modules[name].register_forward_hook(lambda module, inputs, output, name=name: tap(name, output))
        for name in names
    ]
    try:
        yield outputs
    finally:
        for handle in handles:
            handle.remove()
