import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from mixlens.analysis.data.loader import normalise
from mixlens.analysis.errors import InputError
from mixlens.analysis.information.encodings import Encoding
from mixlens.analysis.information.rate import rate, rate_per_sample
from mixlens.analysis.information.world import GaussianWorld
from mixlens.analysis.statistics.uncertainty import from_independent
from mixlens.analysis.training.backend import make_backend
from mixlens.vae import measures
from mixlens.vae.measures import (
    Chain,
    encode_all,
    encode_chain,
    information,
    mean_squared_error,
    negative_elbo,
    others_than,
    reencode,
)
from mixlens.vae.model import VAE

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)
BACKEND = make_backend("cpu", "fp32")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(seed):
    """Random weights and batch statistics, with heads that say something."""
    model = BACKEND.prepare(VAE(4))
    model.initialise(generator(seed))
    with torch.no_grad():
        for head in (model.mean, model.log_scale):
            head.weight.normal_(0, 0.1, generator=generator(seed + 1))
    return model.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def vae():
    return network(1)


@pytest.fixture(scope="module")
def other():
    return network(5)


@pytest.fixture(scope="module")
def images():
    return torch.randint(256, (40, 3, 32, 32), dtype=torch.uint8, generator=generator(3))


def code(vae, images, seed=0):
    return encode_all(vae, images, MEAN, STD, BACKEND, generator=generator(seed))


# the rate


def test_rate_matches_torch_distributions():
    mean, log_scale = (torch.randn(50, 6, generator=generator(seed), dtype=torch.float64) for seed in (0, 1))
    expected = kl_divergence(Normal(mean, log_scale.exp()), Normal(0.0, 1.0)).sum(1)
    assert torch.allclose(rate_per_sample(mean, log_scale), expected, rtol=1e-12)
    estimate = rate(mean.float(), log_scale.float())
    assert estimate.value == pytest.approx(expected.mean().item(), rel=1e-6)
    assert (estimate.bound, estimate.unit, estimate.n) == ("upper", "nats", 50)


def test_rate_closed_forms():
    zero = torch.zeros(2, 3)
    assert rate_per_sample(zero, zero).tolist() == [0, 0]
    assert rate_per_sample(zero + 2, zero).tolist() == [6, 6]
    assert rate_per_sample(zero, zero + math.log(2)).tolist() == pytest.approx([1.5 * (3 - math.log(4))] * 2)


def test_rate_is_exact_near_the_prior():
    tiny = torch.full((1, 1), 1e-4, dtype=torch.double)  # as `rate` computes it
    assert rate_per_sample(torch.zeros_like(tiny), tiny).item() == pytest.approx(1e-8, rel=1e-3), (
        "σ² − 1 − log σ² ≈ 2(log σ)²"
    )


def test_the_standard_error_closed_form():
    estimate = from_independent(torch.tensor([1.0, 2.0, 3.0, 6.0]), "none")
    assert estimate.value == 3
    assert estimate.stderr == pytest.approx(math.sqrt(14 / 3) / 2)
    assert (estimate.n, estimate.bound) == (4, "none")
    assert from_independent(torch.full((9,), 2.5), "upper").stderr == 0


def test_one_sample_has_no_standard_error():
    with pytest.raises(InputError, match="at least 2 samples, got 1"):
        from_independent(torch.ones(1), "none")


@pytest.mark.parametrize(("mean", "log_scale"), [((3, 2), (3, 3)), ((3,), (3,)), ((2, 3, 4), (2, 3, 4))])
def test_rate_of_other_shapes_is_refused(mean, log_scale):
    with pytest.raises(InputError, match=r"must both be \(N, d\)"):
        rate_per_sample(torch.zeros(mean), torch.zeros(log_scale))


# encoding


