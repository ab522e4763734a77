import math

import pytest
import torch
from torch.distributions import Normal

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import GaussianWorld, index_code, infonce, sandwich


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=30, d=3, seed=0):
    mean, log_scale, noise = torch.randn(3, n, d, generator=generator(seed), dtype=torch.float64)
    log_scale = 0.4 * log_scale - 0.2
    return mean, log_scale, mean + log_scale.exp() * noise


def test_index_code_is_bayes_rule():
    """log N p(i|z_i), where p(j|z) is the posterior of the index under a uniform prior."""
    mean, log_scale, z = encodings()
    terms = []
    for i in range(30):
        q = torch.stack([Normal(mean[j], log_scale[j].exp()).log_prob(z[i]).sum() for j in range(30)])
        terms.append(math.log(30) + q.log_softmax(0)[i])
    estimate = index_code(mean, log_scale, z)
    assert torch.allclose(estimate.samples, torch.stack(terms), rtol=0, atol=1e-10)
    assert estimate.ceiling == pytest.approx(math.log(30))
    assert (estimate.bound, estimate.unit) == ("lower", "nats")


def test_index_code_is_infonce_among_all():
    encoded = encodings()
    assert index_code(*encoded) == infonce(*encoded, k=30)
    assert index_code(*encoded) == sandwich(*encoded).lower
    assert infonce(*encoded, k=10) == sandwich(*encoded, k=10).lower
    drawn = infonce(*encoded[:2], k=10, generator=generator(1))
    assert drawn == sandwich(*encoded[:2], k=10, generator=generator(1)).lower


def test_the_information_about_the_index_by_quadrature():
    """In one dimension the index code's expectation over latents is an integral: h(mixture) − mean h(component)."""
    mean, log_scale, _ = encodings(5, 1)
    grid = torch.linspace(-15, 15, 60_001, dtype=torch.float64)
    each = Normal(mean.T, log_scale.exp().T).log_prob(grid[:, None])
    mixture = each.logsumexp(1) - math.log(5)
    exact = torch.trapezoid((each.exp() * (each - mixture[:, None])).mean(1), grid).item()
    repeats = torch.tensor([index_code(mean, log_scale, generator=generator(seed)).value for seed in range(2000)])
    assert abs(repeats.mean().item() - exact) < 4 * repeats.std().item() / math.sqrt(2000)


def test_images_all_alike_or_all_apart():
    mean = torch.arange(20.0).unsqueeze(1)
    assert index_code(mean, torch.full_like(mean, -5), generator=generator()).value == pytest.approx(math.log(20))
    alike = index_code(mean * 0, torch.zeros_like(mean), generator=generator())
    assert alike.value == pytest.approx(0, abs=1e-9)


def test_pairs_of_twins_halve_the_index():
    """Of 2N images that are N pairs of twins, the latent tells the pair: log N."""
    mean = (100 * torch.arange(15.0)).repeat_interleave(2).unsqueeze(1)
    estimate = index_code(mean, torch.zeros_like(mean), generator=generator())
    assert estimate.samples.tolist() == pytest.approx([math.log(15)] * 30, abs=1e-9)


@pytest.mark.parametrize("nats", [0.5, 2])
def test_the_error_is_that_of_leaving_each_image_out(nats):
    world = GaussianWorld.with_information(nats, 4)
    sample = world.sample(200, generator=generator())
    encoded = (*world.encoder_a(sample.x), sample.z_a)
    kept = [[j for j in range(200) if j != i] for i in range(200)]
    values = torch.tensor([index_code(*(v[rest] for v in encoded)).value for rest in kept], dtype=torch.float64)
    jackknife = math.sqrt(199 / 200 * (values - values.mean()).square().sum().item())
    assert index_code(*encoded).stderr == pytest.approx(jackknife, rel=0.1)


def test_more_to_tell_apart_say_more():
    world = GaussianWorld.with_information(6, 6)
    sample = world.sample(2000, generator=generator())
    encoded = (*world.encoder_a(sample.x), sample.z_a)
    values = [infonce(*encoded, k=k).value for k in (2, 20, 200, 2000)]
    assert values == sorted(values)
    assert values[0] < math.log(2) < values[-1] < 6


@pytest.mark.parametrize("k", [1, 31, 0])
def test_k_out_of_range_is_refused(k):
    with pytest.raises(InputError, match="k is how many samples are told apart"):
        infonce(*encodings(), k=k)
