import math
import warnings

import numpy as np
import pytest
import torch
from scipy.special import digamma
from sklearn.feature_selection import mutual_info_regression

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.ksg import _check_ties, ksg
from mixlens.analysis.information.samples import check_samples


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*size, seed=0):
    return torch.randn(*size, generator=generator(seed), dtype=torch.float64)


def bivariate(rho, n, seed=0):
    x, noise = normal(2, n, seed=seed)
    return x, rho * x + math.sqrt(1 - rho**2) * noise


def truth(rho):
    return -0.5 * math.log(1 - rho**2)


def slow(x, y, k, variant):
    """Equations 8 and 9 of Kraskov et al., sample by sample."""
    x, y = (((values - values.mean(0)) / values.std(0)).numpy() for values in (x, y))
    terms = []
    for i in range(len(x)):
        others = np.arange(len(x)) != i
        apart_x, apart_y = np.abs(x - x[i]).max(1)[others], np.abs(y - y[i]).max(1)[others]
        apart = np.maximum(apart_x, apart_y)
        nearest = np.argsort(apart)[:k]
        if variant == 1:
            n_x, n_y = (apart_x < apart[nearest[-1]]).sum(), (apart_y < apart[nearest[-1]]).sum()
            terms.append(digamma(k) + digamma(len(x)) - digamma(n_x + 1) - digamma(n_y + 1))
        else:
            n_x, n_y = (apart_x <= apart_x[nearest].max()).sum(), (apart_y <= apart_y[nearest].max()).sum()
            terms.append(digamma(k) - 1 / k + digamma(len(x)) - digamma(n_x) - digamma(n_y))
    return torch.tensor(np.array(terms))


# the value


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize("k", [1, 3, 10])
@pytest.mark.parametrize(("d_x", "d_y"), [(1, 1), (1, 2), (2, 3)])
@pytest.mark.filterwarnings("ignore:nearest-neighbour")
def test_terms_match_the_slow_version(d_x, d_y, k, variant):
    x = normal(120, d_x) * torch.tensor([1.0, 50.0])[:d_x]
    y = 0.7 * x[:, :1] + normal(120, d_y, seed=1)
    estimate, expected = ksg(x, y, k=k, variant=variant), slow(x, y, k, variant)
    assert torch.allclose(estimate.samples, expected, atol=1e-9)
    assert estimate.value == pytest.approx(expected.mean().item(), abs=1e-9)
    assert (estimate.n, estimate.bound, estimate.unit, estimate.ceiling) == (120, "none", "nats", None)


@pytest.mark.parametrize("variant", [1, 2])
def test_all_others_as_neighbours(variant):
    x, y = bivariate(0.5, 12)
    expected = slow(x[:, None], y[:, None], 11, variant).mean().item()
    assert ksg(x, y, k=11, variant=variant).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("k", [1, 3, 7])
@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_variant_1_matches_scikit_learn(rho, k):
    # It clips at 0 and adds noise of 1e-10.
    x, y = bivariate(rho, 800)
    expected = mutual_info_regression(x[:, None].numpy(), y.numpy(), n_neighbors=k, random_state=0)[0]
    assert expected > 0
    assert ksg(x, y, k=k).value == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("variant", [1, 2])
@pytest.mark.parametrize(("rho", "tolerance"), [(0.0, 0.01), (0.6, 0.01), (0.9, 0.015)])
def test_bivariate_normals(rho, tolerance, variant):
    # Known to be nearly, not exactly, unbiased: 40 sets of 1000 have standard errors of 0.003 to 0.005.
    values = torch.tensor([ksg(*bivariate(rho, 1000, seed), variant=variant).value for seed in range(40)])
    assert abs(values.mean().item() - truth(rho)) < tolerance
    assert values.std().item() < 0.05


def test_a_nonlinear_dependence_is_seen():
    x, noise = normal(2, 2000)
    y = x.square() + 0.1 * noise
    assert abs(np.corrcoef(x, y)[0, 1]) < 0.1
    assert ksg(x, y).value > 1


def test_independent_samples_give_negative_values_too():
    values = [ksg(*bivariate(0.0, 200, seed)).value for seed in range(20)]
    assert min(values) < 0 < max(values)


# invariances


@pytest.mark.parametrize("variant", [1, 2])
def test_affine_maps_of_single_coordinates_change_nothing(variant):
    x, y = normal(300, 2), normal(300, 2, seed=1)
    y[:, 0] += x[:, 1]
    scale, shift = torch.tensor([1e-3, -70.0]), torch.tensor([5.0, -900.0])
    before, after = ksg(x, y, variant=variant), ksg(x * scale + shift, y * scale.flip(0), variant=variant)
    assert after.value == pytest.approx(before.value, abs=1e-9)
    assert torch.allclose(after.samples, before.samples, atol=1e-9)