def test_encode_all_is_one_latent_draw_through_the_network(vae, images):
    coded = code(vae, images)
    x = normalise(images, MEAN, STD)
    assert torch.equal(coded.x, x)
    mean, log_scale = vae.encode(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(coded.mean, mean, atol=1e-5)
    assert torch.allclose(coded.log_scale, log_scale, atol=1e-5)
    noise = torch.randn(mean.shape, generator=generator())
    assert torch.allclose(coded.reconstruction, vae.decode(mean + log_scale.exp() * noise), atol=1e-4)
    assert coded.rate.shape == (40,)
    assert torch.equal(coded.rate, rate_per_sample(coded.mean, coded.log_scale))
    assert not coded.reconstruction.requires_grad


def test_draws_come_from_the_generator(vae, images):
    first, same, other = code(vae, images), code(vae, images), code(vae, images, seed=1)
    assert torch.equal(first.reconstruction, same.reconstruction)
    assert not torch.allclose(first.reconstruction, other.reconstruction)
    assert torch.equal(first.rate, other.rate), "rates need no draw"


@pytest.mark.parametrize("chunk", [1, 7, 39, 40, 41])
def test_the_chunk_size_does_not_matter(vae, images, monkeypatch, chunk):
    whole = code(vae, images)
    again = reencode(vae, whole.reconstruction, BACKEND, generator=generator())
    monkeypatch.setattr(measures, "images_at_once", lambda device: chunk)
    assert torch.allclose(code(vae, images).rate, whole.rate, rtol=1e-4)
    parts = reencode(vae, whole.reconstruction, BACKEND, generator=generator())
    assert torch.allclose(parts.rate, again.rate, rtol=1e-4)
    assert parts.reconstruction.shape == whole.reconstruction.shape


def test_reencode_takes_normalised_images_as_they_are(vae, images):
    coded = code(vae, images)
    again = reencode(vae, coded.x, BACKEND, generator=generator())
    assert torch.equal(again.x, coded.x)
    assert torch.equal(again.rate, coded.rate)


def test_reencode_adds_noise_only_when_asked(vae, images):
    x = code(vae, images).x
    noisy = reencode(vae, x, BACKEND, generator=generator(), noise=0.1)
    assert (noisy.x - x).std().item() == pytest.approx(0.1, rel=0.02)
    assert (noisy.x - x).mean().item() == pytest.approx(0, abs=0.002)
    assert not torch.equal(noisy.rate, code(vae, images).rate)


def test_the_chain_is_both_networks_on_the_same_images(vae, other, images):
    chain = encode_chain(vae, other, images, MEAN, STD, BACKEND, generator=generator())
    own, real = code(vae, images), code(other, images)
    for latents, coded in ((chain.own, own), (chain.reference, real)):
        assert torch.allclose(latents.mean, coded.mean, atol=1e-5)
        assert torch.allclose(latents.log_scale, coded.log_scale, atol=1e-5)
        assert ((latents.z - latents.mean) / latents.log_scale.exp()).std().item() == pytest.approx(1, abs=0.2)
    again, _ = vae.encode(other.decode(chain.reference.z))
    assert torch.allclose(chain.again.mean, again, atol=1e-4), "Z′ is of the other's reconstruction, by the first"
    noise = [(link.z - link.mean) / link.log_scale.exp() for link in chain]
    assert not torch.allclose(noise[0], noise[1], atol=0.1), "no draw is shared"


def test_a_training_set_streams(vae, other, images, monkeypatch):
    whole = encode_chain(vae, other, images, MEAN, STD, BACKEND, generator=generator())
    monkeypatch.setattr(measures, "images_at_once", lambda device: 7)
    parts = encode_chain(vae, other, images, MEAN, STD, BACKEND, generator=generator())
    assert torch.allclose(parts.own.mean, whole.own.mean, atol=1e-5)
    assert parts.again.z.shape == whole.again.z.shape


def test_the_negative_elbo_is_rate_and_half_the_squared_error(vae, images):
    coded = code(vae, images)
    expected = coded.rate + mean_squared_error(coded.x, coded.reconstruction) * 3 * 32 * 32 / 2
    assert torch.allclose(negative_elbo(coded), expected, rtol=1e-5)


# informations


def gaussian_chain(world, n, seed):
    """A chain whose informations are known."""
    sample = world.sample(n, generator=generator(seed))
    own, reference = world.encoder_a(sample.x), world.encoder_x(sample.x)
    again = world.encoder_a(sample.reconstruction)
    return Chain(Encoding(*own, sample.z_a), Encoding(*reference, sample.z_x), Encoding(*again, sample.z_again))


@pytest.fixture(scope="module")
def known():
    world = GaussianWorld.with_information(3, 4, offset=0.3, stretch=1.4)
    test, fit = gaussian_chain(world, 1500, 0), gaussian_chain(world, 1500, 1)
    return world, information(test, fit, critic_steps=300, generator=generator())


def test_every_quantity_bounds_what_it_says(known):
    world, found = known
    truth = {
        "rate_gaussian": world.information(),
        "rate_mixture": world.information(),
        "infonce": world.information(),
        "leave_one_out": world.information(),
        "rate_gaussian_reconstruction": world.information_reencoded(),
        "marginal_gap_lower": world.gap(),
        "marginal_gap_upper": world.gap(),
        "latents_upper": world.information_shared(),
        "latents_canonical": world.information_shared(),
        "latents_infonce": world.information_shared(),
        "paired_canonical": world.information_paired(),
        "paired_infonce": world.information_paired(),
    }
    assert set(found) == set(truth)
    for name, estimate in found.items():
        error, slack = estimate.value - truth[name], 4 * estimate.stderr
        assert error > -slack or estimate.bound == "lower", name
        assert error < slack or estimate.bound == "upper", name
    tight = {"rate_gaussian", "rate_mixture", "infonce", "leave_one_out", "marginal_gap_lower", "marginal_gap_upper"}
    assert all(abs(found[name].value - truth[name]) < 0.2 for name in tight | {"latents_canonical"})
    assert found["paired_infonce"].value > 0.7 * world.information_paired()


def test_the_smaller_rate_is_that_of_the_poorer_encoder():
    rich, poor = (GaussianWorld.with_information(nats, 4, seed=2) for nats in (8, 2))
    world = GaussianWorld(rich.covariance, rich.encoder_a, poor.encoder_x, poor.decoder)
    chains = gaussian_chain(world, 500, 0), gaussian_chain(world, 500, 1)
    found = information(*chains, critic_steps=1, generator=generator())
    assert found["latents_upper"].value == pytest.approx(2, abs=0.3)
    assert found["rate_mixture"].value > 6
    world = GaussianWorld(rich.covariance, poor.encoder_a, rich.encoder_x, rich.decoder)
    chains = gaussian_chain(world, 500, 0), gaussian_chain(world, 500, 1)
    found = information(*chains, critic_steps=1, generator=generator())
    assert found["latents_upper"] is found["rate_mixture"], "nothing is fitted twice"
    assert found["latents_upper"].value == pytest.approx(2, abs=0.3)


def test_images_of_the_test_set_are_left_out_of_the_fit(images):
    fit = torch.cat([images[:3], 255 - images[:5], images[7:9]])
    assert torch.equal(others_than(fit, images), 255 - images[:5])
    assert torch.equal(others_than(fit, 255 - images[10:]), fit)


def test_a_dead_latent_leaves_the_other_estimates():
    world = GaussianWorld.with_information(3, 4)
    test, fit = gaussian_chain(world, 200, 0), gaussian_chain(world, 200, 1)
    test.again.mean[:, 2] = 0.5
    found = information(test, fit, critic_steps=1, generator=generator())
    assert "paired_canonical" not in found
    assert {"rate_gaussian", "latents_canonical", "latents_infonce", "paired_infonce"} < set(found)


def test_too_few_images_leave_estimates_out():
    world = GaussianWorld.with_information(3, 4)
    found = information(
        gaussian_chain(world, 9, 0), gaussian_chain(world, 30, 1), critic_steps=1, generator=generator()
    )
    assert not {"latents_canonical", "paired_canonical", "latents_infonce", "paired_infonce"} & set(found)
    assert {"rate_gaussian", "infonce", "latents_upper"} < set(found)


def test_training_mode_is_refused(vae, images):
    vae.train()
    try:
        with pytest.raises(InputError, match="eval mode"):
            code(vae, images)
        with pytest.raises(InputError, match="eval mode"):
            reencode(vae, normalise(images, MEAN, STD), BACKEND, generator=generator())
    finally:
        vae.eval()


def test_measuring_leaves_the_network_and_the_images_alone(vae, images):
    state = {name: value.clone() for name, value in vae.state_dict().items()}
    before = images.clone()
    code(vae, images)
    assert all(torch.equal(value, state[name]) for name, value in vae.state_dict().items())
    assert torch.equal(images, before)


def test_mean_squared_error_per_image():
    x = torch.zeros(2, 3, 4, 4)
    other = torch.stack([torch.full((3, 4, 4), 2.0), torch.cat([torch.ones(1, 4, 4), torch.zeros(2, 4, 4)])])
    assert mean_squared_error(x, other).tolist() == pytest.approx([4, 1 / 3])
    assert mean_squared_error(other, x).tolist() == pytest.approx([4, 1 / 3])
