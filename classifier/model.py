"""A network as attacks, heatmaps and calibration meet it: images in [0, 1] in, logits out, nothing left to train."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from ..analysis.data.dataset import Dataset
from ..analysis.data.loader import standardise
from ..analysis.errors import InputError, first_line, own_line
from ..analysis.models.build import build
from ..analysis.models.listening import Listening
from ..analysis.store.runs import MODEL, Run
from ..analysis.training.backend import CPU, Backend
from ..analysis.training.checkpoint import load_weights
from .config import NetworkSettings
from .measures import check_evaluating, check_logits, to_unit
from .probabilities import source_of_probabilities, sum_alike

PROBES = 8  # images a network is tried on
ALONE = {"cpu": 1e-3}  # of the largest logit: by how much rounding may tell an image alone from one in a batch
LOGITS = (
    "return logits, before the softmax. Where only probabilities can be had, as of an ensemble's mean, return their "
    "logarithm."
)


class Classifier(nn.Module):
    """``network((x − mean) / std)`` for images x (B, C, H, W) in [0, 1]; logits (B, classes), or a tuple of heads.

    Volumes have three ``dimensions``; texts, numbers of words (B, L), no mean, and go to the network as they are. In
    eval mode with frozen parameters from the start: gradients flow to the images only. With ``size`` the images are
    resized to that side first (bilinear, inside the graph, so that perturbations stay in the data's own pixels).
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        size: int | None = None,
        dimensions: int = 2,
    ) -> None:
        super().__init__()
        self.network = network
        self.size = size
        for name, values in (("mean", mean), ("std", std)):
            channels = torch.as_tensor(values, dtype=torch.float32).reshape(-1, *[1] * dimensions)
            self.register_buffer(name, channels, persistent=False)
        self.eval().requires_grad_(False)

    def extra_repr(self) -> str:
        return f"size={self.size}"

    def forward(self, x: Tensor) -> Any:
        normalised = (resize(x, self.size) - self.mean) / self.std if len(self.mean) else x
        weight = next(self.network.parameters(), normalised)
        if weight.dtype not in (torch.float16, torch.bfloat16) or not x.is_floating_point():
            return self.network(normalised)
        outputs = self.network(normalised.to(weight.dtype))
        if isinstance(outputs, tuple):
            return tuple(logits.to(x.dtype) for logits in outputs)
        return outputs.to(x.dtype) if isinstance(outputs, Tensor) else outputs


class OneHead(nn.Module):
    """Of a model with several heads the logits (B, classes) of one."""

    def __init__(self, model: nn.Module, index: int) -> None:
        super().__init__()
        self.model, self.index = model, index

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)[self.index]


def network_of(model: nn.Module) -> nn.Module:
    """What names a model's layers: itself, or of a `Classifier` the network inside its normalisation."""
    return model.network if isinstance(model, Classifier) else model


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
            outputs that change from one call to the next, or with the other images of the batch.
    """
    check_evaluating(model)
    x = images[:PROBES]
    try:
        with torch.no_grad():
            logits, again = model(x), model(x)
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the network raises
        hint = " If it takes another size, state its side with --classifier.size." if x.ndim == 4 else ""
        what = "images" if x.ndim == 4 else "inputs"
        raise InputError(
            f"the model failed on {what} of shape {tuple(x.shape[1:])}: {first_line(error)}{own_line(error)}{hint}"
        ) from error
    check_logits(logits, len(x))
    if not logits.isfinite().all():
        raise InputError("the model returns NaN or infinity on images of the data set.")
    if sum_alike(logits):
        raise InputError(f"the model returns probabilities (each row sums to {logits[0].sum():.3g}); {LOGITS}")
    if not torch.allclose(logits, again, rtol=1e-4, atol=1e-4 * logits.abs().max().item()):
        raise InputError(
            "the model returns other logits when it sees the same images again: it draws random numbers in eval mode "
            "(dropout called as a function?). Attacks and calibration need a fixed network."
        )
    for place in dict.fromkeys((0, len(x) - 1)):
        _check_alone(model, x[place : place + 1], logits[place : place + 1])
    return logits.shape[1]


def _with_graph(model: nn.Module, image: Tensor) -> Any:
    """What the model makes of an image, with its graph, which tells what it comes from; without where that fails."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            return model(image.detach().clone().requires_grad_().clone())
    except Exception:  # of gradients, such as too little memory: attacks say it, and other measures need none
        with torch.no_grad():
            return model(image)


