import math

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import GaussianWorld, rate, rate_gaussian
from mixlens.analysis.information.rate_gaussian import moments


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=40, d=4, seed=0):
    """Correlated means far from zero, scales that differ by image."""
    mean, log_scale = torch.randn(2, n, d, generator=generator(seed), dtype=torch.float64)
    mix = torch.randn(d, d, generator=generator(99), dtype=torch.float64)
    return mean @ mix + 3, 0.5 * log_scale - 1


def of_world(world, n, seed):
    return world.encoder_a(world.sample(n, generator=generator(seed)).x)


def mixture_moments(mean, log_scale):
    """By the law of total variance, one encoding at a time."""
    centre = sum(mean) / len(mean)
    within = sum(torch.diag((2 * row).exp()) for row in log_scale) / len(mean)
    between = sum(torch.outer(row - centre, row - centre) for row in mean) / len(mean)
    return centre, within + between


def excess(world, m, c):
    """D(q(z) ‖ N(m, C)) of a world, exactly."""
    encoder = world.encoder_a
    marginal = MultivariateNormal(encoder.offset, encoder.covariance(world.covariance))
    return kl_divergence(marginal, MultivariateNormal(m, c)).item()


def test_against_torch_distributions():
    mean, log_scale = encodings()
    fit = encodings(25, seed=1)
    marginal = MultivariateNormal(*mixture_moments(*fit))
    expected = torch.stack(
        [
            kl_divergence(MultivariateNormal(m, torch.diag((2 * s).exp())), marginal)
            for m, s in zip(mean, log_scale, strict=True)
        ]
    )
    estimate = rate_gaussian(mean, log_scale, fit=fit)
    assert torch.allclose(estimate.samples, expected, rtol=0, atol=1e-10)
    assert estimate.value == pytest.approx(expected.mean().item(), abs=1e-10)
    assert estimate.stderr == pytest.approx(expected.std().item() / math.sqrt(40), rel=1e-10)
    assert (estimate.bound, estimate.unit, estimate.n, estimate.ceiling) == ("upper", "nats", 40, None)


def test_moments_are_those_of_draws():
    fit = encodings(50)
    centre, covariance = moments(*fit)
    draws = (fit[0] + fit[1].exp() * torch.randn(20_000, 50, 4, generator=generator(), dtype=torch.float64)).flatten(
        0, 1
    )
    assert torch.allclose(centre, draws.mean(0), atol=0.01)
    assert torch.allclose(covariance, draws.T.cov(), atol=0.03)


def test_the_moments_give_the_least_rate_of_all_gaussians():
    mean, log_scale = encodings(60)
    centre, covariance = mixture_moments(mean, log_scale)

    def mean_rate(m, c):
        of_each = MultivariateNormal(mean, torch.diag_embed((2 * log_scale).exp()))
        return kl_divergence(of_each, MultivariateNormal(m, c)).mean().item()

    best = rate_gaussian(mean[:30], log_scale[:30], fit=(mean[30:], log_scale[30:]))
    assert best.value > 0
    own = mean_rate(*moments(mean, log_scale))
    assert own == pytest.approx(mean_rate(centre, covariance), abs=1e-10)
    for seed in range(10):
        shift = 0.05 * torch.randn(4, generator=generator(seed), dtype=torch.float64)
        tilt = torch.eye(4) + 0.05 * torch.randn(4, 4, generator=generator(seed), dtype=torch.float64)
        assert mean_rate(centre + shift, covariance) > own
        assert mean_rate(centre, tilt @ covariance @ tilt.T) > own


@pytest.mark.parametrize(("nats", "d"), [(0.5, 1), (4, 3), (12, 8), (78, 32)])
def test_a_large_fit_gives_the_information(nats, d):
    world, size = GaussianWorld.with_information(nats, d, offset=2.0, stretch=3.0), 30_000
    estimate = rate_gaussian(*of_world(world, 10_000, 0), fit=of_world(world, size, 1))
    truth = world.information()
    assert truth - 4 * estimate.stderr < estimate.value < truth + 4 * estimate.stderr + d * (d + 3) / (4 * size)
    assert estimate.stderr < 0.01 * world.gap(), "or the test shows nothing"


@pytest.mark.parametrize("d", [1, 4, 10])
def test_what_a_small_fit_costs(d):
    """d (d + 3) / 4M, where the noise is small; the exact excess, over fits."""
    world, size = GaussianWorld.with_information(6 * d, d), 400
    costs = torch.tensor([excess(world, *moments(*of_world(world, size, seed))) for seed in range(200)])
    expected = d * (d + 3) / (4 * size)
    assert costs.min() > 0
    assert abs(costs.mean() - expected) < 4 * costs.std() / math.sqrt(200) + 0.05 * expected


