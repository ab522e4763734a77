"""The section's tasks: train the VAEs of a study, measure each pair over the whole test set, try the estimators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..analysis.information.rate import rate, rate_per_latent
from ..analysis.interface import BASELINE, Estimate, Measurement, Network, Task
from ..analysis.masks.policies import Policy, parse_policy
from ..analysis.schema import narrowed, setting
from ..analysis.statistics.uncertainty import from_independent
from ..analysis.store.runs import Run
from ..analysis.study.plan import Asked
from ..analysis.study.worker import Context
from ..analysis.training.turns import Turns
from .config import ACTIVE, SECTION, MeasuringSettings, TrainingSettings, VAEConfig
from .linear import linear_task
from .measures import (
    NEG_ELBO_NOTE,
    Chain,
    encode_all,
    encode_chain,
    information,
    mean_squared_error,
    negative_elbo,
    others_than,
    reencode,
)
from .oracle import oracle_task
from .train import check_data, load_vae, train_vae

REFERENCE, TRAINED = 0, 1  # replicates: the baseline VAE of each pair, and the VAE that is compared with it
# What each row is; equations in the section's README.
NOTES = {
    "rate": "E KL(q_A(z|x)‖N(0,I)); the paper's I(Z_A;X)",
    "rate_reconstruction": "E KL(q_A(z|x̂)‖N(0,I)), x̂ from the seed's reference VAE; the paper's I(Z_A;X̂)",
    "mse": "one latent draw per image; the paper's MSE",
    "neg_elbo": NEG_ELBO_NOTE,
    "active_units": f"latents whose E KL(q_A(z_j|x)‖N(0,1)) is above {ACTIVE:g} nat",
    "rate_gaussian": "I(Z_A;X): rate against the full-covariance Gaussian of the training images' encodings",
    "rate_gaussian_reconstruction": "I(Z′_A;X̂) re-encoded: the same on reconstructions, fitted on training images'",
    "rate_mixture": "I(Z_A;X): rate against a Gaussian mixture fitted to the training images' encodings",
    "infonce": "I(Z_A;X): the encoder's density as critic, K = n (index code)",
    "leave_one_out": "I(Z_A;X): marginal = mixture of the other test images' encodings",
    "marginal_gap_lower": "KL(q_A(z)‖N(0,I)): rate − rate_mixture",
    "marginal_gap_upper": "KL(q_A(z)‖N(0,I)): rate − infonce",
    "latents_upper": "I(Z_A;Z_X): rate_mixture of Z_A or Z_X, the smaller, chosen on the training images",
    "latents_canonical": "I(Z_A;Z_X) if they were jointly Gaussian: canonical correlations, bias removed",
    "latents_infonce": "I(Z_A;Z_X): neural critic trained on the training images, K = n",
    "paired_canonical": "I(Z_A;μ_A(X̂)) paired, if these were jointly Gaussian; μ_A(X̂) is a function of X̂",
    "paired_infonce": "I(Z_A;X̂) paired, from μ_A(X̂): neural critic trained on the training images, K = n",
}
SHOWN_IMAGES = 8  # reconstructions kept for the report, evenly spaced over the test set


@dataclass(frozen=True)
class Training:
    settings: TrainingSettings
    seed: int
    replicate: int
    augmentation: Mapping[str, Any] | None = None  # None: the baseline


@dataclass(frozen=True)
class Measuring:
    settings: MeasuringSettings
    seed: int
    latents: int = setting(keyed=False)  # as the inputs say too
    pair: str = setting(keyed=False)
    mix: str = setting(keyed=False)  # the augmentation and how it shares its masks, apart; see `Policy.shared`
    mode: str = setting(keyed=False)


def tasks(asked: Asked) -> Sequence[Task]:
    """For each seed: a reference VAE on real images; one VAE per augmentation; a measurement of each pair.

    The baseline is measured twice: the reference with itself, as the paper does, and with a second, independent
    training (the null pair), which shares its weights' and images' draws with the augmented VAEs. Last, the
    linear VAE is fitted, and the estimators are tried on Gaussian worlds.
    """
    config: VAEConfig = asked.config
    check_data(asked.dataset, config)
    tasks = []
    for seed in asked.study.seeds:
        reference = _training(asked, parse_policy(BASELINE), seed, REFERENCE)
        for policy in asked.policies:
            if policy.is_baseline:
                tasks.append(_measurement(asked, policy, reference, reference))
            tasks.append(_measurement(asked, policy, reference, _training(asked, policy, seed, TRAINED)))
    tasks.append(linear_task(config.latents, asked.dataset.checksum))
    if config.oracle_samples:
        tasks.append(oracle_task(config.oracle_samples, config.critic_steps))
    return tasks


def _training(asked: Asked, policy: Policy, seed: int, replicate: int) -> Task:
    settings = narrowed(TrainingSettings, asked.config)
    if not policy.takes_mode:
        settings = replace(settings, mix_mode=TrainingSettings.mix_mode)
    return Task(
        kind="vae-train",
        version=1,
        work=f"{__name__}:train",
        config=Training(settings, seed, replicate, None if policy.is_baseline else policy.fingerprint()),
        section=SECTION.name,
        label=f"train VAE, {'reference' if replicate == REFERENCE else policy.text}, seed {seed}",
        data=asked.dataset.checksum,
        precision=asked.backend.resolve(asked.config.precision),
        network=Network(policy.text, seed, SECTION.name),
        images=settings.epochs * len(asked.dataset.train),
    )


def _measurement(asked: Asked, policy: Policy, reference: Task, trained: Task) -> Task:
    pair = "self" if trained is reference else "independent"
    seed, (mix, mode) = reference.config.seed, policy.shared(asked.config.mix_mode)
    return Task(
        kind="vae-measure",
        version=8,
        work=f"{__name__}:measure",
        config=Measuring(narrowed(MeasuringSettings, asked.config), seed, asked.config.latents, pair, mix, mode),
        section=SECTION.name,
        label=f"measure VAE, {policy.text}{' (with itself)' if pair == 'self' else ''}, seed {seed}",
        inputs=(reference, trained),
        data=asked.dataset.checksum,
        network=trained.network,
    )


def train(config: Training, run: Run, inputs: Sequence[Run], context: Context) -> Turns[None]:
    return train_vae(
        config.settings,
        context.dataset,
        Policy.of(config.augmentation),
        config.seed,
        config.replicate,
        run=run,
        backend=context.backend,
        reporter=context.reporter,
        label=context.label,
    )


def measure(config: Measuring, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    dataset, backend, seed = context.dataset, context.backend, config.seed
    noise = config.settings.reconstruction_noise
    shape = dataset.test.images.shape[1:]
    reference, trained = (load_vae(parent, config.latents, backend, shape) for parent in inputs)
    images, mean, std = dataset.test.images[:], dataset.mean, dataset.std
    own = encode_all(trained, images, mean, std, backend, generator=backend.generator("vae", "own", seed))
    real = encode_all(reference, images, mean, std, backend, generator=backend.generator("vae", "reference", seed))
    again = reencode(
        trained, real.reconstruction, backend, generator=backend.generator("vae", "again", seed), noise=noise
    )
    error, by_latent = mean_squared_error(own.x, own.reconstruction), rate_per_latent(own.mean, own.log_scale)
    fit = encode_chain(
        trained,
        reference,
        others_than(dataset.train.images[:], images),
        mean,
        std,
        backend,
        generator=backend.generator("vae", "fit", seed),
        noise=noise,
    )
    estimates = {
        "rate": rate(own.mean, own.log_scale),
        "rate_reconstruction": rate(again.mean, again.log_scale),
        "mse": from_independent(error, "none", "squared normalised pixels"),
        "neg_elbo": from_independent(negative_elbo(own), "upper"),
        "active_units": Estimate(float((by_latent > ACTIVE).sum()), None, len(images), "none", "latents"),
    } | information(
        Chain(own.encoding, real.encoding, again.encoding),
        fit,
        critic_steps=config.settings.critic_steps,
        generator=backend.generator("vae", "critics", seed),
    )
    shown = torch.linspace(0, len(images) - 1, min(SHOWN_IMAGES, len(images)), device=backend.device).long()
    run.write_arrays(
        {
            "rate": _float32(own.rate),
            "rate_reconstruction": _float32(again.rate),
            **{name: _terms(estimates[name]) for name in ("rate_gaussian", "rate_mixture")},
            "mse": _float32(error),
            "rate_per_latent": _float32(by_latent),
            "images": _uint8(own.x[shown], mean, std),
            "reconstructions": _uint8(own.reconstruction[shown], mean, std),
        }
    )
    params = {"pair": config.pair, "mix": config.mix, "mode": config.mode}
    return [Measurement(quantity, estimate, params, NOTES[quantity]) for quantity, estimate in estimates.items()]


def _terms(estimate: Estimate) -> np.ndarray[Any, Any]:
    assert estimate.samples is not None
    return _float32(estimate.samples)


def _float32(values: Tensor) -> np.ndarray[Any, Any]:
    return values.float().cpu().numpy()


def _uint8(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray[Any, Any]:
    """Normalised images back to uint8 (N, H, W, 3), for figures.

    Of a volume what is brightest along its first axis; of other channels than three the first.
    """
    sides = [1] * (x.ndim - 2)
    scale, shift = (x.new_tensor(values).view(1, -1, *sides) for values in (std, mean))
    pixels = ((x * scale + shift) * 255).round().clamp(0, 255).byte()
    if pixels.ndim == 5:
        pixels = pixels.amax(2)
    if pixels.shape[1] != 3:
        pixels = pixels[:, :1].expand(-1, 3, -1, -1)
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
