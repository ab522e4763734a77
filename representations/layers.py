"""Which layers of a network are measured, and what they put out, pooled over space."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ..analysis.errors import InputError
from ..analysis.training.backend import Backend, images_at_once
from ..classifier.measures import to_unit
from ..classifier.model import check_evaluating, network_of

HAND_ON = (nn.Identity, nn.AdaptiveAvgPool2d)  # whose output has the mean of its input


class Layer(NamedTuple):
    """What a layer that runs once in a pass puts out for one image: (C, h, w), (tokens, C) or (C,)."""

    name: str
    shape: tuple[int, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """Of its maps; of vectors and tokens ()."""
        return self.shape[1:] if len(self.shape) == 3 else ()


def pooled(output: Tensor) -> Tensor:
    """A layer's output for each image as a vector (B, C): maps (B, C, h, w) and tokens (B, T, C) by their mean."""
    return output.mean((2, 3)) if output.ndim == 4 else output.mean(1) if output.ndim == 3 else output


def layers_of(model: nn.Module, x: Tensor) -> list[Layer]:
    """The layers that run once when the model sees images x (B, C, H, W), in the order in which they end.

    Raises:
        InputError: the model is in training mode, in which the pass would change it.
    """
    check_evaluating(model)
    calls: list[Layer] = []

    def note(name: str, output: object) -> None:
        fits = isinstance(output, Tensor) and 2 <= output.ndim <= 4 and output.is_floating_point()
        calls.append(Layer(name, tuple(output.shape[1:]) if fits else ()))  # type: ignore[attr-defined]

    names = [name for name, _ in network_of(model).named_modules() if name]
    with _hooked(model, names, note), torch.no_grad():
        model(x)
    once = [layer.name for layer in calls]
    return [layer for layer in calls if layer.shape and once.count(layer.name) == 1]


def choose_layers(model: nn.Module, x: Tensor, names: Sequence[str] = ()) -> tuple[str, ...]:
    """The named layers, or by default the last of each stage.

    A module is opened where the maps of its parts differ in size; what is not opened is a part. Of the parts with
    maps of one size the last is chosen: of ResNets the output of each stage. A network without maps has its last
    part before the logits.

    Raises:
        InputError: a name that is no layer whose output can be measured; a network with no layer of its own; a model in
            training mode.
    """
    layers = layers_of(model, x)
    there = [layer.name for layer in layers]
    names = [name for text in names for name in text.split(",")]  # --representations.layers stem,stages.0
    for name in names:
        if name not in there:
            known = name and name in dict(network_of(model).named_modules())
            problem = "puts out no tensor (or runs more than once)" if known else "does not exist"
            raise InputError(f"representations.layers: {name!r} {problem}; those there are: {', '.join(there)}.")
    if names:
        return tuple(dict.fromkeys(names))
    parts = _parts(network_of(model), layers)
    last = {part.size: part for part in parts if part.size}
    chosen = list(last.values()) or parts[-2:-1] or parts[-1:]
    if not chosen:
        raise InputError("the network has no layer that runs once; write it as a module of modules.")
    return tuple(part.name for part in chosen)


def _parts(module: nn.Module, layers: Sequence[Layer], prefix: str = "") -> list[Layer]:
    """The layers inside a module that need not be opened, in order, without those that hand on."""
    inside = {f"{prefix}{name}": child for name, child in module.named_children()}
    parts: list[Layer] = []
    for layer in layers:
        if layer.name not in inside:
            continue
        own = inside[layer.name]
        within = {f"{layer.name}.{name}" for name, _ in own.named_children()}
        if len({other.size for other in layers if other.name in within}) > 1:
            parts += _parts(own, layers, f"{layer.name}.")
        elif not isinstance(own, HAND_ON):
            parts.append(layer)
    return parts


def features(model: nn.Module, images: Tensor, layers: Sequence[str], backend: Backend) -> dict[str, Tensor]:
    """Each layer's pooled output (N, C), float32 on the CPU, for uint8 images (N, C, H, W); see `pooled`.

    Raises:
        InputError: outputs that are NaN or infinite.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in layers}

    def keep(name: str, output: Tensor) -> None:
        found[name].append(pooled(output).float().cpu())

    with _hooked(model, layers, keep), torch.no_grad():
        for part in images.split(images_at_once(backend.device)):
            model(to_unit(part, backend))
    every = {name: torch.cat(parts) for name, parts in found.items()}
    for name, values in every.items():
        if not values.isfinite().all():
            raise InputError(f"the outputs of layer {name!r} are NaN or infinite: the network has diverged.")
    return every


@contextmanager
def _hooked(model: nn.Module, names: Sequence[str], see: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Shows what the named layers put out, before anything after them can change it in place."""
    modules = dict(network_of(model).named_modules())
    handles = [
        modules[name].register_forward_hook(lambda module, inputs, output, name=name: see(name, output))
        for name in names
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
