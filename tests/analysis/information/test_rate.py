import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mixlens.analysis.information import GaussianWorld, rate
from mixlens.analysis.information.rate import rate_per_latent


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=40, d=5, seed=0):
    mean, log_scale = torch.randn(2, n, d, generator=generator(seed), dtype=torch.float64)
    return 2 * mean + 1, 0.5 * log_scale - 1


def test_against_torch_distributions():
    mean, log_scale = encodings()
    expected = kl_divergence(Normal(mean, log_scale.exp()), Normal(0.0, 1.0)).sum(1)
    estimate = rate(mean, log_scale)
    assert torch.allclose(estimate.samples, expected, rtol=0, atol=1e-10)
    assert estimate.value == pytest.approx(expected.mean().item(), abs=1e-10)
    assert estimate.stderr == pytest.approx(expected.std().item() / math.sqrt(40), rel=1e-10)
    assert (estimate.bound, estimate.unit, estimate.n, estimate.saturated) == ("upper", "nats", 40, False)


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (2.0, 1.0), (0.0, 3.0), (-1.5, 0.01)])
def test_closed_form(shift, scale):
    d = 7
    ones = torch.ones(4, d, dtype=torch.float64)
    estimate = rate(shift * ones, math.log(scale) * ones)
    assert estimate.value == pytest.approx(d * 0.5 * (shift**2 + scale**2 - 1 - math.log(scale**2)), abs=1e-10)
    assert estimate.stderr == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize(("offset", "stretch"), [(0.0, 1.0), (0.7, 1.0), (0.0, 1.8), (-0.5, 0.6)])
@pytest.mark.parametrize(("nats", "d"), [(1, 1), (4, 5), (78, 16)])
def test_the_rate_of_a_world_in_expectation(nats, d, offset, stretch):
    world = GaussianWorld.with_information(nats, d, offset=offset, stretch=stretch)
    estimate = rate(*world.encoder_a(world.sample(20_000, generator=generator()).x))
    assert abs(estimate.value - world.rate()) < 4 * estimate.stderr


def test_the_information_is_exceeded_by_the_gap():
    world = GaussianWorld.with_information(3, 4, offset=1.0, stretch=0.5)
    estimate = rate(*world.encoder_a(world.sample(20_000, generator=generator()).x))
    assert abs(estimate.value - world.information() - world.gap()) < 4 * estimate.stderr
    assert world.gap() > 20 * estimate.stderr, "or the test shows nothing"


def test_a_collapsed_posterior_has_no_rate():
    estimate = rate(torch.zeros(10, 3), torch.zeros(10, 3))
    assert (estimate.value, estimate.stderr) == (0, 0)


def test_depends_on_the_units_of_the_latents():
    mean, log_scale = encodings()
    base = rate(mean, log_scale).value
    assert abs(rate(2 * mean, log_scale + math.log(2)).value - base) > 1
    assert abs(rate(mean + 1, log_scale).value - base) > 1


def test_single_precision_is_computed_in_double():
    mean, log_scale = encodings()
    single = rate(mean.float(), log_scale.float())
    assert single.samples.dtype == torch.float64
    assert single == rate(mean.float().double(), log_scale.float().double())
    assert single.value == pytest.approx(rate(mean, log_scale).value, rel=1e-6)


def test_gradients_are_not_kept():
    mean, log_scale = encodings()
    assert not rate(mean.requires_grad_(), log_scale.requires_grad_()).samples.requires_grad


def test_rates_of_latents_add_up():
    mean, log_scale = encodings()
    by_latent = rate_per_latent(mean, log_scale)
    assert by_latent.shape == (mean.shape[1],)
    assert by_latent.sum().item() == pytest.approx(rate(mean, log_scale).value, rel=1e-12)
    for j, value in enumerate(by_latent.tolist()):
        assert value == pytest.approx(rate(mean[:, j : j + 1], log_scale[:, j : j + 1]).value, rel=1e-12)
    assert not rate_per_latent(torch.zeros(5, 3), torch.zeros(5, 3)).any()
