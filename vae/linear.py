"""The best linear VAE, in closed form: probabilistic PCA with unit noise, which any trained VAE should better.

Decoder N(W z + m, I), prior N(0, I): the likelihood is greatest at W = U (Λ − I)^½ with the leading eigenvectors U and
eigenvalues Λ of the data's covariance, those of at most 1 left out (Tipping and Bishop 1999, with σ² = 1). The exact
posterior is then N(Λ⁻¹ Wᵀ (x − m), Λ⁻¹), which is diagonal: a VAE whose ELBO is tight (Lucas et al. 2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from ..analysis.data.loader import normalise
from ..analysis.information.rate import rate_per_sample
from ..analysis.interface import Estimate, Measurement, Task
from ..analysis.statistics.uncertainty import from_independent
from ..analysis.store.runs import Run
from ..analysis.study.worker import Context
from .config import SECTION
from .measures import NEG_ELBO_NOTE

CHUNK = 1000
DENSE = 4096  # dimensions up to which the covariance is written out
NOTES = {
    "linear_rate": "closed form: E KL(p(z|x)‖N(0,I)) of probabilistic PCA with unit noise, fitted on training images",
    "linear_mse": "closed form: its expected squared error, as of one latent draw per image",
    "linear_neg_elbo": f"closed form: the same, {NEG_ELBO_NOTE}",
}


@dataclass(frozen=True)
class Fitting:
    latents: int


@dataclass(frozen=True)
class Linear:
    """A fitted linear VAE. ``directions`` (D, k) are U, ``variances`` (k,) Λ, float64."""

    centre: Tensor
    directions: Tensor
    variances: Tensor

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-scales (N, k) of the posterior of flat images (N, D)."""
        weight = (self.variances - 1).sqrt() / self.variances
        mean = (x - self.centre) @ self.directions * weight
        return mean, (-0.5 * self.variances.log()).expand_as(mean)

    def squared_error(self, x: Tensor) -> Tensor:
        """E_z ‖x − m − W z‖² over the posterior, (N,)."""
        mean, _ = self.encode(x)
        drawn = (1 - 1 / self.variances).sum()
        again = mean * (self.variances - 1).sqrt() @ self.directions.T
        return (x - self.centre - again).square().sum(1) + drawn


def fit_linear(images: Tensor, mean: Sequence[float], std: Sequence[float], latents: int) -> Linear:
    """Of uint8 images (N, C, H, W), normalised as a VAE sees them; as many latents as eigenvalues above 1 at most."""
    dimensions = images[0].numel()
    covariance = _written_out if dimensions <= DENSE else _applied
    centre, spread = covariance(images, mean, std)
    start = np.ones(dimensions)  # not a random one, so that the result is always the same
    variances, directions = eigsh(spread, k=min(latents, dimensions - 1), which="LA", v0=start)
    above = variances > 1
    return Linear(centre, torch.from_numpy(directions[:, above].copy()), torch.from_numpy(variances[above].copy()))


def _written_out(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Any]:
    """The images' mean (D,) and their covariance (D, D), float64."""
    dimensions = images[0].numel()
    centre, spread = torch.zeros(dimensions).double(), torch.zeros(dimensions, dimensions).double()
    for part in images.split(CHUNK):
        x = _flat(part, mean, std)
        centre += x.double().sum(0) / len(images)
        spread += (x.T @ x).double() / len(images)
    spread -= torch.outer(centre, centre)
    return centre, spread.numpy()


def _applied(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Any]:
    """The same, the covariance as what it makes of a vector: of 32³ voxels it would take eight gigabytes."""
    parts = images.split(CHUNK)
    centre = torch.stack([_flat(part, mean, std).double().sum(0) for part in parts]).sum(0) / len(images)

    def times(vector: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        along = torch.from_numpy(vector).reshape(-1).float()
        total = torch.zeros(len(centre), dtype=torch.float64)
        for part in parts:
            x = _flat(part, mean, std)
            total += (x.T @ (x @ along)).double()
        return (total / len(images) - centre * (centre @ along.double())).numpy()

    return centre, LinearOperator((len(centre), len(centre)), matvec=times, dtype=np.float64)


def linear_task(latents: int, data: str) -> Task:
    return Task(
        kind="vae-linear",
        version=1,
        work=f"{__name__}:measure",
        config=Fitting(latents),
        section=SECTION.name,
        label="fit the linear VAE",
        data=data,
    )


def measure(config: Fitting, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    dataset = context.dataset
    fitted = fit_linear(dataset.train.images[:], dataset.mean, dataset.std, config.latents)
    parts = [_flat(part, dataset.mean, dataset.std).double() for part in dataset.test.images.split(CHUNK)]
    rates = torch.cat([rate_per_sample(*fitted.encode(x)) for x in parts])
    errors = torch.cat([fitted.squared_error(x) for x in parts])
    estimates: dict[str, Estimate] = {
        "linear_rate": from_independent(rates, "upper"),
        "linear_mse": from_independent(errors / parts[0].shape[1], "none", "squared normalised pixels"),
        "linear_neg_elbo": from_independent(rates + errors / 2, "upper"),
    }
    return [Measurement(quantity, estimate, {}, NOTES[quantity]) for quantity, estimate in estimates.items()]


def _flat(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    return normalise(images.cpu(), mean, std).flatten(1)
