import math

import pytest
import torch
from torch.distributions import Independent, MixtureSameFamily, Normal

from mixlens.analysis.information import GaussianWorld, leave_one_out, rate, sandwich


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=30, d=3, seed=0):
    mean, log_scale, noise = torch.randn(3, n, d, generator=generator(seed), dtype=torch.float64)
    log_scale = 0.4 * log_scale - 0.5
    return mean, log_scale, mean + log_scale.exp() * noise


def test_against_mixtures_of_torch_distributions():
    mean, log_scale, z = encodings()
    terms = []
    for i in range(30):
        rest = [j for j in range(30) if j != i]
        weights = torch.distributions.Categorical(torch.ones(29, dtype=torch.float64))
        others = MixtureSameFamily(weights, Independent(Normal(mean[rest], log_scale[rest].exp()), 1))
        terms.append(Normal(mean[i], log_scale[i].exp()).log_prob(z[i]).sum() - others.log_prob(z[i]))
    estimate = leave_one_out(mean, log_scale, z)
    assert torch.allclose(estimate.samples, torch.stack(terms), rtol=0, atol=1e-10)
    assert (estimate.bound, estimate.unit, estimate.ceiling) == ("upper", "nats", None)


@pytest.mark.parametrize("k", [None, 10])
def test_is_the_upper_side_of_the_sandwich(k):
    encoded = encodings()
    assert leave_one_out(*encoded, k=k) == sandwich(*encoded, k=k).upper
    assert leave_one_out(*encoded[:2], k=k, generator=generator()) == (
        sandwich(*encoded[:2], k=k, generator=generator()).upper
    )


def test_two_encodings_apart_in_closed_form(monkeypatch):
    """Blocks of two at distance Δ: LOO_i = [(z − μ_other)² − (z − μ_own)²] / 2σ²; at z = μ, which no draw is."""
    monkeypatch.setattr("mixlens.analysis.information.encodings.check_draws", lambda *checked: None)
    mean = torch.tensor([[0.0], [3.0], [10.0], [11.0]], dtype=torch.float64)
    estimate = leave_one_out(mean, torch.full_like(mean, math.log(2)), mean, k=2)
    assert estimate.samples.tolist() == pytest.approx([9 / 8, 9 / 8, 1 / 8, 1 / 8], abs=1e-12)


@pytest.mark.parametrize("nats", [0.5, 2])
def test_the_error_is_that_of_leaving_each_image_out(nats):
    world = GaussianWorld.with_information(nats, 4)
    sample = world.sample(200, generator=generator())
    encoded = (*world.encoder_a(sample.x), sample.z_a)
    kept = [[j for j in range(200) if j != i] for i in range(200)]
    values = torch.tensor([leave_one_out(*(v[rest] for v in encoded)).value for rest in kept], dtype=torch.float64)
    jackknife = math.sqrt(199 / 200 * (values - values.mean()).square().sum().item())
    assert leave_one_out(*encoded).stderr == pytest.approx(jackknife, rel=0.1)


@pytest.mark.parametrize(("offset", "stretch"), [(0.0, 1.0), (2.0, 0.3)])
def test_many_images_give_the_information_whatever_the_marginal(offset, stretch):
    world = GaussianWorld.with_information(2, 3, offset=offset, stretch=stretch)
    sample = world.sample(4000, generator=generator())
    mean, log_scale = world.encoder_a(sample.x)
    estimate = leave_one_out(mean, log_scale, sample.z_a)
    assert abs(estimate.value - 2) < 4 * estimate.stderr + 0.02
    assert estimate.stderr < 0.05
    if offset:
        assert rate(mean, log_scale).value > 5


def test_a_heavy_tail_withholds_most_intervals_and_none_lies_below_the_truth():
    """Three nats in one dimension, 300 images: those that are given lie too low, but not below what they bound."""
    world = GaussianWorld.with_information(3, 1)

    def estimate(seed):
        sample = world.sample(300, generator=generator(seed))
        return leave_one_out(*world.encoder_a(sample.x), sample.z_a)

    given = [e.interval for e in map(estimate, range(200)) if e.interval is not None]
    assert len(given) < 60
    assert all(interval.high > 3 for interval in given)