def _check_alone(model: nn.Module, image: Tensor, logits: Tensor) -> None:
    """Refuse a model that treats an image (1, C, H, W) otherwise than in its batch, where it had these logits."""
    try:
        alone = _with_graph(model, image)
    except (Exception, SystemExit) as error:  # whatever the network raises
        raise InputError(
            f"the model failed on a single image, as the last of a batch may be: {first_line(error)}{own_line(error)} "
            "Name the dimensions that are dropped: flatten(1) or squeeze((2, 3)), not squeeze()."
        ) from error
    if not isinstance(alone, Tensor) or alone.shape != logits.shape:
        shape = tuple(alone.shape) if isinstance(alone, Tensor) else type(alone).__name__
        raise InputError(
            f"the model returns {shape} for a single image; expected {tuple(logits.shape)}. Name the dimensions that "
            "are dropped: flatten(1) or squeeze((2, 3)), not squeeze()."
        )
    if source := source_of_probabilities(alone):
        raise InputError(f"the model returns probabilities, or sums of them: it ends in {source}; {LOGITS}")
    within = ALONE.get(image.device.type, 1e-2) * max(logits.abs().max().item(), 1e-30)
    if not (alone - logits).abs().max() <= within:
        raise InputError(
            "the model gives an image other logits when it is alone: they depend on the other images of its batch, and "
            "results would on the batch size. Normalise and reduce over each image's own dimensions."
        )


def _check_length(network: nn.Module, dataset: Dataset) -> None:
    """Refuse texts that are longer than the network says it takes. Raises InputError."""
    most, longest = getattr(network, "longest", None), max(one.images.shape[1] for one in (dataset.train, dataset.test))
    if most is not None and longest > most:
        raise InputError(
            f"data set {dataset.name!r} has texts of {longest:,} tokens, and the model takes {most:,}: give the data "
            f"length={most}."
        )


def _check_padding(model: nn.Module, texts: Tensor) -> None:
    """Refuse a model whose logits depend on the padding that follows texts (B, L). Raises InputError."""
    try:
        with torch.no_grad():
            once, padded = (in_parts(model(x)) for x in (texts, F.pad(texts, (0, 3))))
    except (Exception, SystemExit):  # whatever the network raises: `check_classifier` says it
        return
    within = ALONE.get(texts.device.type, 1e-2)
    for one, other in zip(once, padded, strict=False):
        if one.shape == other.shape and not (one - other).abs().max() <= within * max(one.abs().max().item(), 1e-30):
            raise InputError(
                "the model gives a text other logits when more padding follows it (number 0, whose embedding is zero): "
                "results would depend on the other texts of its batch. Leave out of sums and maxima what is padding."
            )


