"""The section's tasks: train the VAEs of a study, measure each pair over the whole test set, try the estimators."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..analysis.data.dataset import Dataset
from ..analysis.information.prior_rate import rate
from ..analysis.information.uncertainty import from_independent
from ..analysis.interface import Row, Task
from ..analysis.masks.policies import BASELINE, Policy, parse_policy
from ..analysis.settings import changed
from ..analysis.store.results import row_of
from ..analysis.store.runs import Run
from ..analysis.study.execute import Context
from ..analysis.study.plan import Study, training_settings
from ..analysis.training.backend import Backend, make_backend
from .config import SECTION, VAEConfig
from .measures import Chain, encode_all, encode_chain, information, mean_squared_error, others_than, reencode
from .oracle import oracle_task
from .train import check_data, load_vae, train_vae

MEASURING = ("reconstruction_noise", "critic_steps")  # settings of the measurement alone
REFERENCE, TRAINED = 0, 1  # replicates: the baseline VAE of each pair, and the VAE that is compared with it
# What each row is; equations in the section's README.
NOTES = {
    "rate": "E KL(q_A(z|x)‖N(0,I)); the paper's I(Z_A;X)",
    "rate_reconstruction": "E KL(q_A(z|x̂)‖N(0,I)), x̂ from the seed's reference VAE; the paper's I(Z_A;X̂)",
    "mse": "one latent draw per image; the paper's MSE",
    "rate_gaussian": "I(Z_A;X): rate against the full-covariance Gaussian of the training images' encodings",
    "rate_gaussian_reconstruction": "I(Z′_A;X̂) re-encoded: the same on reconstructions, fitted on training images'",
    "infonce": "I(Z_A;X): the encoder's density as critic, K = n (index code)",
    "leave_one_out": "I(Z_A;X): marginal = mixture of the other test images' encodings",
    "marginal_gap_lower": "KL(q_A(z)‖N(0,I)): rate − rate_gaussian",
    "marginal_gap_upper": "KL(q_A(z)‖N(0,I)): rate − infonce",
    "latents_upper": "I(Z_A;Z_X): smallest of the rates of Z_A and Z_X, chosen on the training images",
    "latents_canonical": "I(Z_A;Z_X) if they were jointly Gaussian: canonical correlations, bias removed",
    "latents_infonce": "I(Z_A;Z_X): neural critic trained on the training images, K = n",
    "paired_canonical": "I(Z_A;μ_A(X̂)) paired, if these were jointly Gaussian; μ_A(X̂) is a function of X̂",
    "paired_infonce": "I(Z_A;X̂) paired, from μ_A(X̂): neural critic trained on the training images, K = n",
}
SHOWN_IMAGES = 8  # reconstructions kept for the report, evenly spaced over the test set


def tasks(study: Study, dataset: Dataset, backend: Backend) -> Sequence[Task]:
    """For each seed: a reference VAE on real images; one VAE per augmentation; a measurement of each pair.

    The baseline is measured twice: the reference with itself, as the paper does, and with a second, independent
    training (the null pair), which shares its weights' and images' draws with the augmented VAEs. Last, the
    estimators are tried on Gaussian worlds.
    """
    config: VAEConfig = study.settings[SECTION.name]
    check_data(dataset, config)
    precision = make_backend(str(backend.device), config.precision).precision
    tasks = []
    baseline = parse_policy(BASELINE)
    for seed in study.seeds:
        reference = _training(config, dataset, baseline, seed, REFERENCE, precision)
        for policy in study.policies:
            if policy.is_baseline:
                tasks.append(_measurement(config, dataset, policy, seed, reference, reference))
            trained = _training(config, dataset, policy, seed, TRAINED, precision)
            tasks.append(_measurement(config, dataset, policy, seed, reference, trained))
    if config.oracle_samples:
        tasks.append(oracle_task(config.oracle_samples))
    return tasks


def _training(config: VAEConfig, dataset: Dataset, policy: Policy, seed: int, replicate: int, precision: str) -> Task:
    settings = training_settings(config, dataset, policy, seed, precision, without=("oracle_samples", *MEASURING))
    settings |= {"replicate": replicate}
    role = "reference" if replicate == REFERENCE else policy.text
    label = f"train VAE, {role}, seed {seed}"

    def work(run: Run, inputs: tuple[Run, ...], context: Context) -> Sequence[Row]:
        train_vae(
            config,
            context.dataset,
            policy,
            seed,
            replicate,
            run=run,
            backend=context.backend,
            reporter=context.reporter,
            label=f"{role}, seed {seed}",
        )
        return []

    return Task("vae-train", 1, label, settings, (), work)


def _measurement(
    config: VAEConfig, dataset: Dataset, policy: Policy, seed: int, reference: Task, trained: Task
) -> Task:
    own = {k: v for k, v in changed(config).items() if k in MEASURING}
    pair = "self" if trained is reference else "independent"
    return Task(
        "vae-measure",
        2,
        f"measure VAE, {policy.text}{' (with itself)' if pair == 'self' else ''}, seed {seed}",
        {"data": dataset.checksum, "seed": seed, **own},
        (reference, trained),
        partial(_measure, config, policy, seed, pair),
    )


def _measure(
    config: VAEConfig, policy: Policy, seed: int, pair: str, run: Run, inputs: tuple[Run, ...], context: Context
) -> Sequence[Row]:
    dataset, backend = context.dataset, context.backend
    reference, trained = (load_vae(parent, config, backend) for parent in inputs)
    images, mean, std = dataset.test.images, dataset.mean, dataset.std
    own = encode_all(trained, images, mean, std, backend, generator=backend.generator("vae", "own", seed))
    real = encode_all(reference, images, mean, std, backend, generator=backend.generator("vae", "reference", seed))
    again = reencode(
        trained,
        real.reconstruction,
        backend,
        generator=backend.generator("vae", "again", seed),
        noise=config.reconstruction_noise,
    )
    error = mean_squared_error(own.x, own.reconstruction)
    fit = encode_chain(
        trained,
        reference,
        others_than(dataset.train.images, images),
        mean,
        std,
        backend,
        generator=backend.generator("vae", "fit", seed),
        noise=config.reconstruction_noise,
    )
    found = {
        "rate": rate(own.mean, own.log_scale),
        "rate_reconstruction": rate(again.mean, again.log_scale),
        "mse": from_independent(error, "none", "squared normalised pixels"),
    } | information(
        Chain(own.latents, real.latents, again.latents),
        fit,
        critic_steps=config.critic_steps,
        generator=backend.generator("vae", "critics", seed),
    )
    samples = found["rate_gaussian"].samples
    assert samples is not None
    shown = torch.linspace(0, len(images) - 1, min(SHOWN_IMAGES, len(images)), device=backend.device).long()
    run.write_arrays(
        {
            "rate": _float32(own.rate),
            "rate_reconstruction": _float32(again.rate),
            "rate_gaussian": _float32(samples),
            "mse": _float32(error),
            "images": _uint8(own.x[shown], mean, std),
            "reconstructions": _uint8(own.reconstruction[shown], mean, std),
        }
    )
    return [
        row_of(
            estimate,
            run=run.path.name.removesuffix(".partial"),
            study=context.study,
            section="vae",
            dataset=dataset.name,
            split="test",
            augmentation=policy.text,
            model="vae",
            seed=seed,
            quantity=quantity,
            params={"pair": pair},
            note=NOTES[quantity],
        )
        for quantity, estimate in found.items()
    ]


def _float32(values: Tensor) -> np.ndarray[Any, Any]:
    return values.float().cpu().numpy()


def _uint8(x: Tensor, mean: Sequence[float], std: Sequence[float]) -> np.ndarray[Any, Any]:
    """Normalised images back to uint8 (N, H, W, 3), for figures."""
    scale = x.new_tensor(std).view(1, -1, 1, 1)
    shift = x.new_tensor(mean).view(1, -1, 1, 1)
    pixels = ((x * scale + shift) * 255).round().clamp(0, 255).byte()
    return pixels.permute(0, 2, 3, 1).contiguous().cpu().numpy()
