"""Train one VAE, with or without an augmentation of its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from ..analysis.data.dataset import Dataset, evenly_spaced
from ..analysis.data.loader import Batched, Batches, Transforms
from ..analysis.errors import InputError
from ..analysis.interface import Augmentation
from ..analysis.masks.policies import Policy, period_of
from ..analysis.store.runs import MODEL, Run
from ..analysis.training.backend import Backend, stream_seed
from ..analysis.training.checkpoint import load_weights
from ..analysis.training.engine import Step, training_forward
from ..analysis.training.loop import blaming, fit
from ..analysis.training.progress import Reporter
from ..analysis.training.schedules import StepDecay
from ..analysis.training.turns import Turns
from .config import TrainingSettings
from .measures import encode_all, mean_squared_error
from .model import SHAPE, SMALLEST, VAE, negative_elbo

EVALUATED_IMAGES = 2000  # of the test split after each epoch, for the training curves


def train_vae(
    settings: TrainingSettings,
    dataset: Dataset,
    policy: Policy,
    seed: int,
    replicate: int,
    *,
    run: Run,
    backend: Backend,
    reporter: Reporter,
    label: str,
) -> Turns[None]:
    """Train into ``run``; resumes from its checkpoint. ``(seed, replicate)`` fixes every random draw.

    Each stream of random numbers is its own: two trainings with the same seed and replicate share their initial weights
    and the order of their images whatever the augmentation, so that differences between augmentations are paired.
    """
    check_data(dataset, settings)
    mix = policy.build(len(dataset.classes), settings.mix_mode)
    model = VAE(settings.latents, dataset.train.images.shape[1:])
    model.initialise(torch.Generator().manual_seed(stream_seed("vae", "weights", seed, replicate)))
    model = _prepared(model, dataset.train.images.shape[1:], backend)
    generators = {
        purpose: backend.generator("vae", purpose, seed, replicate) for purpose in ("images", "mixing", "latents")
    }
    batches = make_batches(settings, dataset, generators["images"], backend)
    step = make_step(settings, model, mix, generators, backend)
    count = min(EVALUATED_IMAGES, len(dataset.test))
    held_out = dataset.test.images[evenly_spaced(len(dataset.test), count, "")]

    def evaluate() -> dict[str, float]:
        generator = backend.generator("vae", "evaluation", seed)
        coded = encode_all(model, held_out, dataset.mean, dataset.std, backend, generator=generator)
        rate, error = coded.rate.mean().item(), mean_squared_error(coded.x, coded.reconstruction).mean().item()
        return {"rate": rate, "mse": error, "neg_elbo": rate + error * coded.x[0].numel() / 2}

    with blaming(mix):
        yield from fit(
            model,
            make_optimizer(settings, model, backend),
            step,
            batches,
            backend=backend,
            epochs=settings.epochs,
            schedule=StepDecay(tuple(max(1, round(fraction * settings.epochs)) for fraction in settings.milestones)),
            generators=generators,
            evaluate=evaluate,
            run=run,
            reporter=reporter,
            label=label,
            period=period_of(mix),
        )


def make_batches(settings: TrainingSettings, dataset: Dataset, generator: Generator, backend: Backend) -> Batched:
    """The training images, resident on the device, flipped and jittered; recordings and volumes as they are."""
    if dataset.modality.NAME != "image":
        return dataset.modality.batches(
            dataset.train,
            dataset.mean,
            dataset.std,
            settings.batch_size,
            device=backend.device,
            generator=generator,
            shuffle=True,
            channels_last=backend.channels_last,
        )
    return Batches(
        dataset.train,
        dataset.mean,
        dataset.std,
        settings.batch_size,
        transforms=Transforms(flip=settings.flip, jitter=settings.jitter),
        device=backend.device,
        generator=generator,
        shuffle=True,
        channels_last=backend.channels_last,
    )


def make_step(
    settings: TrainingSettings,
    model: VAE,
    mix: Augmentation | None,
    generators: Mapping[str, Generator],
    backend: Backend,
) -> Step:
    """One training step's forward pass: mix the images, encode, decode, and the mean −ELBO of the mixed images."""
    forward = training_forward(model, backend, settings.batch_size)

    def step(x: Tensor, y: Tensor, number: int) -> dict[str, Tensor]:
        if mix is not None:
            x = mix.pairs(x, y, generator=generators["mixing"], step=number)[0]
        noise = torch.randn(
            len(x), settings.latents, generator=generators["latents"], dtype=torch.float32, device=x.device
        )
        with backend.autocast():
            reconstruction, mean, log_scale = forward(x, noise)
        distortion, rate = negative_elbo(x, reconstruction, mean, log_scale)
        return {"loss": (distortion + rate).mean(), "rate": rate.mean()}

    return step


def make_optimizer(settings: TrainingSettings, model: VAE, backend: Backend) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=backend.device.type != "mps")


def load_vae(run: Run, latents: int, backend: Backend, shape: Sequence[int] = SHAPE) -> VAE:
    """A trained VAE in eval mode, parameters frozen. Raises InputError when the weights are damaged."""
    model = VAE(latents, shape)
    load_weights(run.checked(MODEL), model)
    return _prepared(model, shape, backend).eval().requires_grad_(False)


def _prepared(model: VAE, shape: Sequence[int], backend: Backend) -> VAE:
    return backend.prepare(model) if len(shape) == 3 else model.to(backend.device)


def check_data(dataset: Dataset, settings: TrainingSettings) -> None:
    """Raises InputError when the section cannot work on this data with these settings."""
    if min(dataset.train.images.shape[2:]) < SMALLEST:
        raise InputError(
            f"the VAE section works on {dataset.modality.MANY} of {SMALLEST} or more a side; data set "
            f"{dataset.name!r} has {'×'.join(map(str, dataset.train.images.shape[1:]))}. Resize or pad them."
        )
    channels = dataset.train.images.shape[1]
    if settings.jitter and dataset.modality.NAME == "image" and channels not in (1, 3):
        raise InputError(
            f"images of {dataset.name!r} have {channels} channels, and colours are jittered of 1 or 3: give "
            "--vae.jitter 0."
        )
    if settings.batch_size > len(dataset.train):
        raise InputError(
            f"vae.batch_size is {settings.batch_size}, but there are {len(dataset.train)} training images. "
            f"Give at most that, such as --vae.batch-size {max(2, len(dataset.train) // 8)}."
        )
