"""The bootstrap against what is known without it: closed forms, resamples by hand, coverage over small worlds."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import chi2, norm
from scipy.stats import t as student

from mixlens.analysis.statistics import bootstrap as module
from mixlens.analysis.statistics.bootstrap import LEVEL, bootstrap, bootstrap_mean, resamples
from mixlens.calibration.measures import bins_of


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(n, seed=0):
    return torch.randn(n, generator=generator(seed), dtype=torch.float64)


def held(drawn):
    """The weights of resamples whose rows list their images."""
    return torch.stack([rows.bincount(minlength=len(rows)) for rows in torch.as_tensor(drawn)]).double()


def repeated(terms, weights):
    """The terms that each resample holds, one resample after the other."""
    return [np.repeat(terms.numpy(), row.long().numpy()) for row in weights]


# resamples


def test_resamples_count_images_drawn_with_replacement():
    weights = resamples(7, 300, generator())
    assert torch.equal(weights, held(torch.randint(7, (300, 7), generator=generator())))
    assert (weights == 0).any()
    assert not torch.equal(weights, resamples(7, 300, generator(1)))


def test_every_image_is_drawn_equally_often():
    counts = resamples(20, 5000, generator()).sum(0)
    statistic = ((counts - 5000).square() / 5000).sum().item()
    assert chi2.sf(statistic, 19) > 1e-4


def test_an_image_is_left_out_as_often_as_it_should_be():
    """(1 − 1/n)ⁿ of the resamples have no first image."""
    n, count = 30, 4000
    without = (resamples(n, count, generator())[:, 0] == 0).double().mean().item()
    p = (1 - 1 / n) ** n
    assert abs(without - p) / math.sqrt(p * (1 - p) / count) < 4


# means


def test_a_mean_and_its_percentiles_by_hand():
    """Two images and resamples (0, 0), (0, 1), (1, 1), (1, 0): means 0, 1, 2 and 1."""
    weights = held([[0, 0], [0, 1], [1, 1], [1, 0]])
    found = bootstrap_mean(torch.tensor([0.0, 2.0], dtype=torch.float64), weights, "nats")
    assert (found.value, found.n, found.unit, found.bound) == (1.0, 2, "nats", "none")
    assert found.stderr == pytest.approx(math.sqrt(2 / 3))
    # sorted 0, 1, 1, 2: the 2.5% point lies 0.075 of the way from the first to the second
    assert found.interval[:2] == pytest.approx((0.075, 1.925))
    assert found.interval.level == LEVEL == 0.95
    assert found.interval.method == "4 bootstrap resamples"


def test_the_means_are_numpys():
    terms, weights = normal(40), resamples(40, 200, generator(1))
    found = bootstrap_mean(terms, weights, "")
    means = np.array([values.mean() for values in repeated(terms, weights)])
    assert found.value == pytest.approx(terms.numpy().mean())
    assert found.stderr == pytest.approx(means.std(ddof=1))
    assert found.interval[:2] == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))
    assert torch.equal(found.samples, terms)


@pytest.mark.parametrize("skewed", [False, True])
def test_the_standard_error_of_a_mean_is_sd_over_root_n(skewed):
    """Given the images, a resample's mean has the variance sd²/n exactly; B resamples know it within 1/√(2B)."""
    n, count = 200, 4000
    terms = normal(n).exp() if skewed else normal(n)
    found = bootstrap_mean(terms, resamples(n, count, generator(1)), "")
    exact = terms.std(correction=0).item() / math.sqrt(n)
    assert abs(found.stderr / exact - 1) * math.sqrt(2 * count) < 4
    half = norm.ppf(0.975) * exact
    if not skewed:
        assert found.interval[:2] == pytest.approx((found.value - half, found.value + half), abs=0.1 * half)


