"""The linear VAE against the likelihood that it maximises."""

import math

import pytest
import torch

from mixlens.analysis.information.rate import rate_per_sample
from mixlens.vae.linear import CHUNK, _flat, fit_linear

MEAN, STD = (0.5, 0.4, 0.3), (0.1, 0.1, 0.2)


@pytest.fixture(scope="module")
def images():
    """Uint8 images (300, 3, 4, 4) with a few strong directions."""
    draw = torch.Generator().manual_seed(0)
    strong = torch.randn(300, 5, generator=draw) @ torch.randn(5, 48, generator=draw)
    values = 128 + 30 * strong + 4 * torch.randn(300, 48, generator=draw)
    return values.clamp(0, 255).round().byte().view(300, 3, 4, 4)


@pytest.mark.parametrize("latents", [1, 4, 10, 64])
def test_its_elbo_is_the_likelihood(images, latents):
    fitted = fit_linear(images[:200], MEAN, STD, latents)
    x = _flat(images[200:], MEAN, STD).double()
    weight = fitted.directions * (fitted.variances - 1).sqrt()
    marginal = torch.distributions.MultivariateNormal(fitted.centre, weight @ weight.T + torch.eye(48).double())
    bound = rate_per_sample(*fitted.encode(x)) + fitted.squared_error(x) / 2 + 24 * math.log(2 * math.pi)
    assert torch.allclose(bound, -marginal.log_prob(x), rtol=1e-8)


def test_its_error_is_that_of_a_draw(images):
    fitted = fit_linear(images, MEAN, STD, 5)
    x = _flat(images[:50], MEAN, STD).double()
    mean, log_scale = fitted.encode(x)
    draws = torch.Generator().manual_seed(1)
    z = mean + log_scale.exp() * torch.randn(4000, *mean.shape, generator=draws, dtype=torch.float64)
    again = z * (fitted.variances - 1).sqrt() @ fitted.directions.T + fitted.centre
    errors = (x - again).square().sum(-1)
    score = (errors.mean(0) - fitted.squared_error(x)) / (errors.std(0) / math.sqrt(4000))
    assert score.abs().max() < 5


def test_no_other_weights_are_better(images):
    fitted = fit_linear(images, MEAN, STD, 3)
    x = _flat(images, MEAN, STD).double()

    def loss(directions, variances):
        weight = directions * (variances - 1).sqrt()
        marginal = torch.distributions.MultivariateNormal(fitted.centre, weight @ weight.T + torch.eye(48).double())
        return -marginal.log_prob(x).mean().item()

    best = loss(fitted.directions, fitted.variances)
    assert loss(fitted.directions, 1.2 * fitted.variances) > best
    assert loss(fitted.directions, fitted.variances / 1.2) > best
    turned = torch.linalg.qr(fitted.directions + 0.05 * torch.randn(48, 3, generator=torch.Generator().manual_seed(2)))[
        0
    ]
    assert loss(turned, fitted.variances) > best


def test_directions_that_tell_less_than_the_noise_are_left_out(images):
    fitted = fit_linear(images, MEAN, STD, 47)
    assert 5 <= len(fitted.variances) < 20
    assert (fitted.variances > 1).all()


def test_the_covariance_need_not_be_written_out(images, monkeypatch):
    whole = fit_linear(images, MEAN, STD, 5)
    monkeypatch.setattr("mixlens.vae.linear.DENSE", 47)
    applied = fit_linear(images, MEAN, STD, 5)
    assert torch.allclose(applied.variances, whole.variances, rtol=1e-5)
    alike = (applied.directions * whole.directions).sum(0).abs()
    assert torch.allclose(alike, torch.ones(5, dtype=torch.float64), atol=1e-6)


def test_the_chunk_size_does_not_matter(images, monkeypatch):
    whole = fit_linear(images, MEAN, STD, 5)
    monkeypatch.setattr("mixlens.vae.linear.CHUNK", 7)
    parts = fit_linear(images, MEAN, STD, 5)
    assert CHUNK > 300
    assert torch.allclose(parts.variances, whole.variances, rtol=1e-5)
