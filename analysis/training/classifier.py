"""Train a classifier, with or without an augmentation of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..data.dataset import Dataset, Split
from ..data.loader import Batches, Transforms
from ..errors import InputError
from ..interface import Augmentation
from ..masks.policies import Policy
from ..models.build import build
from ..models.classifier import PROBES, Classifier, check_classifier, resize
from ..store.runs import MODEL, Run
from .backend import Backend
from .checkpoint import load_weights
from .config import ClassifierConfig
from .loop import Step, fit
from .progress import Reporter
from .schedules import OneCycle, StepDecay

EVALUATED_IMAGES = 2000  # of the test split after each epoch, for the training curves
BATCH = 500  # images of a forward pass without gradients


def train_classifier(
    config: ClassifierConfig,
    dataset: Dataset,
    policy: Policy,
    seed: int,
    *,
    run: Run,
    backend: Backend,
    reporter: Reporter,
    label: str,
) -> None:
    """Train into ``run``; resumes from its checkpoint. ``seed`` fixes every random draw.

    Trainings with the same seed share their initial weights and the order, crops and flips of their images whatever the
    augmentation, so that differences between augmentations are paired.
    """
    check_data(config, dataset)
    mix = policy.build(len(dataset.classes), config.mix_mode)
    with backend.global_draws("classifier", "weights", seed):
        network = make_network(config, dataset)
    network = backend.prepare(network)
    generators = {purpose: backend.generator("classifier", purpose, seed) for purpose in ("images", "mixing")}
    held_out = Batches(
        Split(dataset.test.images[:EVALUATED_IMAGES], dataset.test.labels[:EVALUATED_IMAGES]),
        *scaling(config, dataset),
        min(BATCH, len(dataset.test)),
        device=backend.device,
        channels_last=backend.channels_last,
    )

    def evaluate() -> dict[str, float]:
        logits = torch.cat([network(resize(x, config.size)).float() for x, _ in held_out])
        accuracy = (logits.argmax(1) == held_out.labels).float().mean()
        return {"accuracy": accuracy.item(), "nll": F.cross_entropy(logits, held_out.labels).item()}

    with backend.global_draws("classifier", "network", seed) as dropout:
        fit(
            network,
            make_optimizer(config, network),
            make_step(network, mix, generators, backend, config.size),
            make_batches(config, dataset, generators["images"], backend),
            epochs=config.epochs,
            schedule=make_schedule(config),
            generators=generators | dropout,
            evaluate=evaluate,
            run=run,
            reporter=reporter,
            label=label,
        )


def make_network(config: ClassifierConfig, dataset: Dataset, *, pretrained: bool = False) -> nn.Module:
    """The network for this data's channels and classes, untrained unless ``pretrained``."""
    return build(
        config.model,
        classes=len(dataset.classes),
        channels=dataset.train.images.shape[1],
        width=config.width,
        pretrained=pretrained,
    )


def make_batches(config: ClassifierConfig, dataset: Dataset, generator: Generator, backend: Backend) -> Batches:
    """The training images, resident on the device, flipped and cropped."""
    return Batches(
        dataset.train,
        *scaling(config, dataset),
        config.batch_size,
        transforms=Transforms(flip=config.flip, crop_padding=config.crop),
        device=backend.device,
        generator=generator,
        shuffle=True,
        channels_last=backend.channels_last,
    )


def make_step(
    network: nn.Module,
    mix: Augmentation | None,
    generators: Mapping[str, Generator],
    backend: Backend,
    size: int | None = None,
) -> Step:
    """One training step's forward pass: mix the images, and the mean cross entropy against their soft labels."""
    forward: Callable[[Tensor], Tensor] = torch.compile(network) if backend.compile else network

    def step(x: Tensor, y: Tensor, number: int) -> dict[str, Tensor]:
        target = y
        if mix is not None:
            x, target = mix(x, y, generator=generators["mixing"], step=number)
        with backend.autocast():
            logits = forward(resize(x, size)).float()
        return {"loss": F.cross_entropy(logits, target), "accuracy": (logits.argmax(1) == y).float().mean()}

    return step


def make_optimizer(config: ClassifierConfig, network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, weight_decay=config.weight_decay
    )


def make_schedule(config: ClassifierConfig) -> Callable[[float], float]:
    if config.schedule == "one-cycle":
        return OneCycle(config.epochs)
    return StepDecay(tuple(max(1, round(fraction * config.epochs)) for fraction in config.milestones))


def scaling(config: ClassifierConfig, dataset: Dataset) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation per channel that the network's images are normalised with."""
    return config.mean or dataset.mean, config.std or dataset.std


def try_network(config: ClassifierConfig, dataset: Dataset, network: nn.Module) -> None:
    """Look at a few images with a network, so that one that does not fit the data is known before hours of training.

    It is left in eval mode and frozen. Raises InputError.
    """
    few = dataset.test.images[:PROBES].float().div_(255)
    classes = check_classifier(Classifier(network, *scaling(config, dataset), size=config.size), few)
    if classes != len(dataset.classes):
        raise InputError(
            f"model {config.model!r} has {classes} outputs, but data set {dataset.name!r} has "
            f"{len(dataset.classes)} classes."
        )


def load_classifier(run: Run, config: ClassifierConfig, dataset: Dataset, backend: Backend) -> Classifier:
    """The run's network with its normalisation, frozen, on the device. Raises InputError for damaged weights."""
    model = make_classifier(config, dataset)
    load_weights(run / MODEL, model.network)
    return backend.prepare(model)


def make_classifier(config: ClassifierConfig, dataset: Dataset) -> Classifier:
    """The untrained network with its normalisation, in eval mode and frozen."""
    return Classifier(make_network(config, dataset), *scaling(config, dataset), size=config.size)


def predict(model: nn.Module, images: Tensor, backend: Backend, batch_size: int = BATCH) -> Tensor:
    """Logits (N, classes), float32 on the device, of uint8 images (N, C, H, W), in batches and without gradients."""
    with torch.no_grad():
        return torch.cat([model(to_unit(part, backend)).float() for part in images.split(batch_size)])


def to_unit(images: Tensor, backend: Backend) -> Tensor:
    """uint8 images on the device as float32 in [0, 1]."""
    x = images.to(backend.device).float().div_(255)
    return x.contiguous(memory_format=torch.channels_last) if backend.channels_last else x


def check_data(config: ClassifierConfig, dataset: Dataset) -> None:
    """Raises InputError when the settings do not fit the data."""
    channels = dataset.train.images.shape[1]
    for name in ("mean", "std"):
        if getattr(config, name) and len(getattr(config, name)) != channels:
            raise InputError(f"classifier.{name} has {len(getattr(config, name))} values for {channels} channels.")
    if not config.weights and config.batch_size > len(dataset.train):
        raise InputError(
            f"classifier.batch_size is {config.batch_size}, but there are {len(dataset.train)} training images. "
            f"Give at most that, such as --classifier.batch-size {max(2, len(dataset.train) // 8)}."
        )
