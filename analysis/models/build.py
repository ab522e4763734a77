"""A classifier by name: a file of this folder, torchvision or timm, or a factory of the user's own."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.eval_frame import OptimizedModule

from ..errors import InputError, unknown
from ..spec import Spec, call, load_object, parameters_of, read_spec, source_of, without_defaults
from .bert import weights_digest
from .heads import with_heads

KIND = "model"
# What a factory is told of a study, if it asks.
_OFFERED = ("num_classes", "in_channels", "pretrained", "num_words", "vectors", "words")
_IMAGES = ("image", "sound", "waveform")  # recordings are looked at as spectrograms
COLOURS = 3  # channels that torchvision's networks are made for
LIBRARIES = ("torchvision", "timm")  # whose networks are named library:NAME


def architectures(modality: str = "") -> dict[str, Callable[..., nn.Module]]:
    """Every network of this folder: what its modules hold in ``ARCHITECTURES``, by the name that a user writes.

    Of a kind of samples, those that take it: what a module names in ``TAKES``; one that names none takes images.
    """
    package = __name__.rpartition(".")[0]
    names = [found.name for found in pkgutil.iter_modules(import_module(package).__path__)]
    modules = [import_module(f"{package}.{name}") for name in names]
    return {
        name: make
        for module in modules
        if not modality or modality in getattr(module, "TAKES", _IMAGES)
        for name, make in getattr(module, "ARCHITECTURES", {}).items()
    }


def canonical(text: str) -> str:
    """The one way to write a model: arguments in alphabetical order, defaults of the networks here left out.

    Raises:
        InputError: an unknown name, or an argument that the network does not have.
    """
    spec = read_spec(text, KIND)
    if spec.is_own:
        return spec.text
    factory = _ours(spec)
    hidden = {*_OFFERED, *getattr(factory, "keywords", {})}
    parameters = parameters_of(factory) or {}
    defaults = {name: parameter.default for name, parameter in parameters.items() if name not in hidden}
    return Spec(spec.use, without_defaults(spec.arguments, defaults, f"{KIND} {text!r}")).text


def source_of_network(text: str) -> str:
    """SHA-256 of what makes a network and is no part of this package or of a library: a user's own file, or a model's
    folder (``path=``). Empty of any other.

    Raises:
        InputError: as `source_of`.
    """
    spec = read_spec(text, KIND)
    if spec.is_own:
        return "" if spec.use.partition(":")[0] in LIBRARIES else source_of(spec.use, KIND)
    path = spec.arguments.get("path")
    return weights_digest(path) if isinstance(path, str) else ""


def build(
    text: str,
    *,
    classes: int,
    channels: int = 0,
    pretrained: bool = False,
    heads: Sequence[int] = (),
    modality: str = "image",
    num_words: int = 0,
    vectors: Tensor | None = None,
    words: Sequence[str] = (),
) -> nn.Module:
    """A network (B, channels, H, W) → logits (B, classes), with PyTorch's initial weights unless ``pretrained``.

    Args:
        text: a network of this folder such as ``preact-resnet18(width=16)``, ``torchvision:NAME``, ``timm:NAME`` or
            ``package.module:factory``, each with arguments. A factory is also called with those of ``num_classes``,
            ``in_channels`` and ``pretrained`` that it names, and of several heads with ``head_sizes``. An untrained
            network of torchvision takes other channels than three by its first convolution (`_adapted`).
        pretrained: with the weights that torchvision or timm publish (a download).
        heads: how many classes each head has, of which ``classes`` is then the sum. The network is `with_heads`.
        modality: of the samples; of volumes it is (B, channels, D, H, W), of texts numbers of words (B, L).
        num_words, vectors, words: of texts, how many words are numbered, from 1 on, their vectors (words, channels),
            and themselves.

    Raises:
        InputError: no such network, or none of these samples, a library that is not installed, a factory that fails or
            returns no module.
    """
    spec = read_spec(text, KIND)
    if not _fits(spec, modality):
        raise InputError(
            f"{KIND} {spec.use!r} takes no {modality}s. Give one of {', '.join(architectures(modality))}, or your own "
            "as package.module:factory."
        )
    told = (classes, channels, pretrained, num_words, vectors, words)
    network = _built(spec, dict(zip(_OFFERED, told, strict=True)), tuple(heads))
    if heads:
        with_heads(getattr(network, "body", network) if modality == "text" else network, heads)
    return network


def _fits(spec: Spec, modality: str) -> bool:
    """Whether a network may take samples of this kind; of a user's own that is not known. Raises InputError."""
    if spec.is_own:
        return modality in _IMAGES or spec.use.partition(":")[0] not in LIBRARIES
    _ours(spec)
    return spec.use in architectures(modality)