def test_intervals_hold_the_truth_as_often_as_they_should():
    """300 worlds of 60 normal images: a percentile interval is ± 1.96 sd/√n, which t with 59 degrees says holds it."""
    worlds, n = 300, 60
    held = 0
    for world in range(worlds):
        low, high, *_ = bootstrap_mean(3 + normal(n, world), resamples(n, 300, generator(10_000 + world)), "").interval
        held += low <= 3 <= high
    p = 1 - 2 * student.sf(norm.ppf(0.975) * math.sqrt((n - 1) / n), n - 1)
    assert abs(held / worlds - p) / math.sqrt(p * (1 - p) / worlds) < 4


def test_a_shift_shifts_and_a_factor_stretches():
    terms, weights = normal(50), resamples(50, 100, generator(1))
    found, other = bootstrap_mean(terms, weights, ""), bootstrap_mean(5 + 2 * terms, weights, "")
    assert other.value == pytest.approx(5 + 2 * found.value)
    assert other.stderr == pytest.approx(2 * found.stderr)
    assert other.interval[:2] == pytest.approx([5 + 2 * end for end in found.interval[:2]])


def test_permuting_images_and_resamples_together_changes_nothing():
    terms, weights = normal(50), resamples(50, 100, generator(1))
    order = torch.randperm(50, generator=generator(2))
    found, other = bootstrap_mean(terms, weights, ""), bootstrap_mean(terms[order], weights[:, order], "")
    assert other.interval[:2] == pytest.approx(found.interval[:2])
    assert (other.value, other.stderr) == pytest.approx((found.value, found.stderr))


def test_equal_terms_have_no_error():
    found = bootstrap_mean(torch.full((9,), 0.25, dtype=torch.float64), resamples(9, 100, generator()), "")
    assert (found.value, found.stderr, *found.interval[:2]) == pytest.approx((0.25, 0, 0.25, 0.25))


def test_images_that_say_nothing_are_left_out_of_every_resample():
    terms = normal(40)
    terms[::4] = torch.nan
    weights = resamples(40, 150, generator(1))
    found = bootstrap_mean(terms, weights, "fraction")
    means = np.array([np.nanmean(values) for values in repeated(terms, weights)])
    assert found.n == 30
    assert found.value == pytest.approx(np.nanmean(terms.numpy()))
    assert found.stderr == pytest.approx(means.std(ddof=1))
    assert found.interval[:2] == pytest.approx(tuple(np.percentile(means, [2.5, 97.5])))


@pytest.mark.parametrize(
    ("terms", "value", "n"),
    [
        ([1.0, math.inf, 2.0], math.inf, 3),
        ([math.nan, math.inf, 2.0], math.inf, 2),
        ([math.nan] * 3, math.nan, 0),
    ],
    ids=str,
)
def test_a_mean_that_is_not_finite_has_no_interval(terms, value, n):
    found = bootstrap_mean(torch.tensor(terms, dtype=torch.float64), resamples(3, 100, generator()), "nats")
    assert found.value == pytest.approx(value, nan_ok=True)
    assert (found.stderr, found.interval, found.n, found.unit) == (None, None, n, "nats")


# other statistics


def ece(confidence, right, bins=15):
    return lambda weights: bins_of(confidence, right, bins, weights=weights).error


def calibrated(n, seed):
    """Confidences and whether each is right, which is so as often as the confidence says."""
    draws = torch.rand(2, n, generator=generator(seed), dtype=torch.float64)
    confidence = 0.5 + draws[0] / 2
    return confidence, (draws[1] < confidence).double()


def test_a_statistic_that_is_a_mean_has_the_error_of_the_mean():
    terms, weights = normal(60), resamples(60, 200, generator(1))
    mine, theirs = bootstrap(lambda w: w @ terms / w.sum(1), weights, ""), bootstrap_mean(terms, weights, "")
    assert (mine.value, mine.stderr, mine.n) == pytest.approx((theirs.value, theirs.stderr, theirs.n))
    shift = (weights @ terms).mean().item() / 60 - mine.value  # of the resamples' mean: chance alone
    assert mine.interval[:2] == pytest.approx([end - shift for end in theirs.interval[:2]])


