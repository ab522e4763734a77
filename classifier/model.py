"""A network as attacks, heatmaps and calibration meet it: images in [0, 1] in, logits out, nothing left to train."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

from ..analysis.data.dataset import Dataset
from ..analysis.errors import InputError, first_line
from ..analysis.models.build import build
from ..analysis.store.runs import MODEL, Run
from ..analysis.training.backend import Backend
from ..analysis.training.checkpoint import load_weights
from .config import NetworkSettings

PROBES = 8  # images a network is tried on


class Classifier(nn.Module):
    """``network((x − mean) / std)`` for images x (B, C, H, W) in [0, 1]; logits (B, classes).

    In eval mode with frozen parameters from the start: gradients flow to the images only. With ``size`` the images are
    resized to that side first (bilinear, inside the graph, so that perturbations stay in the data's own pixels).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], *, size: int | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size
        for name, values in (("mean", mean), ("std", std)):
            channels = torch.as_tensor(values, dtype=torch.float32).reshape(-1, 1, 1)
            self.register_buffer(name, channels, persistent=False)
        self.eval().requires_grad_(False)

    def extra_repr(self) -> str:
        return f"size={self.size}"

    def forward(self, x: Tensor) -> Tensor:
        normalised = (resize(x, self.size) - self.mean) / self.std
        weight = next(self.network.parameters(), normalised)
        if weight.dtype not in (torch.float16, torch.bfloat16):
            return self.network(normalised)
        logits = self.network(normalised.to(weight.dtype))
        return logits.to(x.dtype) if isinstance(logits, Tensor) else logits


def resize(x: Tensor, size: int | None) -> Tensor:
    """Images (B, C, H, W) at size × size (bilinear, anti-aliased, differentiable); as they are for None."""
    if size is None or x.shape[-2:] == (size, size):
        return x
    return F.interpolate(x, size=(size, size), mode="bilinear", antialias=True)


def check_classifier(model: nn.Module, images: Tensor) -> int:
    """Try a model on a few images (B, C, H, W) in [0, 1] and refuse what would make every number after it wrong.

    Returns:
        Its number of classes.

    Raises:
        InputError: a module in training mode, outputs that are no tensor of logits (B, classes), NaN, probabilities, or
            outputs that change from one call to the next.
    """
    check_evaluating(model)
    x = images[:PROBES]
    try:
        with torch.no_grad():
            logits, again = model(x), model(x)
    except Exception as error:  # whatever the network raises
        raise InputError(
            f"the model failed on images of shape {tuple(x.shape[1:])}: {first_line(error)} If it takes another size, "
            "state its side with --classifier.size."
        ) from error
    check_logits(logits, len(x))
    if not logits.isfinite().all():
        raise InputError("the model returns NaN or infinity on images of the data set.")
    if (logits >= 0).all() and ((logits.sum(1) - 1).abs() < 1e-4).all():
        raise InputError("the model returns probabilities (each row sums to 1); return logits, before the softmax.")
    if not torch.allclose(logits, again, rtol=1e-4, atol=1e-4 * logits.abs().max().item()):
        raise InputError(
            "the model returns other logits when it sees the same images again: it draws random numbers in eval mode "
            "(dropout called as a function?). Attacks and calibration need a fixed network."
        )
    return logits.shape[1]


def check_evaluating(model: nn.Module) -> None:
    """Refuse a model whose outputs depend on the batch, or on chance, and whose passes change it. Raises InputError."""
    for name, module in model.named_modules():
        if module.training and isinstance(module, _NormBase | _DropoutNd | nn.RReLU):
            kind = type(module).__name__
            raise InputError(f"the model's {name or 'root'} ({kind}) is in training mode: call eval().")


def check_logits(logits: object, images: int) -> None:
    """Refuse what is no tensor of logits (B, classes). Raises InputError."""
    if not isinstance(logits, Tensor):
        raise InputError(f"the model returns {type(logits).__name__}; expected one tensor of logits (B, classes).")
    if logits.ndim != 2 or len(logits) != images or logits.shape[1] < 2:
        raise InputError(
            f"the model returns {tuple(logits.shape)} for {images} images; expected ({images}, classes), a logit for "
            "each class."
        )


# As a study's settings describe it


def make_network(settings: NetworkSettings, dataset: Dataset, *, pretrained: bool = False) -> nn.Module:
    """The network for this data's channels and classes, untrained unless ``pretrained``."""
    return build(
        settings.model,
        classes=len(dataset.classes),
        channels=dataset.train.images.shape[1],
        pretrained=pretrained,
    )


def make_classifier(settings: NetworkSettings, dataset: Dataset) -> Classifier:
    """The untrained network with its normalisation, in eval mode and frozen."""
    return Classifier(make_network(settings, dataset), *scaling(settings, dataset), size=settings.size)


def load_classifier(run: Run, settings: NetworkSettings, dataset: Dataset, backend: Backend) -> Classifier:
    """The run's network with its normalisation, frozen, on the device. Raises InputError for damaged weights."""
    model = make_classifier(settings, dataset)
    load_weights(run / MODEL, model.network)
    return backend.prepare(model)


def scaling(settings: NetworkSettings, dataset: Dataset) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation per channel that the network's images are normalised with."""
    return settings.mean or dataset.mean, settings.std or dataset.std


def try_network(settings: NetworkSettings, dataset: Dataset, network: nn.Module) -> None:
    """Look at a few images with a network, so that one that does not fit the data is known before hours of training.

    It is left in eval mode and frozen. Raises InputError.
    """
    channels = dataset.train.images.shape[1]
    for name in ("mean", "std"):
        if (values := getattr(settings, name)) and len(values) != channels:
            raise InputError(f"classifier.{name} has {len(values)} values for {channels} channels.")
    few = dataset.test.images[:PROBES].float().div_(255)
    classes = check_classifier(Classifier(network, *scaling(settings, dataset), size=settings.size), few)
    if classes != len(dataset.classes):
        raise InputError(
            f"model {settings.model!r} has {classes} outputs, but data set {dataset.name!r} has "
            f"{len(dataset.classes)} classes."
        )
