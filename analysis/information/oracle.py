"""Every estimator beside the truth, on a `GaussianWorld`: which of them can be trusted where."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from torch import Generator

from ..errors import InputError
from ..interface import Estimate
from .critics import Estimator
from .gaussian import gaussian
from .ksg import ksg
from .neural import neural_together
from .rate import rate
from .rate_defensive import rate_defensive
from .rate_gaussian import rate_gaussian
from .rate_mixture import rate_mixture
from .sandwich import infonce, sandwich
from .smallest_rate import smallest_rate
from .world import GaussianWorld, Sample

ENCODING, LATENTS, PAIRED, REENCODED = "I(Z_A;X)", "I(Z_A;Z_X)", "I(Z_A;X̂) paired", "I(Z′_A;X̂) re-encoded"
LEAST_SAMPLES = 200
CRITICS: tuple[Estimator, ...] = ("infonce", "nwj", "mine", "smile")


class Comparison(NamedTuple):
    """One estimator on one quantity of the chain."""

    quantity: str
    estimator: str
    estimate: Estimate
    truth: float

    @property
    def kept(self) -> bool:
        """Whether the bound's direction holds within 4 standard errors; always so for what bounds nothing."""
        error = self.estimate.value - self.truth
        slack = 4 * (self.estimate.stderr or 0) + 1e-9  # rounding, where all terms are equal
        return {"upper": error >= -slack, "lower": error <= slack, "none": True}[self.estimate.bound]


def compare(world: GaussianWorld, n: int, *, seed: int = 0, steps: int = 1000) -> list[Comparison]:
    """All estimators on n samples of a world, critics and marginals fitted on n others; draws fixed by ``seed``.

    ``steps`` is the training length of each neural critic.
    """
    if n < LEAST_SAMPLES:
        raise InputError(f"trying the estimators needs at least {LEAST_SAMPLES} samples, got {n}.")
    draw = Generator().manual_seed(seed)
    fit, sample = world.sample(n, generator=draw), world.sample(n, generator=draw)
    found = [
        *_of_encoding(world, sample, fit, seed),
        *_of_latents(world, sample, fit, seed, steps),
        *_of_reencoding(world, sample, fit),
    ]
    return [Comparison(quantity, name, replace(e, samples=None, influence=None), t) for quantity, name, e, t in found]


def _of_encoding(world: GaussianWorld, sample: Sample, fit: Sample, seed: int) -> Iterator[Comparison]:
    truth = world.information()
    mean, log_scale = world.encoder_a(sample.x)
    lower, upper = sandwich(mean, log_scale, sample.z_a)
    others, draw = world.encoder_a(fit.x), Generator().manual_seed(seed)
    k = min(128, len(mean) // 2)
    for name, estimate in (
        ("rate", rate(mean, log_scale)),
        ("rate, Gaussian marginal", rate_gaussian(mean, log_scale, fit=others)),
        ("rate, Gaussian mixture", rate_mixture(mean, log_scale, sample.z_a, fit=others, generator=draw)),
        ("rate, defensive mixture", rate_defensive(mean, log_scale, sample.z_a)),
        ("leave-one-out", upper),
        ("index code (InfoNCE, K = N)", lower),
        (f"InfoNCE, K = {k}", infonce(mean, log_scale, sample.z_a, k=k)),
    ):
        yield Comparison(ENCODING, name, estimate, truth)


def _of_latents(world: GaussianWorld, sample: Sample, fit: Sample, seed: int, steps: int) -> Iterator[Comparison]:
    truth = world.information_shared()
    with suppress(InputError):  # from 13 nats in one coordinate on float64 cannot tell it from infinite
        yield Comparison(LATENTS, "canonical correlations", gaussian(sample.z_a, sample.z_x), truth)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it fails in many dimensions is what is shown
        for variant in (1, 2):
            estimate = ksg(sample.z_a, sample.z_x, variant=variant)
            yield Comparison(LATENTS, f"KSG {variant}", estimate, truth)
    critics = partial(neural_together, steps=steps, generator=Generator().manual_seed(seed))
    pair, fitted = (sample.z_a, sample.z_x), (fit.z_a, fit.z_x)
    together = critics([pair] * len(CRITICS), CRITICS, fits=[fitted] * len(CRITICS))
    for estimator, estimate in zip(CRITICS, together, strict=True):
        yield Comparison(LATENTS, f"critic, {estimator}", estimate, truth)
    encoders = (world.encoder_a, world.encoder_x)
    coded = ((encoder(sample.x), encoder(fit.x)) for encoder in encoders)
    smallest = smallest_rate(*coded, generator=Generator().manual_seed(seed))
    yield Comparison(LATENTS, "smallest of the rates", smallest, truth)
    (paired,) = critics([(sample.z_a, sample.reconstruction)], ["infonce"], fits=[(fit.z_a, fit.reconstruction)])
    yield Comparison(PAIRED, "critic, infonce", paired, world.information_paired())


def _of_reencoding(world: GaussianWorld, sample: Sample, fit: Sample) -> Iterator[Comparison]:
    truth = world.information_reencoded()
    mean, log_scale = world.encoder_a(sample.reconstruction)
    lower, upper = sandwich(mean, log_scale, sample.z_again)
    yield Comparison(REENCODED, "rate", rate(mean, log_scale), truth)
    fitted = rate_gaussian(mean, log_scale, fit=world.encoder_a(fit.reconstruction))
    yield Comparison(REENCODED, "rate, Gaussian marginal", fitted, truth)
    yield Comparison(REENCODED, "leave-one-out", upper, truth)
    yield Comparison(REENCODED, "index code (InfoNCE, K = N)", lower, truth)
