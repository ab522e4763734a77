"""Train a classifier, with or without an augmentation of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from ..analysis.data.dataset import Dataset, Split
from ..analysis.data.loader import Batches, Transforms
from ..analysis.errors import InputError
from ..analysis.interface import Augmentation
from ..analysis.masks.policies import Policy
from ..analysis.store.runs import Run
from ..analysis.training.backend import Backend
from ..analysis.training.loop import Step, fit
from ..analysis.training.progress import Reporter
from ..analysis.training.schedules import OneCycle, StepDecay
from .config import TrainingSettings
from .measures import BATCH
from .model import make_network, resize, scaling

EVALUATED_IMAGES = 2000  # of the test split after each epoch, for the training curves


def train_classifier(
    settings: TrainingSettings,
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
    check_batches(settings, dataset)
    mix = policy.build(len(dataset.classes), settings.mix_mode)
    with backend.global_draws("classifier", "weights", seed):
        network = make_network(settings, dataset)
    network = backend.prepare(network)
    generators = {purpose: backend.generator("classifier", purpose, seed) for purpose in ("images", "mixing")}
    held_out = Batches(
        Split(dataset.test.images[:EVALUATED_IMAGES], dataset.test.labels[:EVALUATED_IMAGES]),
        *scaling(settings, dataset),
        min(BATCH, len(dataset.test)),
        device=backend.device,
        channels_last=backend.channels_last,
    )

    def evaluate() -> dict[str, float]:
        logits = torch.cat([network(resize(x, settings.size)).float() for x, _ in held_out])
        accuracy = (logits.argmax(1) == held_out.labels).float().mean()
        return {"accuracy": accuracy.item(), "nll": F.cross_entropy(logits, held_out.labels).item()}

    with backend.global_draws("classifier", "network", seed) as dropout:
        fit(
            network,
            make_optimizer(settings, network),
            make_step(network, mix, generators, backend, settings.size),
            make_batches(settings, dataset, generators["images"], backend),
            epochs=settings.epochs,
            schedule=make_schedule(settings),
            generators=generators | dropout,
            evaluate=evaluate,
            run=run,
            reporter=reporter,
            label=label,
        )


def make_batches(settings: TrainingSettings, dataset: Dataset, generator: Generator, backend: Backend) -> Batches:
    """The training images, resident on the device, flipped and cropped."""
    return Batches(
        dataset.train,
        *scaling(settings, dataset),
        settings.batch_size,
        transforms=Transforms(flip=settings.flip, crop_padding=settings.crop),
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


def make_optimizer(settings: TrainingSettings, network: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(), lr=settings.learning_rate, momentum=settings.momentum, weight_decay=settings.weight_decay
    )


def make_schedule(settings: TrainingSettings) -> Callable[[float], float]:
    if settings.schedule == "one-cycle":
        return OneCycle(settings.epochs)
    return StepDecay(tuple(max(1, round(fraction * settings.epochs)) for fraction in settings.milestones))


def check_batches(settings: TrainingSettings, dataset: Dataset) -> None:
    """Raises InputError when there are too few training images for a batch."""
    if settings.batch_size > len(dataset.train):
        raise InputError(
            f"classifier.batch_size is {settings.batch_size}, but there are {len(dataset.train)} training images. "
            f"Give at most that, such as --classifier.batch-size {max(2, len(dataset.train) // 8)}."
        )
