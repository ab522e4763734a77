import math

import pytest
import torch
from torch.distributions import Normal

from mixlens.analysis.information import GaussianWorld, leave_one_out, rate, rate_defensive
from mixlens.analysis.information.encodings import log_density, log_prior


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=30, d=3, seed=0, size=1.0):
    mean, log_scale, noise = torch.randn(3, n, d, generator=generator(seed), dtype=torch.float64)
    mean, log_scale = size * mean + 0.5, 0.4 * log_scale - 0.5
    return mean, log_scale, mean + log_scale.exp() * noise


def of_world(world, n, seed):
    sample = world.sample(n, generator=generator(seed))
    return *world.encoder_a(sample.x), sample.z_a


@pytest.mark.parametrize("d", [1, 3, 10])
@pytest.mark.parametrize("n", [3, 30])
def test_against_loops(n, d):
    mean, log_scale, z = encodings(n, d)
    terms = []
    for i in range(n):
        q = [Normal(mean[j], log_scale[j].exp()).log_prob(z[i]).sum() for j in range(n)]
        others = sum(q[j].exp() for j in range(n) if j != i) / (n - 1)
        prior = Normal(0.0, 1.0).log_prob(z[i]).sum().exp()
        terms.append(q[i] - (0.5 * prior + 0.5 * others).log())
    estimate = rate_defensive(mean, log_scale, z)
    assert torch.allclose(estimate.samples, torch.stack(terms), rtol=0, atol=1e-10)
    assert estimate.value == pytest.approx(torch.stack(terms).mean().item(), abs=1e-10)
    assert (estimate.bound, estimate.unit, estimate.n, estimate.ceiling) == ("upper", "nats", n, None)


@pytest.mark.parametrize("size", [0.1, 1.0, 5.0, 100.0])
def test_never_far_above_the_better_of_the_two(size):
    mean, log_scale, z = encodings(size=size)
    sampled_rate = log_density(z, mean, log_scale) - log_prior(z)
    better = torch.minimum(sampled_rate, leave_one_out(mean, log_scale, z).samples)
    terms = rate_defensive(mean, log_scale, z).samples
    assert (terms <= better + math.log(2) + 1e-10).all()
    assert (terms >= better - 1e-10).all()


@pytest.mark.parametrize("d", [16, 64])
def test_is_about_the_rate_where_images_are_too_few(d):
    encoded = of_world(GaussianWorld.with_information(78, d), 300, 0)
    estimate = rate_defensive(*encoded)
    assert estimate.value == pytest.approx(rate(*encoded[:2]).value + math.log(2), abs=4 * estimate.stderr)
    assert leave_one_out(*encoded).value > 90
    assert not estimate.saturated


def test_is_about_leave_one_out_where_the_prior_is_far():
    encoded = of_world(GaussianWorld.with_information(1, 2, offset=20.0), 300, 0)
    expected = leave_one_out(*encoded)
    estimate = rate_defensive(*encoded)
    assert torch.allclose(estimate.samples, expected.samples + math.log(2), rtol=0, atol=1e-9)
    assert estimate.stderr == pytest.approx(expected.stderr, rel=1e-9)


@pytest.mark.parametrize("nats", [0.5, 2])
def test_the_error_is_that_of_leaving_each_image_out(nats):
    encoded = of_world(GaussianWorld.with_information(nats, 4, offset=0.5), 200, 0)
    kept = [[j for j in range(200) if j != i] for i in range(200)]
    values = torch.tensor([rate_defensive(*(v[rest] for v in encoded)).value for rest in kept], dtype=torch.float64)
    jackknife = math.sqrt(199 / 200 * (values - values.mean()).square().sum().item())
    assert rate_defensive(*encoded).stderr == pytest.approx(jackknife, rel=0.1)


def test_influences_are_derivatives_by_the_weights_of_the_images():
    mean, log_scale, z = encodings()
    scores = torch.stack([log_density(z[i].expand(30, 3), mean, log_scale) for i in range(30)])
    weight = torch.ones(30, dtype=torch.float64, requires_grad=True)
    others = (weight * (1 - torch.eye(30)) * scores.exp()).sum(1) / 29
    (weight @ (scores.diagonal() - (others / 2 + log_prior(z).exp() / 2).log())).backward()
    expected = weight.grad - weight.grad.mean()
    assert torch.allclose(rate_defensive(mean, log_scale, z).influence, expected, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rows", [0, 1, 7, 10**6])
def test_chunks_do_not_matter(rows):
    encoded = encodings(40)
    whole, parts = rate_defensive(*encoded), rate_defensive(*encoded, memory=max(1, rows * 8 * 40))
    assert parts.value == pytest.approx(whole.value, abs=1e-10)
    assert parts.stderr == pytest.approx(whole.stderr, abs=1e-10)


def test_the_order_of_the_images_does_not_matter():
    encoded, order = encodings(40), torch.randperm(40, generator=generator())
    first, second = rate_defensive(*encoded), rate_defensive(*(values[order] for values in encoded))
    assert second.value == pytest.approx(first.value, abs=1e-10)
    assert second.stderr == pytest.approx(first.stderr, abs=1e-10)
    assert torch.allclose(second.influence, first.influence[order], rtol=0, atol=1e-10)


def test_depends_on_the_units_of_the_latents_but_not_on_their_signs():
    mean, log_scale, z = encodings()
    base = rate_defensive(mean, log_scale, z)
    sign = torch.tensor([-1.0, 1.0, -1.0])
    assert rate_defensive(sign * mean, log_scale, sign * z).value == pytest.approx(base.value, abs=1e-10)
    assert abs(rate_defensive(3 * mean, log_scale + math.log(3), 3 * z).value - base.value) > 0.1


def test_single_precision_is_computed_in_double():
    encoded = encodings(100)
    single = rate_defensive(*(values.float() for values in encoded))
    assert single.samples.dtype == torch.float64
    assert single.value == pytest.approx(rate_defensive(*encoded).value, abs=1e-5)


def test_a_collapsed_posterior_says_nothing():
    estimate = rate_defensive(torch.zeros(30, 4), torch.zeros(30, 4), generator=generator())
    assert estimate.value == pytest.approx(0, abs=1e-9)
    assert estimate.stderr == pytest.approx(0, abs=1e-9)


def test_nothing_is_clipped_at_zero():
    world = GaussianWorld.with_information(1e-3, 2)
    values = [rate_defensive(*of_world(world, 100, seed)).value for seed in range(40)]
    assert min(values) < -1e-4 < 1e-4 < max(values)


@pytest.mark.gpu
@pytest.mark.gpu
def test_devices_agree():
    encoded = encodings(500, 8)
    on_cpu, on_gpu = rate_defensive(*encoded), rate_defensive(*(values.cuda() for values in encoded))
    assert on_gpu.value == pytest.approx(on_cpu.value, abs=1e-9)
    assert on_gpu.stderr == pytest.approx(on_cpu.stderr, abs=1e-9)