@pytest.mark.parametrize("variant", [1, 2])
def test_order_and_sides_do_not_matter(variant):
    x, y = bivariate(0.7, 300)
    order = torch.randperm(300, generator=generator())
    before = ksg(x, y, variant=variant)
    assert ksg(x[order], y[order], variant=variant).value == pytest.approx(before.value, abs=1e-9)
    assert ksg(y, x, variant=variant).value == pytest.approx(before.value, abs=1e-9)
    assert ksg(x, y[order], variant=variant).value < 0.3, "the pairing does"


def test_the_number_of_workers_changes_nothing():
    x, y = normal(300, 2), normal(300, 1, seed=1)
    assert ksg(x, y, workers=1).value == ksg(x, y, workers=2).value


def test_float32_agrees_with_float64():
    x, y = (values.float() for values in bivariate(0.7, 500))
    assert ksg(x, y).value == ksg(x.double(), y.double()).value


# many dimensions


def test_more_than_four_dimensions_warn():
    with pytest.warns(UserWarning, match="information of 5 dimensions together is far too low; trust it up to 4"):
        estimate = ksg(normal(50, 2), normal(50, 3, seed=1))
    assert math.isfinite(estimate.value)


def test_four_dimensions_do_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ksg(normal(50, 2), normal(50, 2, seed=1))


@pytest.mark.filterwarnings("ignore:nearest-neighbour")
@pytest.mark.parametrize("variant", [1, 2])
def test_many_dimensions_are_far_too_low(variant):
    x = normal(1000, 8)
    y = 0.98 * x + math.sqrt(1 - 0.98**2) * normal(1000, 8, seed=1)
    assert ksg(x, y, variant=variant).value < 0.6 * 8 * truth(0.98)


# the error


