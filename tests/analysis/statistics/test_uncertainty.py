import math

import numpy as np
import pytest
import torch
from scipy import stats

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.encodings import finite
from mixlens.analysis.statistics.uncertainty import difference, from_blocks, from_independent, from_influence, student


def draws(n, seed=0):
    return torch.randn(n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3 + 1


@pytest.mark.parametrize("n", [2, 3, 10, 1000])
def test_independent_terms_have_the_t_interval_of_scipy(n):
    terms = draws(n)
    estimate = from_independent(terms, "none")
    assert estimate.value == pytest.approx(np.mean(terms.numpy()), rel=1e-12)
    assert estimate.stderr == pytest.approx(stats.sem(terms.numpy()), rel=1e-12)
    low, high = stats.t.interval(0.95, n - 1, loc=np.mean(terms.numpy()), scale=stats.sem(terms.numpy()))
    assert estimate.interval == (pytest.approx(low), pytest.approx(high), 0.95, "Student t")
    assert torch.equal(estimate.samples, terms)
    assert torch.allclose(estimate.influence, terms - terms.mean())


def test_influence_gives_the_error_and_the_terms_give_the_value():
    terms, influence = draws(50), draws(50, seed=1)
    estimate = from_influence(terms, influence, "upper")
    assert estimate.value == pytest.approx(terms.mean().item())
    assert estimate.stderr == pytest.approx(stats.sem(influence.numpy()))
    assert estimate.influence.mean().item() == pytest.approx(0, abs=1e-14)
    assert estimate.interval.method == "infinitesimal jackknife"
    shifted = from_influence(terms, influence + 7, "upper")
    assert shifted.stderr == pytest.approx(estimate.stderr), "a constant is no influence"


def test_blocks_are_the_units():
    terms = draws(60)
    estimate = from_blocks(terms, 12, "lower")
    means = [terms[i : i + 12].mean().item() for i in range(0, 60, 12)]
    assert estimate.value == pytest.approx(np.mean(means))
    assert estimate.stderr == pytest.approx(stats.sem(means))
    low, high = stats.t.interval(0.95, 4, loc=np.mean(means), scale=stats.sem(means))
    assert estimate.interval[:2] == pytest.approx((low, high))
    assert estimate.interval.method == "5 disjoint blocks, Student t"
    assert estimate.n == 60
    assert from_blocks(terms, 1, "lower").stderr == pytest.approx(stats.sem(terms.numpy())), "blocks of one"


@pytest.mark.parametrize("degrees", [1, 2, 9, 10_000])
def test_student_against_scipy(degrees):
    assert student(5.0, 2.0, degrees, "t").high == pytest.approx(5 + 2 * stats.t.ppf(0.975, degrees))
    assert student(5.0, 2.0, degrees, "t").low == pytest.approx(5 - 2 * stats.t.ppf(0.975, degrees))


def test_difference_is_paired():
    shared = draws(100) * 100
    a, b = from_independent(shared + draws(100, 1), "upper"), from_independent(shared + draws(100, 2), "upper")
    paired = difference(a, b, "none")
    terms = (a.samples - b.samples).numpy()
    assert paired.value == pytest.approx(a.value - b.value)
    assert paired.stderr == pytest.approx(stats.sem(terms))
    assert paired.stderr < 0.1 * math.hypot(a.stderr, b.stderr)
    assert difference(a, a, "none").value == difference(a, a, "none").stderr == 0


def test_difference_with_an_estimate_without_error_has_none():
    a, blocks = from_independent(draws(20), "upper"), from_blocks(draws(20, 1), 5, "lower")
    for first, second in ((a, blocks), (blocks, a)):
        estimate = difference(first, second, "upper")
        assert estimate.value == pytest.approx(first.value - second.value)
        assert (estimate.stderr, estimate.interval, estimate.saturated) == (None, None, False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3), "latents must be a torch tensor, got ndarray"),
        ([1.0], "latents must be a torch tensor, got list"),
        (torch.ones(3, dtype=torch.int64), r"latents must hold floating-point numbers, got torch.int64"),
        (torch.ones(3, dtype=torch.bool), "latents must hold floating-point numbers"),
        (torch.ones(3, dtype=torch.complex64), "latents must hold floating-point numbers"),
        (torch.tensor([1.0, math.nan, math.inf, -math.inf]), "latents holds 3 NaN or infinite values of 4"),
    ],
)
def test_what_is_not_finite_is_refused(values, message):
    with pytest.raises(InputError, match=message):
        finite("latents", values)


def test_one_sample_has_no_standard_error():
    with pytest.raises(InputError, match="at least 2 samples, got 1"):
        from_independent(torch.ones(1), "none")


class OnMps(torch.Tensor):
    """As a tensor on Apple's MPS, which has no float64."""

    @property
    def device(self):
        return torch.device("mps")

    def double(self):
        raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64.")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_terms_on_a_device_without_float64():
    terms = draws(50).float()
    assert from_independent(terms.as_subclass(OnMps), "none") == from_independent(terms, "none")
