import math

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.gaussian import gaussian, gaussian_bias


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def pairs(nats, d_x, d_y, n, seed=0, noise=torch.randn):
    """x (n, d_x) and y (n, d_y) that share so many nats, evenly over the smaller number of coordinates."""
    draw, d = generator(seed), min(d_x, d_y)
    x, y = (noise(n, size, generator=draw, dtype=torch.float64) for size in (d_x, d_y))
    rho = math.sqrt(-math.expm1(-2 * nats / d))
    y[:, :d] = rho * x[:, :d] + math.exp(-nats / d) * y[:, :d]
    return x, y


def laplace(n, d, *, generator, dtype):
    """Heavier tails than the Gaussian's, variance 1: kurtosis 6."""
    uniform = torch.rand(2, n, d, generator=generator, dtype=dtype).clamp_min(1e-300)
    return (uniform[0].log() - uniform[1].log()) / math.sqrt(2)


# the value


@pytest.mark.parametrize(("d_x", "d_y", "n"), [(1, 1, 5), (2, 5, 40), (7, 3, 200), (16, 16, 100)])
@pytest.mark.parametrize("nats", [0, 0.3, 3])
def test_value_is_the_log_determinant_ratio(nats, d_x, d_y, n):
    x, y = pairs(nats * min(d_x, d_y), d_x, d_y, n)
    covariance = np.cov(torch.cat([x, y], 1).numpy().T)
    parts = covariance[:d_x, :d_x], covariance[d_x:, d_x:], covariance
    log_x, log_y, log_xy = (np.linalg.slogdet(part)[1] for part in parts)
    assert gaussian(x, y, correct_bias=False).value == pytest.approx(0.5 * (log_x + log_y - log_xy), abs=1e-10)


def test_value_matches_scikit_learn():
    x, y = pairs(1.5, 3, 2, 150, seed=1)
    left, right = CCA(2, max_iter=100_000, tol=1e-14).fit_transform(x.numpy(), y.numpy())
    rho = [np.corrcoef(left[:, i], right[:, i])[0, 1] for i in range(2)]
    expected = -0.5 * np.log1p(-np.square(rho)).sum()
    assert gaussian(x, y, correct_bias=False).value == pytest.approx(expected, abs=1e-10)


def test_one_dimension_is_the_correlation_coefficient():
    x, y = pairs(0.7, 1, 1, 80)
    rho = np.corrcoef(x[:, 0], y[:, 0])[0, 1]
    plain, corrected = gaussian(x[:, 0], y[:, 0], correct_bias=False), gaussian(x, y)
    assert plain.value == pytest.approx(-0.5 * math.log(1 - rho**2), abs=1e-12)
    assert corrected.value == pytest.approx(plain.value - gaussian_bias(1, 1, 80), abs=1e-12)
    assert (plain.n, plain.bound, plain.unit, plain.saturated) == (80, "none", "nats", False)
    assert plain.interval.low < plain.value < plain.interval.high


@pytest.mark.parametrize("correct_bias", [True, False])
def test_pointwise_terms_average_to_the_value(correct_bias):
    x, y = pairs(2, 3, 5, 100)
    estimate = gaussian(x, y, correct_bias=correct_bias)
    assert estimate.samples.shape == estimate.influence.shape == (100,)
    assert estimate.samples.mean().item() == pytest.approx(estimate.value, abs=1e-12)
    assert estimate.influence.mean().item() == pytest.approx(0, abs=1e-12)


def test_pointwise_terms_are_log_density_ratios_of_the_fit():
    x, y = pairs(2, 3, 2, 60)
    both = torch.cat([x, y], 1)
    covariance = torch.cov(both.T, correction=0)

    def log_density(columns):
        values = both[:, columns]
        own = torch.distributions.MultivariateNormal(values.mean(0), covariance[columns][:, columns])
        return own.log_prob(values)

    expected = log_density([0, 1, 2, 3, 4]) - log_density([0, 1, 2]) - log_density([3, 4])
    assert torch.allclose(gaussian(x, y, correct_bias=False).samples, expected, atol=1e-10)


def test_independent_samples_give_negative_values_too():
    values = [gaussian(*pairs(0, 2, 3, 50, seed)).value for seed in range(50)]
    assert min(values) < -0.01
    assert max(values) > 0.01


# bias