def in_parts(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


# As a study's settings describe it


def make_network(settings: NetworkSettings, dataset: Dataset, *, pretrained: bool = False) -> nn.Module:
    """The network for this data's channels and classes, untrained unless ``pretrained``.

    Lazy modules get their shapes from the data's. Raises InputError where they cannot, and what `build` refuses.
    """
    words = dataset.vocabulary
    network = build(
        settings.model,
        classes=sum(dataset.sizes),
        channels=len(dataset.mean),
        pretrained=pretrained,
        heads=dataset.sizes if dataset.heads else (),
        modality=dataset.modality.NAME,
        num_words=len(words.words) if words else 0,
        vectors=words.vectors if words else None,
        words=words.words if words else (),
    )
    if dataset.modality.NAME == "waveform":
        network = Listening(network, dataset.train.images.rate)
    if any(map(is_lazy, (*network.parameters(), *network.buffers()))):
        blank = resize(few_inputs(settings, dataset).mul(0), settings.size)
        try:
            with torch.no_grad():
                network.eval()(blank)
        except InputError:
            raise
        except (Exception, SystemExit) as error:  # whatever the network raises
            raise InputError(
                f"model {settings.model!r} has Lazy modules, and failed on images of shape {tuple(blank.shape[1:])}, "
                f"from which they would get their shapes: {first_line(error)}{own_line(error)}"
            ) from error
        network.train()
    return network


def few_inputs(settings: NetworkSettings, dataset: Dataset) -> Tensor:
    """A few training images as the network is given them (B, C, H, W), on the CPU."""
    few = dataset.modality.encoded(dataset.train.images[:2])
    mean, std = scaling(settings, dataset)
    return resize(standardise(few, mean, std), settings.size) if len(mean) else few


def make_classifier(settings: NetworkSettings, dataset: Dataset, network: nn.Module | None = None) -> Classifier:
    """The network, by default the untrained one, with its normalisation, in eval mode and frozen."""
    network = make_network(settings, dataset) if network is None else network
    dimensions = dataset.train.images.ndim - 2
    return Classifier(network, *scaling(settings, dataset), size=settings.size, dimensions=dimensions)


def load_classifier(run: Run, settings: NetworkSettings, dataset: Dataset, backend: Backend) -> Classifier:
    """The run's network with its normalisation, frozen, on the device. Raises InputError for damaged weights."""
    model = make_classifier(settings, dataset)
    load_weights(run.checked(MODEL), model.network)
    return backend.prepare(model, to_unit(dataset.test.images[:2], backend, dataset.modality))


def scaling(settings: NetworkSettings, dataset: Dataset) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation per channel that the network's images are normalised with."""
    return settings.mean or dataset.mean, settings.std or dataset.std


def try_network(settings: NetworkSettings, dataset: Dataset, network: nn.Module, backend: Backend = CPU) -> None:
    """Look at a few images with a network, so that one that does not fit the data is known before hours of training.

    Where and as it will look at them; it is left there, in eval mode and frozen. Raises InputError.
    """
    channels, others = len(dataset.mean), dataset.modality.NAME in ("volume", "waveform")
    if settings.size is not None and (others or not channels):
        raise InputError(f"classifier.size resizes images, and these are {dataset.modality.MANY}: leave it out.")
    for name in ("mean", "std"):
        if (values := getattr(settings, name)) and not channels:
            raise InputError(f"classifier.{name} is of images, and these are {dataset.modality.MANY}: leave it out.")
        if values and len(values) != channels:
            raise InputError(f"classifier.{name} has {len(values)} values for {channels} channels.")
        if values and 1 < max(values) <= 255:
            raise InputError(f"classifier.{name} is {values}, on the 0 to 255 scale; divide it by 255.")
    few = to_unit(dataset.test.images[:PROBES], backend, dataset.modality)
    model = make_classifier(settings, dataset, network)
    with backend.session():
        prepared = backend.prepare(model, few[:2])
        dataset.modality.halves(network)
        if dataset.modality.NAME == "text":
            _check_length(network, dataset)
            _check_padding(prepared, few)
        if dataset.heads:  # each has its number of classes, or the network refuses
            for index in range(len(dataset.heads)):
                check_classifier(OneHead(prepared, index), few)
            return
        classes = check_classifier(prepared, few)
    if classes != len(dataset.classes):
        raise InputError(
            f"model {settings.model!r} has {classes} outputs, but data set {dataset.name!r} has "
            f"{len(dataset.classes)} classes."
        )