def test_any_fit_bounds_from_above():
    """The expectation over the evaluated encodings, given a fit, is I + D(q(z) ‖ fit)."""
    world = GaussianWorld.with_information(3, 3)
    wrong = encodings(20, 3, seed=5)
    estimate = rate_gaussian(*of_world(world, 5000, 0), fit=wrong)
    expected = world.information() + excess(world, *mixture_moments(*wrong))
    assert abs(estimate.value - expected) < 4 * estimate.stderr
    assert estimate.value > world.information()


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
def test_affine_maps_of_the_latents_change_nothing(size):
    (mean, log_scale), fit = encodings(), encodings(30, seed=1)
    factor = size * torch.tensor([-3.0, 0.01, 500.0, 1.0]).double()
    shift = size * torch.tensor([7.0, -1.0, 0.0, 100.0]).double()

    def mapped(m, s):
        return m * factor + shift, s + factor.abs().log()

    base = rate_gaussian(mean, log_scale, fit=fit)
    other = rate_gaussian(*mapped(mean, log_scale), fit=mapped(*fit))
    assert torch.allclose(other.samples, base.samples, rtol=0, atol=1e-8)
    assert other.stderr == pytest.approx(base.stderr, abs=1e-8)
    assert abs(rate(*mapped(mean, log_scale)).value - rate(mean, log_scale).value) > 1


def test_rotations_of_encodings_with_one_scale_change_nothing():
    """Maps that keep the encoder diagonal: with one scale in all coordinates, orthogonal ones are among them."""
    (mean, log_scale), fit = encodings(), encodings(30, seed=1)
    log_scale, fit = log_scale[:, :1].expand(-1, 4), (fit[0], fit[1][:, :1].expand(-1, 4))
    turn = torch.linalg.qr(torch.randn(4, 4, generator=generator(), dtype=torch.float64))[0]
    base = rate_gaussian(mean, log_scale, fit=fit)
    turned = rate_gaussian(mean @ turn, log_scale, fit=(fit[0] @ turn, fit[1]))
    assert torch.allclose(turned.samples, base.samples, rtol=0, atol=1e-8)


@pytest.mark.parametrize("shared", [1, 7, 40])
def test_an_overlap_is_refused(shared):
    (mean, log_scale), fit = encodings(), encodings(60, seed=1)
    fit = tuple(torch.cat([theirs, ours[:shared]]) for ours, theirs in zip((mean, log_scale), fit, strict=True))
    with pytest.raises(InputError, match=f"{shared} of 40 evaluated encodings are also in the fit set"):
        rate_gaussian(mean, log_scale, fit=fit)


def test_an_overlap_is_found_in_single_precision():
    mean, log_scale = (values.float() for values in encodings())
    with pytest.raises(InputError, match="40 of 40"):
        rate_gaussian(mean, log_scale, fit=(mean.double().flip(0), log_scale.double().flip(0)))


def test_the_same_means_with_other_scales_are_no_overlap():
    mean, log_scale = encodings()
    assert rate_gaussian(mean, log_scale, fit=(mean, log_scale + 0.1)).n == 40


def test_a_collapsed_posterior_has_no_rate():
    estimate = rate_gaussian(torch.zeros(10, 3), torch.zeros(10, 3), fit=(torch.zeros(20, 3), torch.zeros(20, 3)))
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert estimate.stderr == pytest.approx(0, abs=1e-12)


def test_a_posterior_collapsed_to_elsewhere_has_no_rate_either():
    ours, theirs = torch.full((10, 3), 5.0), torch.full((20, 3), 5.0)
    estimate = rate_gaussian(ours, ours / 10, fit=(theirs, theirs / 10))
    assert estimate.value == pytest.approx(0, abs=1e-12)
    assert rate(ours, ours / 10).value > 10


def test_single_precision_is_computed_in_double():
    (mean, log_scale), fit = encodings(), encodings(30, seed=1)
    single = rate_gaussian(mean.float(), log_scale.float(), fit=(fit[0].float(), fit[1].float()))
    assert single.samples.dtype == torch.float64
    assert single.value == pytest.approx(rate_gaussian(mean, log_scale, fit=fit).value, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m, s: (m[:, :2], s), r"fit mean and fit log_scale must both be \(N, d\)"),
        (lambda m, s: (m[:2], s[:2]), "at least 3 encodings, got 2"),
        (lambda m, s: (m.log(), s), "fit mean holds .* NaN"),
        (lambda m, s: (m, s / 0), "fit log_scale holds .* infinite"),
        (lambda m, s: (m.long(), s), "fit mean must hold floating-point numbers"),
        (lambda m, s: (m.numpy(), s), "fit mean must be a torch tensor"),
        (lambda m, s: (m, s + 400), "fit log_scale reaches"),
    ],
)
def test_a_bad_fit_is_refused(change, message):
    (mean, log_scale), (m, s) = encodings(), encodings(30, seed=1)
    with pytest.raises(InputError, match=message):
        rate_gaussian(mean, log_scale, fit=change(m, s))


def test_a_fit_of_other_dimensions_is_refused():
    with pytest.raises(InputError, match="fit"):
        rate_gaussian(*encodings(d=4), fit=encodings(30, 3, seed=1))


def test_a_fit_too_small_for_a_covariance_is_refused():
    """Three encodings span two of four dimensions; the scales are too small to fill the others."""
    mean, log_scale = encodings(3, seed=1)
    with pytest.raises(InputError, match="fit"):
        rate_gaussian(*encodings(), fit=(mean, log_scale - 40))
