"""What the section measures: encodings along the chain, and what they tell of one another. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..analysis.data.loader import normalise
from ..analysis.errors import InputError
from ..analysis.information.encodings import Encoding
from ..analysis.information.gaussian import gaussian
from ..analysis.information.marginal_gap import gap_between
from ..analysis.information.neural import neural_together
from ..analysis.information.rate import rate, rate_per_sample
from ..analysis.information.rate_gaussian import rate_gaussian
from ..analysis.information.rate_mixture import rate_mixture
from ..analysis.information.sandwich import sandwich
from ..analysis.information.smallest_rate import smallest_encoder
from ..analysis.interface import Estimate
from ..analysis.training.backend import Backend, images_at_once
from .model import VAE

NEG_ELBO_NOTE = "E [KL(q(z|x)‖N(0,I)) + ½‖x − x̂‖²], at least −E log p(x) less the constant ½ D log 2π"


class Coded(NamedTuple):
    """A set of images through one VAE, everything float32."""

    x: Tensor  # (N, C, H, W) normalised images, as encoded
    mean: Tensor  # (N, latents)
    log_scale: Tensor  # (N, latents)
    z: Tensor  # (N, latents): one draw from q(z|x) per image
    reconstruction: Tensor  # (N, C, H, W): decode(z)

    @property
    def encoding(self) -> Encoding:
        return Encoding(self.mean, self.log_scale, self.z)

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
    """Encode and reconstruct uint8 images (N, C, H, W) in chunks; one latent draw per image from ``generator``."""
    return _concatenate(
        _code(model, normalise(part.to(backend.device), mean, std), backend, generator)
        for part in images.split(images_at_once(backend.device))
    )


@torch.no_grad()
def reencode(
    model: VAE, reconstructions: Tensor, backend: Backend, *, generator: Generator, noise: float = 0.0
) -> Coded:
    """Encode normalised reconstructions (N, C, H, W), with Gaussian noise of that scale added if asked for."""

    return _concatenate(
        _code(model, _noisy(part, noise, generator), backend, generator)
        for part in reconstructions.split(images_at_once(backend.device))
    )


class Chain(NamedTuple):
    """The encodings along Z_A ← X → Z_X → X̂ → Z′_A of a set of images."""

    own: Encoding  # Z_A, of X by the VAE that is measured
    reference: Encoding  # Z_X, of X by the reference
    again: Encoding  # Z′_A, of the reference's reconstructions X̂ by the VAE that is measured


@torch.no_grad()
def encode_chain(
    trained: VAE,
    reference: VAE,
    images: Tensor,
    mean: Sequence[float],
    std: Sequence[float],
    backend: Backend,
    *,
    generator: Generator,
    noise: float = 0.0,
) -> Chain:
    """The chain of uint8 images (N, C, H, W); images and reconstructions are not kept, so a training set streams."""
    links: tuple[list[Encoding], ...] = ([], [], [])
    for part in images.split(images_at_once(backend.device)):
        x = normalise(part.to(backend.device), mean, std)
        own, real = _encode(trained, x, backend, generator), _code(reference, x, backend, generator)
        again = _encode(trained, _noisy(real.reconstruction, noise, generator), backend, generator)
        for link, encoding in zip(links, (own, real.encoding, again), strict=True):
            link.append(encoding)
    return Chain(*(Encoding(*map(torch.cat, zip(*link, strict=True))) for link in links))


def information(test: Chain, fit: Chain, *, critic_steps: int, generator: Generator) -> dict[str, Estimate]:
    """What can be said of the informations of Table 1 beyond its rates, in nats; see the section's README.

    ``test``: the chain of N independent images that nothing was fitted on; ``fit``: that of other images, on which
    marginals and critics are fitted. Of canonical correlations and critics, those that cannot be had are left out: too
    few images, or a latent that is constant.
    """
    own, again = test.own, test.again
    critics = _critics(test, fit, critic_steps, generator)
    prior, bounds = rate(own.mean, own.log_scale), sandwich(*own)
    estimates = {
        "rate_gaussian": rate_gaussian(own.mean, own.log_scale, fit=fit.own),
        "rate_gaussian_reconstruction": rate_gaussian(again.mean, again.log_scale, fit=fit.again),
        "rate_mixture": rate_mixture(*own, fit=fit.own, generator=generator),
        "infonce": bounds.lower,
        "leave_one_out": bounds.upper,
    }
    gap = gap_between(prior, estimates["rate_mixture"], bounds.lower)
    estimates |= {"marginal_gap_lower": gap.lower, "marginal_gap_upper": gap.upper}
    chosen = smallest_encoder(fit.own, fit.reference)
    estimates["latents_upper"] = (
        rate_mixture(*test.reference, fit=fit.reference, generator=generator) if chosen else estimates["rate_mixture"]
    )
    for name, pair in zip(("latents_canonical", "paired_canonical"), _paired(test), strict=True):
        with suppress(InputError):
            estimates[name] = gaussian(*pair)
    return estimates | critics


def _critics(test: Chain, fit: Chain, steps: int, generator: Generator) -> dict[str, Estimate]:
    try:
        found = neural_together(
            _paired(test), ("infonce", "infonce"), fits=_paired(fit), steps=steps, generator=generator
        )
    except InputError:
        return {}
    return dict(zip(("latents_infonce", "paired_infonce"), found, strict=True))


def _paired(chain: Chain) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """What is paired with Z_A: the reference's latent; the re-encoded mean, a function of the reconstruction."""
    return (chain.own.z, chain.reference.z), (chain.own.z, chain.again.mean)


def others_than(images: Tensor, known: Tensor) -> Tensor:
    """The uint8 images (N, C, H, W) that are not, pixel for pixel, among ``known``."""
    seen = {image.numpy().tobytes() for image in known.cpu()}
    return images[torch.tensor([image.numpy().tobytes() not in seen for image in images.cpu()], device=images.device)]


def negative_elbo(coded: Coded) -> Tensor:
    """Rate plus half the squared error of each image (N,), in nats, from its one latent draw.

    −ELBO of a decoder with unit variance, without the constant ½ D log 2π: what training minimises.
    """
    return coded.rate + 0.5 * (coded.x - coded.reconstruction).square().flatten(1).sum(1)


def mean_squared_error(x: Tensor, reconstruction: Tensor) -> Tensor:
    """Mean over pixels and channels of the squared error, per image: (N,), in squared normalised units (Table 1)."""
    return (x - reconstruction).square().flatten(1).mean(1)


def _noisy(x: Tensor, scale: float, generator: Generator) -> Tensor:
    return (
        x if scale == 0 else x + scale * torch.randn(x.shape, generator=generator, dtype=torch.float32, device=x.device)
    )


def _code(model: VAE, x: Tensor, backend: Backend, generator: Generator) -> Coded:
    encoding = _encode(model, x, backend, generator)
    return Coded(x, *encoding, model.decode(encoding.z))


def _encode(model: VAE, x: Tensor, backend: Backend, generator: Generator) -> Encoding:
    if any(module.training for module in model.modules()):
        raise InputError(
            "measure a VAE in eval mode: in training mode batch norm makes its outputs depend on the batch."
        )
    if backend.channels_last and x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    mean, log_scale = model.encode(x)
    noise = torch.randn(mean.shape, generator=generator, dtype=torch.float32, device=mean.device)
    return Encoding(mean, log_scale, mean + log_scale.exp() * noise)


def _concatenate(parts: Iterable[Coded]) -> Coded:
    columns = zip(*parts, strict=True)
    return Coded(*(torch.cat(column) for column in columns))