def _built(spec: Spec, offered: dict[str, Any], heads: tuple[int, ...]) -> nn.Module:
    where = f"{KIND} {spec.text!r}"
    classes, channels, pretrained = (offered[name] for name in ("num_classes", "in_channels", "pretrained"))
    offered |= {"head_sizes": heads} if heads else {}
    library = spec.use.partition(":")[0]
    if not spec.is_own:
        factory = _ours(spec)
        if pretrained:
            raise InputError(f"there are no published weights for {spec.use}; give a file of weights, or train it.")
    elif library in LIBRARIES:
        return _module(where, _of_library(spec, library, classes, channels, pretrained))
    else:
        factory = load_object(spec.use, KIND)
        if pretrained and "pretrained" not in (parameters_of(factory) or ()):
            raise InputError(f"{where}: its factory takes no argument 'pretrained'; give a file of weights.")
    return _module(where, call(factory, spec.arguments, where, **offered))


def _ours(spec: Spec) -> Callable[..., nn.Module]:
    known = architectures()
    if spec.use not in known:
        raise InputError(
            f"{unknown(KIND, spec.use, known)} Others: torchvision:resnet18, timm:resnet18, or your own as "
            "package.module:factory."
        )
    return known[spec.use]


def _of_library(spec: Spec, library: str, classes: int, channels: int, pretrained: bool) -> Any:
    name = spec.use.partition(":")[2]
    where = f"{KIND} {spec.text!r}"
    if library == "torchvision":
        from torchvision import models

        if name not in models.list_models(module=models):
            raise unknown(f"torchvision {KIND}", name, models.list_models(module=models))
        standard: dict[str, Any] = {"weights": "DEFAULT"} if pretrained else {"weights": None, "num_classes": classes}
        network = call(models.get_model, {"name": name, **standard, **spec.arguments}, where)
        return _adapted(network, channels, where, trained=bool({**standard, **spec.arguments}["weights"]))
    try:
        import timm
    except ImportError as error:
        raise InputError(f"{where} needs the package timm: pip install timm.") from error
    if not timm.is_model(name):
        raise unknown(f"timm {KIND}", name, timm.list_models())
    standard = {} if pretrained else {"num_classes": classes, "in_chans": channels}
    return call(timm.create_model, {"model_name": name, "pretrained": pretrained, **standard, **spec.arguments}, where)


def _adapted(network: nn.Module, channels: int, where: str, *, trained: bool) -> nn.Module:
    """A network of torchvision, which is made for three channels, for so many: untrained, by its first convolution.

    That keeps the initial weights of its colour channels, in turn: of one channel the first's. Their spread is theirs,
    as torchvision's initialisation by fan-out has it for any number of channels.

    Raises:
        InputError: it has published weights, or no convolution of three channels.
    """
    if channels == COLOURS:
        return network
    first = next((one for one in network.modules() if isinstance(one, nn.Conv2d) and one.in_channels == COLOURS), None)
    if trained or first is None:
        why = "its published weights are for" if trained else "it has no first convolution of"
        raise InputError(
            f"{where}: the images have {channels} channel{'s' * (channels > 1)}, and {why} {COLOURS}. Take timm:NAME, "
            "which fits any, or a factory of your own."
        )
    first.weight = nn.Parameter(first.weight.detach()[:, torch.arange(channels) % COLOURS].clone())
    first.in_channels = channels
    return network


def _module(where: str, returned: Any) -> nn.Module:
    if not isinstance(returned, nn.Module):
        raise InputError(f"{where}: its factory returned {type(returned).__name__}; expected a torch.nn.Module.")
    # What was compiled or spread over devices is the study's to compile and place; its weights have plain names.
    while isinstance(returned, OptimizedModule | nn.DataParallel | nn.parallel.DistributedDataParallel):
        returned = returned._orig_mod if isinstance(returned, OptimizedModule) else returned.module
    return returned