def test_the_interval_of_a_statistic_by_hand():
    """The largest of 1 and 3 on resamples (0, 0), (0, 1), (1, 1), (1, 0): 1, 3, 3, 3, whose mean 2.5 moves to 3."""
    terms, weights = torch.tensor([1.0, 3.0]).double(), held([[0, 0], [0, 1], [1, 1], [1, 0]])
    found = bootstrap(lambda w: torch.where(w > 0, terms, 0.0).amax(1), weights, "fraction")
    assert (found.value, found.n, found.unit, found.bound) == (3.0, 2, "fraction", "none")
    assert found.stderr == pytest.approx(1.0)
    # moved 1.5, 3.5, 3.5, 3.5: the 2.5% point lies 0.075 of the way from the first to the second
    assert found.interval[:2] == pytest.approx((1.5 + 0.075 * 2, 3.5))
    assert found.interval.method == "4 bootstrap resamples"


def test_the_interval_of_a_calibration_error_always_holds_it():
    """Without the move it may not: an ECE of resamples lies above that of the images."""
    left_out = 0
    for world in range(60):
        confidence, right = calibrated(100, world)
        statistic, weights = ece(confidence, right), resamples(100, 100, generator(1000 + world))
        found = bootstrap(statistic, weights, "fraction")
        assert found.interval.low <= found.value <= found.interval.high, world
        values = statistic(weights).numpy()
        assert values.mean() > found.value
        assert found.stderr == pytest.approx(values.std(ddof=1))
        left_out += np.percentile(values, 2.5) > found.value
    assert left_out > 5


def test_with_one_bin_the_error_of_the_calibration_error_is_that_of_its_gap():
    """One bin: ECE = |mean of right − confidence|, far from zero the absolute value of a mean."""
    n, count = 400, 1000
    _, right = calibrated(n, 0)
    confidence = torch.full_like(right, 0.99)
    found = bootstrap(ece(confidence, right, bins=1), resamples(n, count, generator(1)), "fraction")
    gaps = confidence - right
    assert found.value == pytest.approx(gaps.mean().item())
    exact = gaps.std(correction=0).item() / math.sqrt(n)
    assert abs(found.stderr / exact - 1) * math.sqrt(2 * count) < 4


def test_the_statistic_is_asked_for_every_resample_and_once_for_all_images(monkeypatch):
    monkeypatch.setattr(module, "ELEMENTS", 17)  # of 5 images: three resamples at once
    asked = []
    weights = resamples(5, 100, generator())
    bootstrap(lambda part: asked.append(part) or part[:, 0], weights, "")
    assert [len(part) for part in asked] == [*[3] * 33, 1, 1]
    assert torch.equal(torch.cat(asked), torch.cat([weights, torch.ones(1, 5)]))


def test_how_many_resamples_are_taken_at_once_changes_nothing(monkeypatch):
    statistic, weights = ece(*calibrated(100, 0)), resamples(100, 150, generator(1))
    whole = bootstrap(statistic, weights, "fraction")
    for elements in (1, 700, 14_999):
        monkeypatch.setattr(module, "ELEMENTS", elements)
        found = bootstrap(statistic, weights, "fraction")
        assert (found.value, found.stderr) == pytest.approx((whole.value, whole.stderr), rel=1e-12)
        assert found.interval[:2] == pytest.approx(whole.interval[:2], rel=1e-12)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_gives_the_same():
    (confidence, right), terms, weights = calibrated(100, 0), normal(100), resamples(100, 150, generator(1))
    terms[::4] = torch.nan
    here = bootstrap(ece(confidence, right), weights, ""), bootstrap_mean(terms, weights, "")
    there = (
        bootstrap(ece(confidence.cuda(), right.cuda()), weights.cuda(), ""),
        bootstrap_mean(terms.cuda(), weights.cuda(), ""),
    )
    for mine, theirs in zip(there, here, strict=True):
        assert (mine.value, mine.stderr) == pytest.approx((theirs.value, theirs.stderr))
        assert mine.interval[:2] == pytest.approx(theirs.interval[:2])
