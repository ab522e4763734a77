import math

import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.information import GaussianWorld, index_code, marginal_gap, rate, rate_gaussian
from mixlens.analysis.information.marginal_gap import gap_between


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def encodings(n=40, d=3, seed=0):
    mean, log_scale, noise = torch.randn(3, n, d, generator=generator(seed), dtype=torch.float64)
    mean, log_scale = 1.5 * mean + 0.5, 0.4 * log_scale - 0.2
    return mean, log_scale, mean + log_scale.exp() * noise


def of_world(world, n, seed):
    sample = world.sample(n, generator=generator(seed))
    return *world.encoder_a(sample.x), sample.z_a


FIT = encodings(60, seed=9)[:2]


def test_is_two_differences():
    encoded = encodings()
    gap = marginal_gap(*encoded, fit=FIT)
    prior, fitted, code = rate(*encoded[:2]), rate_gaussian(*encoded[:2], fit=FIT), index_code(*encoded)
    for side, other, bound in ((gap.lower, fitted, "lower"), (gap.upper, code, "upper")):
        assert side.value == pytest.approx(prior.value - other.value, abs=1e-10)
        assert torch.allclose(side.samples, prior.samples - other.samples, rtol=0, atol=1e-10)
        paired = (prior.influence - other.influence).std().item() / math.sqrt(40)
        assert side.stderr == pytest.approx(paired, rel=1e-10)
        assert (side.bound, side.n, side.unit, side.saturated) == (bound, 40, "nats", False)
        assert side.interval.low < side.value < side.interval.high
    assert gap_between(prior, fitted, code) == gap


def test_the_upper_error_is_that_of_leaving_each_image_out():
    encoded = encodings(150)
    kept = [[j for j in range(150) if j != i] for i in range(150)]
    values = [marginal_gap(*(v[rest] for v in encoded), fit=FIT).upper.value for rest in kept]
    values = torch.tensor(values, dtype=torch.float64)
    jackknife = math.sqrt(149 / 150 * (values - values.mean()).square().sum().item())
    assert marginal_gap(*encoded, fit=FIT).upper.stderr == pytest.approx(jackknife, rel=0.1)


@pytest.mark.parametrize(
    ("offset", "stretch"),
    [(0.5, 1.0), *(pytest.param(*one, marks=pytest.mark.slow) for one in ((0.0, 1.0), (0.0, 2.0), (-1.0, 0.4)))],
)
@pytest.mark.parametrize(
    ("nats", "d"), [*(pytest.param(*world, marks=pytest.mark.slow) for world in ((0.5, 1), (2, 4))), (4, 8), (12, 8)]
)
def test_the_gap_lies_between(nats, d, offset, stretch):
    world = GaussianWorld.with_information(nats, d, offset=offset, stretch=stretch)
    gaps = [
        marginal_gap(*of_world(world, 200, seed), fit=of_world(world, 1000, 1000 + seed)[:2], generator=generator())
        for seed in range(20)
    ]
    for side, sign in ((0, 1), (1, -1)):
        values = torch.tensor([gap[side].value for gap in gaps], dtype=torch.float64)
        assert sign * (values.mean().item() - world.gap()) <= 4 * values.std().item() / math.sqrt(20)


def test_both_sides_are_close_where_images_are_many():
    world = GaussianWorld.with_information(1, 2, offset=1.0, stretch=0.5)
    gap = marginal_gap(*of_world(world, 4000, 0), fit=of_world(world, 4000, 1)[:2], generator=generator())
    assert gap.lower.value == pytest.approx(world.gap(), abs=0.05)
    assert gap.upper.value == pytest.approx(world.gap(), abs=0.1)
    assert gap.lower.stderr < 0.05


def test_a_prior_that_fits_has_no_gap():
    world = GaussianWorld.with_information(2, 3)
    assert world.gap() == pytest.approx(0, abs=1e-12)
    gap = marginal_gap(*of_world(world, 2000, 0), fit=of_world(world, 2000, 1)[:2], generator=generator())
    assert abs(gap.lower.value) < 4 * gap.lower.stderr + 3 * 6 / (4 * 2000)


def test_saturation_is_passed_on():
    world = GaussianWorld.with_information(78, 16)
    gap = marginal_gap(*of_world(world, 300, 0), fit=of_world(world, 1000, 1)[:2], generator=generator())
    assert (gap.upper.saturated, gap.upper.stderr, gap.upper.interval) == (True, None, None)
    assert gap.upper.value == pytest.approx(78 - math.log(300), abs=2)
    assert not gap.lower.saturated
    assert gap.lower.stderr > 0


def test_a_collapsed_posterior_has_no_gap():
    zero = torch.zeros(30, 4)
    for side in marginal_gap(zero, zero, generator=generator(), fit=(torch.zeros(50, 4), torch.zeros(50, 4))):
        assert side.value == pytest.approx(0, abs=1e-9)
        assert side.stderr == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("memory", [1, 8 * 40 * 7, 2**30])
def test_chunks_do_not_matter(memory):
    encoded = encodings()
    whole, parts = marginal_gap(*encoded, fit=FIT), marginal_gap(*encoded, fit=FIT, memory=memory)
    for a, b in zip(whole, parts, strict=True):
        assert b.value == pytest.approx(a.value, abs=1e-10)
        assert b.stderr == pytest.approx(a.stderr, abs=1e-10)


def test_the_order_of_the_images_does_not_matter():
    encoded, order = encodings(), torch.randperm(40, generator=generator())
    for a, b in zip(
        marginal_gap(*encoded, fit=FIT), marginal_gap(*(values[order] for values in encoded), fit=FIT), strict=True
    ):
        assert b.value == pytest.approx(a.value, abs=1e-10)
        assert b.stderr == pytest.approx(a.stderr, abs=1e-10)


def test_single_precision_is_computed_in_double():
    encoded = encodings()
    single = marginal_gap(*(values.float() for values in encoded), fit=tuple(values.float() for values in FIT))
    for a, b in zip(marginal_gap(*encoded, fit=FIT), single, strict=True):
        assert b.value == pytest.approx(a.value, abs=1e-4)


def test_an_overlap_with_the_fit_is_refused():
    encoded = encodings()
    with pytest.raises(InputError, match="1 of 40 evaluated encodings are also in the fit set"):
        marginal_gap(*encoded, fit=tuple(torch.cat([a, b[:1]]) for a, b in zip(FIT, encoded[:2], strict=True)))


def test_the_lower_side_sees_what_no_gaussian_does():
    """Two kinds of images, far apart: log 2 of the gap is no matter of mean and covariance."""

    def clusters(n, seed):
        kinds, signal, noise = torch.randn(3, n, 1, generator=generator(seed), dtype=torch.float64)
        mean = 10 * kinds.sign() + signal
        return mean, torch.zeros_like(mean), mean + noise

    test, fit = clusters(1000, 0), clusters(2000, 1)[:2]
    gap = marginal_gap(*test, fit=fit, generator=generator())
    marginal = 0.5 * (math.log(2 * math.pi * math.e) + math.log(2)) + math.log(2)  # h(z) of two apart, variance 2 each
    cross = 0.5 * (math.log(2 * math.pi) + 102)  # −E log N(z; 0, 1)
    assert gap.lower.value == pytest.approx(cross - marginal, abs=4 * gap.lower.stderr + 0.05)
    assert gap.lower.value > rate(*test[:2]).value - rate_gaussian(*test[:2], fit=fit).value + 0.5
