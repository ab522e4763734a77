import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from mixlens.vae.model import LOG_SCALE_BOUND, VAE, negative_elbo


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model(latents=4, seed=0):
    made = VAE(latents)
    made.initialise(generator(seed))
    return made


def images(count=3, seed=1):
    return torch.randn(count, 3, 32, 32, generator=generator(seed))


@pytest.mark.parametrize("latents", [1, 4, 64])
def test_shapes_and_dtypes(latents):
    vae = model(latents).eval()
    mean, log_scale = vae.encode(images())
    assert mean.shape == log_scale.shape == (3, latents)
    assert vae.decode(mean).shape == (3, 3, 32, 32)
    reconstruction, mean, log_scale = vae(images(), torch.zeros(3, latents))
    assert reconstruction.shape == (3, 3, 32, 32)


def test_float32_comes_out_under_autocast():
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs = model()(images(), torch.zeros(3, 4))
    assert all(output.dtype == torch.float32 for output in outputs)


def test_the_published_architecture():
    vae = VAE()
    downs = [layer for layer in vae.encoder if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in downs] == [32, 32, 64, 64]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (2, 2) for layer in downs)
    ups = [layer for layer in vae.decoder if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in ups] == [64, 32, 32, 3]
    assert all(layer.kernel_size == (4, 4) and layer.stride == (1, 1) for layer in ups)
    assert all(layer.mode == "bilinear" for layer in vae.decoder if isinstance(layer, nn.Upsample))
    assert vae.mean.in_features == 256
    assert vae.mean.out_features == vae.log_scale.out_features == 64
    assert [layer.out_features for layer in vae.decoder if isinstance(layer, nn.Linear)] == [256, 64 * 2 * 2]


def test_the_posterior_starts_at_the_prior():
    mean, log_scale = model().encode(images())
    assert torch.count_nonzero(mean) == torch.count_nonzero(log_scale) == 0
    _, rate = negative_elbo(images(), images(), mean, log_scale)
    assert rate.tolist() == [0, 0, 0]


def test_all_weights_come_from_the_generator():
    torch.manual_seed(0)
    first = model(seed=3).state_dict()
    torch.manual_seed(1)
    second, other = model(seed=3).state_dict(), model(seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    drawn = [name for name in first if first[name].ndim > 1 and not name.startswith(("mean", "log_scale"))]
    assert drawn
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


def test_xavier_convolutions():
    weight = model().encoder[3].weight  # 32 → 32
    assert weight.std().item() == pytest.approx(math.sqrt(2 / (16 * 64)), rel=0.05)
    assert torch.count_nonzero(model().encoder[3].bias) == 0


@pytest.mark.parametrize("raw", [-1e9, -100.0, 100.0, 1e9])
def test_the_log_scale_is_bounded_and_stays_finite(raw):
    vae = model()
    with torch.no_grad():
        vae.log_scale.bias.fill_(raw)
    reconstruction, _, log_scale = vae(images(), torch.ones(3, 4))
    assert log_scale.flatten().tolist() == pytest.approx([math.copysign(LOG_SCALE_BOUND, raw)] * 12)
    distortion, rate = negative_elbo(images(), reconstruction, torch.zeros_like(log_scale), log_scale)
    assert torch.isfinite(distortion + rate).all()
    (distortion + rate).mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in vae.parameters() if p.grad is not None)


def test_the_bound_is_smooth_and_hardly_felt_near_the_prior():
    vae = model()
    with torch.no_grad():
        vae.log_scale.bias.copy_(torch.tensor([-1.0, -0.5, 0.5, 1.0]))
    _, log_scale = vae.encode(images(1))
    expected = [LOG_SCALE_BOUND * math.tanh(raw / LOG_SCALE_BOUND) for raw in (-1.0, -0.5, 0.5, 1.0)]
    assert log_scale[0].tolist() == pytest.approx(expected)
    assert log_scale[0].tolist() == pytest.approx([-1.0, -0.5, 0.5, 1.0], abs=0.01)


def test_forward_reparameterises():
    vae = model().eval()
    with torch.no_grad():
        vae.mean.bias.fill_(0.3)
        vae.log_scale.bias.fill_(-1.0)
    noise = torch.randn(3, 4, generator=generator())
    reconstruction, *_ = vae(images(), noise)
    scale = math.exp(LOG_SCALE_BOUND * math.tanh(-1 / LOG_SCALE_BOUND))
    assert torch.allclose(reconstruction, vae.decode(0.3 + scale * noise), atol=1e-5)


def test_negative_elbo_matches_torch_distributions():
    x, reconstruction = images(5), images(5, seed=2)
    mean, log_scale = (torch.randn(5, 7, generator=generator(seed)) for seed in (3, 4))
    distortion, rate = negative_elbo(x, reconstruction, mean, log_scale)
    assert distortion.shape == rate.shape == (5,)
    expected = -Normal(reconstruction, 1.0).log_prob(x).sum((1, 2, 3))
    assert torch.allclose(distortion, expected, rtol=1e-5)
    posterior = Normal(mean, log_scale.exp())
    assert torch.allclose(rate, kl_divergence(posterior, Normal(0.0, 1.0)).sum(1), rtol=1e-5)


def test_a_perfect_reconstruction_costs_only_the_normalisation():
    distortion, _ = negative_elbo(images(), images(), torch.zeros(3, 4), torch.zeros(3, 4))
    assert distortion.tolist() == pytest.approx([3072 / 2 * math.log(2 * math.pi)] * 3)