@pytest.mark.parametrize("variant", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_intervals_cover_the_truth(variant):
    # From ten blocks of a tenth of the samples each: its error is approximate.
    found = [ksg(*bivariate(0.6, 1000, seed), variant=variant) for seed in range(200)]
    covered = sum(e.interval.low <= truth(0.6) <= e.interval.high for e in found) / len(found)
    assert 0.88 <= covered <= 0.99
    assert "10 disjoint blocks" in found[0].interval.method


def test_too_few_samples_for_blocks_have_no_error():
    # Blocks of 4 (k + 1) samples: 160 for k = 3.
    estimate = ksg(*bivariate(0.6, 159))
    assert (estimate.stderr, estimate.interval) == (None, None)
    assert math.isfinite(estimate.value)
    assert ksg(*bivariate(0.6, 160)).stderr > 0


def test_the_error_is_that_of_ten_blocks():
    x, y = bivariate(0.6, 204)
    estimate = ksg(x, y)
    assert estimate.interval.low < estimate.value < estimate.interval.high
    x, y = ((values - values.mean()) / values.std() for values in (x, y))
    means = []
    for i in range(0, 200, 20):  # scaled by the moments of all: a block's own would move neighbours
        together = torch.stack([x[i : i + 20], y[i : i + 20]])
        means.append(block(together.numpy()))
    assert estimate.stderr == pytest.approx(np.std(means, ddof=1) / math.sqrt(10), rel=1e-9)


def block(together, k=3):
    terms = []
    for i in range(together.shape[1]):
        apart = np.delete(np.abs(together - together[:, i : i + 1]), i, axis=1)
        radius = np.sort(apart.max(0))[k - 1]
        terms.append(digamma(k) + digamma(together.shape[1]) - sum(digamma((a < radius).sum() + 1) for a in apart))
    return np.mean(terms)


# ties


def test_duplicates_are_refused_and_jitter_is_named():
    x, y = bivariate(0.6, 100)
    x[:5], y[:5] = x[5:10], y[5:10]
    with pytest.raises(InputError, match=r"5 of 100 \(x, y\) pairs repeat others.* jitter=1e-6"):
        ksg(x, y)


@pytest.mark.parametrize("name", ["x", "y"])
def test_rounded_measurements_are_refused_and_jitter_is_named(name):
    x, y = bivariate(0.6, 100)
    x, y = (x.round(decimals=1), y) if name == "x" else (x, y.round(decimals=1))
    with pytest.raises(InputError, match=f"of 100 values of {name} repeat others.* jitter=1e-6"):
        ksg(x, y)


def test_jitter_breaks_ties_and_comes_from_the_generator():
    x, y = bivariate(0.6, 2000)
    x, y = x.round(decimals=2), y.round(decimals=2)
    first, same, other = (ksg(x, y, jitter=0.005, generator=generator(seed)) for seed in (0, 0, 1))
    assert first.value == same.value
    assert torch.equal(first.samples, same.samples)
    assert first.value != other.value
    assert abs(first.value - truth(0.6)) < 0.08


def test_jitter_is_in_units_of_the_standardised_coordinates():
    x, y = bivariate(0.6, 300)
    before, after = (ksg(s * x, s * y, jitter=0.1, generator=generator()).value for s in (1.0, 1e5))
    assert after == pytest.approx(before, abs=1e-9)
    assert ksg(x, y, jitter=10.0, generator=generator()).value < 0.1, "drowned in noise"


def test_inputs_are_left_alone():
    x, y = bivariate(0.6, 50)
    before = x.clone(), y.clone()
    ksg(x, y, jitter=0.1, generator=generator())
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


# what is refused


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda x, y: (x, y), {"k": 0}, "k is a number of neighbours: between 1 and 49 for 50 samples; got 0"),
        (lambda x, y: (x, y), {"k": 50}, "between 1 and 49 for 50 samples; got 50"),
        (lambda x, y: (x, y), {"variant": 3}, "variant must be 1 or 2, got 3"),
        (lambda x, y: (x, y), {"jitter": -0.1}, "jitter is a standard deviation: finite, at least 0; got -0.1"),
        (lambda x, y: (x[:2], y[:2]), {"k": 1}, "at least 3 pairs, got 2"),
        (lambda x, y: (x.long(), y), {}, "x must hold floating-point numbers, got torch.int64"),
        (lambda x, y: (x, y.log()), {}, "y holds .* NaN or infinite values"),
        (lambda x, y: (x, y[1:]), {}, r"one row per pair; got \(50, 1\) and \(49, 1\)"),
        (lambda x, y: (x.numpy(), y), {}, "x must be a torch tensor, got ndarray"),
        (lambda x, y: (x, y * 0 + 3), {}, "coordinate 0 of y is the same in all 50 samples"),
        (lambda x, y: (x[:, None][:, :0], y), {}, r"x and y must be \(N, d_x\)"),
        (lambda x, y: (x, y), {"jitter": math.nan}, "jitter is a standard deviation: finite"),
    ],
)
def test_samples_that_cannot_be_used_are_refused(change, options, message):
    with pytest.raises(InputError, match=message):
        ksg(*change(*bivariate(0.5, 50)), **options)


@pytest.mark.parametrize("kind", ["uniform", "as float64", "normal", "exponential", "in 10^6s"])
def test_ties_of_many_float32_values_are_no_duplicates(kind):
    """Of 400,000 uniforms with 24 digits about N²/2²⁵ = 4,768 repeat others: above 1%, and all by chance."""
    x = torch.rand(400_000, generator=generator())
    y = x + torch.rand(400_000, generator=generator(1))
    if kind == "as float64":
        x, y = x.double(), y.double()
    elif kind == "normal":
        x = torch.randn(2_000_000, generator=generator())
        y = x + torch.randn(2_000_000, generator=generator(1), dtype=torch.float64)
    elif kind == "exponential":
        x = -(1 - x).log()
    elif kind == "in 10^6s":
        x = x * 1e6 + 1e6
    assert len(x.unique()) < 0.99 * len(x), "it would be refused by a fixed share"
    _check_ties(*check_samples(x, y))


def test_the_information_of_many_float32_values():
    """Of x and x + u, both uniform: h(x + u) − h(u), a triangle's ½ nat less 0."""
    x = torch.rand(400_000, generator=generator())
    assert ksg(x, x + torch.rand(400_000, generator=generator(1)), workers=1).value == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda x: torch.cat([x[:-20_000], x[:20_000]]),  # duplicates
        lambda x: (x * 2**20).round() / 2**20,  # rounded
        lambda x: x.bfloat16().float(),
        lambda x: torch.where(x < 0.3, 0.0, x),  # one value often
    ],
)
def test_more_ties_than_float32_makes_are_refused(spoil):
    x = spoil(torch.rand(400_000, generator=generator()))
    with pytest.raises(InputError, match="values of x repeat others"):
        ksg(x, torch.rand(400_000, generator=generator(1), dtype=torch.float64))
