"""Which layers of a network have maps, and their activations during a forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from ..analysis.errors import InputError
from ..classifier.measures import check_evaluating
from ..classifier.model import network_of
from .layout import Layout, layout_of, prefix_of

# First convolution, first and second stage: of ours, and of torchvision's and timm's ResNets.
KNOWN = (("stem", "stages.0", "stages.1"), ("conv1", "layer1", "layer2"))


class Layer(NamedTuple):
    """What a layer puts out for one image."""

    name: str
    shape: tuple[int, ...]  # (C, h, w)
    convolution: bool
    note: str = ""  # where its output is no (B, C, h, w): how it holds the map


def as_images(x: Tensor | np.ndarray, model: nn.Module) -> Tensor:
    """Images as a tensor of floats (B, C, H, W), an array on the model's device and in its precision.

    Raises:
        InputError: they are none, or a tensor of another precision than the model's.
    """
    weight = next(model.parameters(), torch.empty(()))
    if not isinstance(x, Tensor):
        x = torch.as_tensor(x)
        x = x.to(weight) if x.is_floating_point() else x
    if x.ndim != 4 or not x.is_floating_point():
        raise InputError(
            f"expected images as floats (B, C, H, W) in the model's scale; got {tuple(x.shape)} of {x.dtype}."
        )
    if weight.ndim and x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise InputError(f"the images are {x.dtype}, the model is {weight.dtype}: give x.to({weight.dtype}).")
    return x


def spatial_layers(model: nn.Module, x: Tensor | np.ndarray) -> list[Layer]:
    """The layers whose outputs hold maps (C, h, w) larger than one pixel for images x (B, C, H, W), as they run.

    Channels may be last, and tokens may be a map (see `layout`). A layer that runs more than once in a pass has no one
    activation and is left out.

    Raises:
        InputError: the model is in training mode, in which the pass would change it; x are no images.
    """
    check_evaluating(model)
    x = as_images(x, model)
    calls: list[Layer] = []

    def note(name: str, module: nn.Module, output: object, layout: Layout | None) -> None:
        shape = tuple(layout.map_of(output).shape[1:]) if layout and isinstance(output, Tensor) else ()
        calls.append(Layer(name, shape, isinstance(module, nn.Conv2d), layout.note if layout else ""))

    with _watched(model, [name for name, _ in network_of(model).named_modules() if name], note), torch.no_grad():
        model(x)
    names = [layer.name for layer in calls]
    return [layer for layer in calls if names.count(layer.name) == 1 and layer.shape[1:] > (1, 1)]


def choose_layers(model: nn.Module, x: Tensor | np.ndarray, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The named layers, or by default the first convolution and what `KNOWN` adds.

    Raises:
        InputError: a name that is no layer with maps, or a network that has none; a model in training mode.
    """
    layers = spatial_layers(model, x)
    there = [layer.name for layer in layers]
    listed = ", ".join(
        f"{layer.name} {'×'.join(map(str, layer.shape))}{layer.note and f' ({layer.note})'}" for layer in layers
    )
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
def tapped(model: nn.Module, names: Sequence[str], *, as_they_are: bool = False) -> Iterator[dict[str, Tensor]]:
    """The named layers' activations (B, C, h, w) in one forward pass.

    Where no graph is built before a layer, as with frozen weights, it begins there, so that a backward pass ends at the
    first of them. What runs after a layer sees a copy: an operation in place would change the activation.

    Raises:
        InputError: a layer that is not there, puts out no map, or runs more than once; with ``as_they_are`` one whose
            output is no (B, C, h, w).
    """
    outputs: dict[str, Tensor] = {}
    modules = dict(network_of(model).named_modules())
    for name in names:
        if not name or name not in modules:
            raise InputError(f"layer {name!r} does not exist; the model's are {', '.join(filter(None, modules))}.")

    def tap(name: str, module: nn.Module, output: object, layout: Layout | None) -> Tensor:
        if layout is None or not isinstance(output, Tensor):
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"layer {name!r} puts out no map (B, C, h, w) but {shape}: channels neither first nor last of a map in "
                "the images' proportions, nor tokens after a class token."
            )
        if as_they_are and layout.note:
            raise InputError(f"layer {name!r} puts out its map as {layout.note}, which this method cannot replace.")
        if name in outputs:
            raise InputError(f"layer {name!r} runs more than once in a pass: it has no one activation.")
        maps = layout.map_of(output)
        if torch.is_grad_enabled() and not maps.requires_grad:
            maps = maps.detach().requires_grad_()
        outputs[name] = maps
        return layout.output_of(maps, output)

    with _watched(model, names, tap):
        yield outputs


@contextmanager
def _watched(
    model: nn.Module, names: Sequence[str], see: Callable[[str, nn.Module, object, Layout | None], Tensor | None]
) -> Iterator[None]:
    """``see`` is called with each output of the named layers and its layout; what it returns takes its place."""
    network = network_of(model)
    modules = dict(network.named_modules())
    prefix = prefix_of(network)
    images: list[tuple[int, ...]] = []  # shape of what the network is called on
    within: set[str] = set()  # modules that are called on tokens

    def enter(name: str, inputs: tuple[object, ...]) -> None:
        x = inputs[0] if inputs else None
        shape = tuple(x.shape) if isinstance(x, Tensor) else ()
        if not name and len(shape) == 4:
            images.append(shape)
        elif len(shape) == 3:
            within.add(name)

    def leave(name: str, module: nn.Module, output: object) -> Tensor | None:
        count, *_, height, width = images[-1] if images else (*getattr(output, "shape", (0,))[:1], 1, 1)
        in_tokens = any(name.startswith(f"{outer}.") for outer in within)
        layout = layout_of(module, output, (height, width), count, prefix=prefix, in_tokens=in_tokens)
        return see(name, module, output, layout)

    parts = [name.split(".") for name in names]
    outer = {"", *(".".join(path[:depth]) for path in parts for depth in range(1, len(path)))}
    handles = [
        modules[name].register_forward_pre_hook(lambda module, inputs, name=name: enter(name, inputs)) for name in outer
    ] + [
        modules[name].register_forward_hook(lambda module, inputs, output, name=name: leave(name, module, output))
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