@pytest.mark.parametrize(("d_x", "d_y"), [(1, 1), (3, 2), (8, 8)])
def test_bias_to_first_order(d_x, d_y):
    assert gaussian_bias(d_x, d_y, 100_000) == pytest.approx(d_x * d_y / 200_000, rel=1e-3)
    assert gaussian_bias(d_x, d_y, 500) == gaussian_bias(d_y, d_x, 500)


def test_bias_closed_form():
    # n − 1 = 4 degrees of freedom: ½ [2 ψ(2) − ψ(2) − ψ(3/2)], ψ(2) = 1 − γ, ψ(3/2) = 2 − γ − 2 log 2
    assert gaussian_bias(1, 1, 5) == pytest.approx(0.5 * (2 * math.log(2) - 1), abs=1e-12)


@pytest.mark.parametrize("nats", [0.0, 0.3, 3.0])
@pytest.mark.parametrize(("d_x", "d_y", "n"), [(1, 1, 6), (2, 3, 12), (4, 4, 40)])
def test_bias_is_exact_whatever_the_truth(nats, d_x, d_y, n):
    values = torch.tensor([gaussian(*pairs(nats, d_x, d_y, n, s), correct_bias=False).value for s in range(400)])
    stderr = values.std() / math.sqrt(len(values))
    excess = values.mean().item() - nats
    assert abs(excess - gaussian_bias(d_x, d_y, n)) < 4 * stderr
    assert excess > 5 * stderr, "a difference worth correcting"


@pytest.mark.parametrize(
    ("nats", "d_x", "d_y"),
    [
        *((0, *d) for d in ((1, 1), (4, 4), (2, 7), (64, 64))),
        *((1, *d) for d in ((1, 1), (4, 4), (64, 64))),
        *((4, *d) for d in ((1, 1), (16, 16), (3, 32))),
        *((12, *d) for d in ((1, 1), (4, 4), (64, 64))),
        *((78, *d) for d in ((16, 16), (24, 16), (64, 64))),
    ],
)
def test_estimates_are_unbiased(nats, d_x, d_y):
    n = 5 * (d_x + d_y) + 10
    found = [gaussian(*pairs(nats, d_x, d_y, n, seed)) for seed in range(100)]
    values = torch.tensor([estimate.value for estimate in found])
    assert abs(values.mean().item() - nats) < 4 * values.std() / math.sqrt(100)


# invariances


@pytest.mark.parametrize("seed", range(5))
def test_invertible_maps_change_nothing(seed):
    draw = generator(seed)
    x, y = pairs(2, 4, 3, 90, seed)
    before = gaussian(x, y)
    maps = [torch.randn(d, d, generator=draw, dtype=torch.float64) + 3 * torch.eye(d) for d in (4, 3)]
    shifts = [100 * torch.randn(d, generator=draw, dtype=torch.float64) for d in (4, 3)]
    after = gaussian(x @ maps[0] + shifts[0], y @ maps[1] + shifts[1])
    assert after.value == pytest.approx(before.value, abs=1e-10)
    assert after.stderr == pytest.approx(before.stderr, rel=1e-8)
    assert torch.allclose(after.samples, before.samples, atol=1e-8)


def test_units_far_apart_change_nothing():
    x, y = pairs(2, 3, 3, 90)
    units = torch.tensor([1e-12, 1.0, 1e12], dtype=torch.float64)
    assert gaussian(x * units, y / units).value == pytest.approx(gaussian(x, y).value, abs=1e-10)


def test_the_order_of_pairs_and_of_sides_does_not_matter():
    x, y = pairs(2, 3, 5, 90)
    order = torch.randperm(90, generator=generator())
    assert gaussian(x[order], y[order]).value == pytest.approx(gaussian(x, y).value, abs=1e-12)
    assert gaussian(y, x).value == pytest.approx(gaussian(x, y).value, abs=1e-12)
    assert gaussian(x, y[order]).value < 0.5, "the pairing does"


def test_float32_agrees_with_float64():
    x, y = pairs(4, 5, 5, 200)
    single = gaussian(x.float(), y.float())
    assert single.value == pytest.approx(gaussian(x, y).value, abs=1e-5)
    assert single.value == gaussian(x.float().double(), y.float().double()).value


def test_inputs_are_left_alone():
    x, y = pairs(1, 2, 2, 20)
    before = x.clone(), y.clone()
    gaussian(x, y)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


# the error


