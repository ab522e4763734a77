"""Directions, biases and coverage of the estimators of Gaussian encodings, over seeds, against known informations."""

import math
from functools import cache

import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from mixlens.analysis.information import GaussianWorld, rate, rate_defensive, rate_gaussian, sandwich
from mixlens.analysis.information.rate_gaussian import moments

N, SEEDS, REFERENCE_SEEDS = 300, 200, 800
DIRECTIONS = {
    "rate": "upper",
    "rate_gaussian": "upper",
    "rate_defensive": "upper",
    "leave_one_out": "upper",
    "leave_one_out_blocks": "upper",
    "infonce_blocks": "lower",
    "index_code": "lower",
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def of_world(world, n, seed):
    sample = world.sample(n, generator=generator(seed))
    return *world.encoder_a(sample.x), sample.z_a


def of_mixed_scales(n, seed):
    """An encoder whose scales differ by image, and a marginal that is neither Gaussian nor the prior."""
    mean, log_scale, noise = torch.randn(3, n, 4, generator=generator(seed), dtype=torch.float64)
    mean, log_scale = mean.abs() + 0.3 * mean, 0.4 * log_scale - 0.7
    return mean, log_scale, mean + log_scale.exp() * noise


def estimates(encoded, fit):
    blocks, everyone = sandwich(*encoded, k=30), sandwich(*encoded)
    return {
        "rate": rate(*encoded[:2]),
        "rate_gaussian": rate_gaussian(*encoded[:2], fit=fit[:2]),
        "rate_defensive": rate_defensive(*encoded),
        "leave_one_out": everyone.upper,
        "leave_one_out_blocks": blocks.upper,
        "infonce_blocks": blocks.lower,
        "index_code": everyone.lower,
    }


def over_seeds(found, name):
    """Mean over seeds and its standard error; two equal numbers differ by rounding."""
    values = torch.tensor([estimate[name].value for estimate in found], dtype=torch.float64)
    return values.mean().item(), values.std().item() / math.sqrt(len(values)) + 1e-12


# directions and biases

WORLDS = [(0, 1), (0, 16), (1, 1), (1, 8), (1, 64), (4, 2), (4, 16), (12, 4), (12, 32), (78, 8), (78, 64)]


@cache
def found_in_world(nats, d, offset=0.0, stretch=1.0):
    world = GaussianWorld.with_information(nats, d, offset=offset, stretch=stretch)
    fit = of_world(world, 2000, 10_000)
    return world, fit, [estimates(of_world(world, N, seed), fit) for seed in range(30)]


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize(("nats", "d"), WORLDS, ids=str)
def test_bounds_hold_in_expectation(nats, d, name):
    world, _, found = found_in_world(nats, d)
    mean, error = over_seeds(found, name)
    assert world.information() == pytest.approx(nats, rel=1e-9)
    assert found[0][name].bound == DIRECTIONS[name]
    if DIRECTIONS[name] == "upper":
        assert mean - nats >= -4 * error
    else:
        assert mean - nats <= 4 * error


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize(("offset", "stretch"), [(1.0, 1.0), (0.0, 2.5), (-0.5, 0.3)])
def test_bounds_hold_whatever_the_marginal(offset, stretch, name):
    _, _, found = found_in_world(4, 4, offset, stretch)
    mean, error = over_seeds(found, name)
    assert (mean - 4) * (1 if DIRECTIONS[name] == "upper" else -1) >= -4 * error


@pytest.mark.parametrize(("nats", "d"), WORLDS, ids=str)
def test_the_rate_has_no_bias(nats, d):
    world, _, found = found_in_world(nats, d)
    mean, error = over_seeds(found, "rate")
    assert abs(mean - world.rate()) < 4 * error


@pytest.mark.parametrize(("offset", "stretch"), [(1.0, 1.0), (0.0, 2.5), (-0.5, 0.3)])
def test_the_rate_has_no_bias_where_there_is_a_gap(offset, stretch):
    world, _, found = found_in_world(4, 4, offset, stretch)
    mean, error = over_seeds(found, "rate")
    assert abs(mean - world.rate()) < 4 * error
    assert world.gap() > 20 * error, "or the test shows nothing"


@pytest.mark.parametrize(("nats", "d"), WORLDS, ids=str)
def test_the_gaussian_rate_has_the_bias_of_its_fit(nats, d):
    """Exactly D(q(z) ‖ fit), given the fit; about d (d + 3) / 4M or less."""
    world, fit, found = found_in_world(nats, d)
    mean, error = over_seeds(found, "rate_gaussian")
    encoder = world.encoder_a
    marginal = MultivariateNormal(encoder.offset, encoder.covariance(world.covariance))
    bias = kl_divergence(marginal, MultivariateNormal(*moments(*fit[:2]))).item()
    assert abs(mean - nats - bias) < 4 * error
    assert -1e-9 <= bias < 2 * d * (d + 3) / (4 * 2000) + 1e-9, "one fit: about twice the expectation in one dimension"


@pytest.mark.parametrize(("nats", "d"), WORLDS, ids=str)
def test_the_defensive_rate_is_at_most_log_2_above_the_better(nats, d):
    found = found_in_world(nats, d)[2]
    mean, error = over_seeds(found, "rate_defensive")
    for name in ("rate", "leave_one_out"):
        other, other_error = over_seeds(found, name)
        assert mean <= other + math.log(2) + 4 * math.hypot(error, other_error)


@pytest.mark.parametrize(("nats", "d"), [(1, 1), (1, 8), (1, 64)], ids=str)
def test_few_nats_are_pinned_down(nats, d):
    """A hundred times exp(I) images: the two sides meet."""
    found = found_in_world(nats, d)[2]
    assert over_seeds(found, "index_code")[0] > nats - 0.3
    assert over_seeds(found, "leave_one_out")[0] < nats + 0.3


@pytest.mark.parametrize("name", ["leave_one_out", "infonce_blocks", "index_code"])
def test_saturation_follows_the_information(name):
    flagged = [any(found[name].saturated for found in found_in_world(nats, 8)[2]) for nats in (1, 78)]
    assert flagged == [False, True]
    assert all(found[name].saturated for found in found_in_world(78, 64)[2])


# coverage


@cache
def repeated(setting):
    """Estimates over seeds, and over others the means that they should cover."""
    if setting == "world":
        world = GaussianWorld.with_information(2, 4, offset=0.3, stretch=1.3)

        def encode(n, seed):
            return of_world(world, n, seed)
    else:
        encode = of_mixed_scales
    fit = encode(500, 10_000_000)
    found = [estimates(encode(N, seed), fit) for seed in range(SEEDS)]
    others = [estimates(encode(N, 1_000_000 + seed), fit) for seed in range(REFERENCE_SEEDS)]
    return found, {name: over_seeds(others, name)[0] for name in DIRECTIONS}


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("setting", ["world", pytest.param("mixed scales", marks=pytest.mark.slow)])
def test_the_interval_covers_the_expectation(setting, name):
    found, expected = repeated(setting)
    intervals = [estimate[name].interval for estimate in found if estimate[name].interval is not None]
    assert len(intervals) >= 0.95 * SEEDS, "intervals are withheld where they would be wrong, which is not here"
    covered = sum(interval.low <= expected[name] <= interval.high for interval in intervals) / len(intervals)
    assert 0.90 <= covered <= 0.99


@pytest.mark.parametrize("name", DIRECTIONS)
@pytest.mark.parametrize("setting", ["world", pytest.param("mixed scales", marks=pytest.mark.slow)])
def test_the_standard_error_is_the_spread_over_seeds(setting, name):
    found, _ = repeated(setting)
    spread = torch.tensor([estimate[name].value for estimate in found]).std().item()
    errors = [estimate[name].stderr for estimate in found if estimate[name].stderr is not None]
    mean_square = sum(error**2 for error in errors) / len(errors)
    assert math.sqrt(mean_square) == pytest.approx(spread, rel=0.2)
