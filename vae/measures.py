"""What the section measures: rates on images and reconstructions, and reconstruction error. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..analysis.data.loader import normalise
from ..analysis.errors import InputError
from ..analysis.information.prior_rate import rate_per_sample
from ..analysis.training.backend import Backend
from .model import VAE

CHUNK = 1000


class Coded(NamedTuple):
    """A set of images through one VAE, everything float32."""

    x: Tensor  # (N, 3, 32, 32) normalised images, as encoded
    mean: Tensor  # (N, latents)
    log_scale: Tensor  # (N, latents)
    reconstruction: Tensor  # (N, 3, 32, 32): decode(z) with one z ~ q(z|x) per image

    @property
    def rate(self) -> Tensor:
        """D(q(z|x) ‖ N(0, I)) per image, (N,) nats."""
        return rate_per_sample(self.mean, self.log_scale)


@torch.no_grad()
def encode_all(
    model: VAE,
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    backend: Backend,
    *,
    generator: Generator,
) -> Coded:
    """Encode and reconstruct uint8 images (N, 3, 32, 32) in chunks; one latent draw per image from ``generator``."""
    return _concatenate(
        _code(model, normalise(part.to(backend.device), mean, std), backend, generator) for part in images.split(CHUNK)
    )


@torch.no_grad()
def reencode(
    model: VAE, reconstructions: Tensor, backend: Backend, *, generator: Generator, noise: float = 0.0
) -> Coded:
    """Encode normalised reconstructions (N, 3, 32, 32), with Gaussian noise of that scale added if asked for."""

    return _concatenate(
        _code(model, _noisy(part, noise, generator), backend, generator) for part in reconstructions.split(CHUNK)
    )


def mean_squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean over pixels and channels of the squared error, per image: (N,), in squared normalised units (Table 1)."""
    return (x - reconstruction).square().flatten(1).mean(1)


def _noisy(x: Tensor, scale: float, generator: Generator) -> Tensor:
    return x if scale == 0 else x + scale * torch.randn(x.shape, generator=generator, device=x.device)


def _code(model: VAE, x: Tensor, backend: Backend, generator: Generator) -> Coded:
    if model.training:
        raise InputError(
            "measure a VAE in eval mode: in training mode batch norm makes its outputs depend on the batch."
        )
    if backend.channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    mean, log_scale = model.encode(x)
    noise = torch.randn(mean.shape, generator=generator, device=mean.device)
    return Coded(x, mean, log_scale, model.decode(mean + log_scale.exp() * noise))


def _concatenate(parts: Iterable[Coded]) -> Coded:
    columns = zip(*parts, strict=True)
    return Coded(*(torch.cat(column) for column in columns))