@pytest.mark.parametrize(
    ("nats", "d_x", "d_y", "n", "noise"),
    [
        (0.05, 2, 2, 2000, torch.randn),
        (0.8, 1, 1, 100, torch.randn),
        (2.0, 3, 5, 300, torch.randn),
        (12.0, 4, 4, 200, torch.randn),
        (78.0, 16, 16, 400, torch.randn),
        (0.8, 1, 1, 1000, laplace),
        (2.0, 3, 3, 1000, laplace),
    ],
)
def test_intervals_cover_the_large_sample_value(nats, d_x, d_y, n, noise):
    # A linear map of independent Laplace variables has the Gaussian's covariance, so its formula tends to ``nats``.
    found = [gaussian(*pairs(nats, d_x, d_y, n, seed, noise)) for seed in range(200)]
    covered = sum(e.interval.low <= nats <= e.interval.high for e in found) / len(found)
    assert 0.90 <= covered <= 0.99
    spread = torch.tensor([e.value for e in found]).std().item()
    assert np.mean([e.stderr for e in found]) == pytest.approx(spread, rel=0.2)


@pytest.mark.parametrize(("nats", "d", "n"), [(0.0, 4, 400), (0.01, 1, 100), (0.05, 2, 200)])
def test_standard_errors_hold_near_independence(nats, d, n):
    # Too large at independence, by the second order that is added to the first; never too small.
    found = [gaussian(*pairs(nats, d, d, n, seed)) for seed in range(300)]
    spread = torch.tensor([e.value for e in found]).std().item()
    typical = math.sqrt(np.mean([e.stderr**2 for e in found]))
    assert 0.95 * spread < typical < 1.8 * spread


def test_intervals_cover_independence():
    found = [gaussian(*pairs(0, 2, 3, 150, seed)) for seed in range(200)]
    assert sum(e.interval.low <= 0 <= e.interval.high for e in found) / 200 >= 0.9


@pytest.mark.parametrize(("nats", "d", "n", "least"), [(0.02, 1, 100, 0.83), (0.02, 2, 200, 0.9)])
def test_intervals_cover_near_independence(nats, d, n, least):
    found = [gaussian(*pairs(nats, d, d, n, seed)) for seed in range(600)]
    assert sum(e.interval.low <= nats <= e.interval.high for e in found) / 600 >= least


# what is refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:7], y[:7]), "canonical correlations of 3 and 3 dimensions need more than 7 pairs, got 7"),
        (lambda x, y: (x[:2], y[:2]), "at least 3 pairs, got 2"),
        (lambda x, y: (x, y * torch.tensor([1, 0, 1]) + 1e6), "coordinate 1 of y is the same in all 50 samples"),
        (lambda x, y: (x[:, [0, 1, 0]], y), "some coordinate of x is a linear combination"),
        (lambda x, y: (x, torch.stack([y[:, 0], y[:, 1], y[:, 0] - 2 * y[:, 1]], 1)), "coordinate of y is a linear"),
        (lambda x, y: (x, torch.cat([y, x[:, :1]], 1)), "a linear combination of x is one of y"),
        (lambda x, y: (x, torch.cat([y, x[:, :1] + y[:, :1]], 1)), "a linear combination of x is one of y"),
        (lambda x, y: (x, x), "a linear combination of x is one of y"),
        (lambda x, y: (x.int(), y), r"x must hold floating-point numbers, got torch.int32. Use x.double\(\)"),
        (lambda x, y: (x, y.log()), "y holds .* NaN or infinite values of 150"),
        (lambda x, y: (x, y / 0), "y holds 150 NaN or infinite values of 150"),
        (lambda x, y: (x, y[:40]), r"one row per pair; got \(50, 3\) and \(40, 3\)"),
        (lambda x, y: (x[None], y[None]), r"x and y must be \(N, d_x\) and \(N, d_y\)"),
        (lambda x, y: (x.numpy(), y), "x must be a torch tensor, got ndarray"),
        (lambda x, y: (x, y.tolist()), "y must be a torch tensor, got list"),
        (lambda x, y: (x[:, :0], y), r"x and y must be \(N, d_x\)"),
    ],
)
def test_samples_that_cannot_be_used_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        gaussian(*change(*pairs(1, 3, 3, 50)))


def test_the_smallest_number_of_pairs_is_accepted():
    assert math.isfinite(gaussian(*pairs(1, 3, 3, 8)).value)
