"""A classifier by name: built in, from torchvision or timm, or a factory of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from ..errors import InputError, unknown
from ..plugins import load_object
from .preact_resnet import PreActResNet18

BUILT_IN: dict[str, Callable[..., nn.Module]] = {
    "preact-resnet18": PreActResNet18,
    "preact-resnet18-official": partial(PreActResNet18, official=True),
}
LIBRARIES = ("torchvision", "timm")  # whose networks are named library:NAME


def build(spec: str, *, classes: int, channels: int, width: int, pretrained: bool = False) -> nn.Module:
    """A network (B, channels, H, W) → logits (B, classes), with PyTorch's initial weights unless ``pretrained``.

    Args:
        spec: ``preact-resnet18``, ``preact-resnet18-official``, ``torchvision:NAME``, ``timm:NAME`` or
            ``package.module:factory``. A factory is called with those of the arguments ``num_classes``,
            ``in_channels``, ``width`` and ``pretrained`` that it names.
        width: channels of the built-in networks' first stage.
        pretrained: with the weights that torchvision or timm publish (a download).

    Raises:
        InputError: no such network, a library that is not installed, a factory that fails or returns no module.
    """
    if ":" not in spec:
        if spec not in BUILT_IN:
            raise InputError(
                f"{unknown('model', spec, BUILT_IN)} Others: torchvision:resnet18, timm:resnet18, or your own as "
                "package.module:factory."
            )
        if pretrained:
            raise InputError(f"there are no published weights for {spec}; give a file of weights, or train it.")
        return BUILT_IN[spec](classes, width=width, channels=channels)
    library, _, name = spec.partition(":")
    if library == "torchvision":
        return _torchvision(spec, name, classes, pretrained)
    if library == "timm":
        return _timm(spec, name, classes, channels, pretrained)
    factory = load_object(spec, "model")
    if not callable(factory):
        raise InputError(f"model {spec!r}: expected a function to call, found {type(factory).__name__}.")
    parameters = _parameters(factory)
    if pretrained and "pretrained" not in parameters:
        raise InputError(f"model {spec!r}: its factory takes no argument 'pretrained'; give a file of weights.")
    known = {"num_classes": classes, "in_channels": channels, "width": width, "pretrained": pretrained}
    return _made(spec, factory, {name: value for name, value in known.items() if name in parameters})


def _torchvision(spec: str, name: str, classes: int, pretrained: bool) -> nn.Module:
    from torchvision import models

    if name not in models.list_models(module=models):
        raise unknown("torchvision model", name, models.list_models(module=models))
    if pretrained:
        return _made(spec, models.get_model, {"name": name, "weights": "DEFAULT"})
    return _made(spec, models.get_model, {"name": name, "weights": None, "num_classes": classes})


def _timm(spec: str, name: str, classes: int, channels: int, pretrained: bool) -> nn.Module:
    try:
        import timm
    except ImportError as error:
        raise InputError(f"model {spec!r} needs the package timm: pip install timm.") from error
    if not timm.is_model(name):
        raise unknown("timm model", name, timm.list_models())
    own = {} if pretrained else {"num_classes": classes, "in_chans": channels}
    return _made(spec, timm.create_model, {"model_name": name, "pretrained": pretrained, **own})


def _parameters(factory: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(factory).parameters)
    except (TypeError, ValueError):  # some callables have no signature to read
        return set()


def _made(spec: str, factory: Callable[..., Any], arguments: dict[str, Any]) -> nn.Module:
    try:
        made = factory(**arguments)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the factory raises
        raise InputError(f"model {spec!r}: its factory failed with {type(error).__name__}: {error}") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"model {spec!r}: its factory returned {type(made).__name__}; expected a torch.nn.Module.")
    return made
