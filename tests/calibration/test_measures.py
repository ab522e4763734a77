"""Divergences, smoothing and calibration errors against closed forms, scipy and cases worked by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr
from scipy.stats import entropy as scipy_entropy

from mixlens.analysis.errors import InputError
from mixlens.calibration.measures import (
    brier,
    check_counts,
    cross_entropy,
    divergence,
    entropy,
    fit_temperature,
    jensen_shannon,
    log_probabilities,
    nll,
    reliability,
    second_best,
    smoothed,
    split_half,
    total_variation,
)


def draws(n=200, classes=5, seed=0):
    return torch.randn(n, classes, generator=torch.Generator().manual_seed(seed)) * 2


def test_divergences_are_scipys():
    p, q = log_probabilities(draws()), log_probabilities(draws(seed=1))
    mine, theirs = divergence(p, q).numpy(), rel_entr(p.exp().numpy(), q.exp().numpy()).sum(1)
    assert mine == pytest.approx(theirs, rel=1e-12)
    assert entropy(p).numpy() == pytest.approx(scipy_entropy(p.exp().numpy(), axis=1), rel=1e-12)
    middle = (p.exp() + q.exp()).numpy() / 2
    halves = rel_entr(p.exp().numpy(), middle).sum(1) + rel_entr(q.exp().numpy(), middle).sum(1)
    assert jensen_shannon(p, q).numpy() == pytest.approx(halves / 2, rel=1e-12)


# p = (½, ½, 0), q = (¼, ¾, 0), r = (0, ½, ½), by hand
def test_each_direction_and_zero_by_hand():
    p, q, r = (
        torch.tensor([row], dtype=torch.float64).log() for row in ([0.5, 0.5, 0], [0.25, 0.75, 0], [0, 0.5, 0.5])
    )
    assert divergence(p, q).item() == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert divergence(q, p).item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5))
    assert divergence(p, r).item() == math.inf
    assert divergence(r, p).item() == math.inf
    assert cross_entropy(p, r).item() == math.inf
    assert cross_entropy(p, q).item() == pytest.approx(-0.5 * math.log(0.25) - 0.5 * math.log(0.75))
    assert jensen_shannon(p, r).item() == pytest.approx(0.5 * math.log(2))
    assert total_variation(p, r).item() == pytest.approx(0.5)
    assert divergence(p, p).item() == 0


def test_cross_entropy_is_entropy_and_divergence():
    """H(p, q) = H(p) + D(p‖q): the decomposition that the paper's eq. 4 gives with its arguments reversed."""
    p, q = log_probabilities(draws()), log_probabilities(draws(seed=1))
    torch.testing.assert_close(cross_entropy(p, q), entropy(p) + divergence(p, q))
    assert (cross_entropy(p, q) - entropy(q) - divergence(q, p)).abs().max() > 0.1


def test_jensen_shannon_is_symmetric_and_at_most_log_2():
    p, q = log_probabilities(draws() * 20), log_probabilities(draws(seed=1) * 20)
    torch.testing.assert_close(jensen_shannon(p, q), jensen_shannon(q, p))
    assert jensen_shannon(p, q).max() <= math.log(2) + 1e-12


def test_smoothing_is_the_dirichlet_posterior_mean():
    counts = torch.tensor([[3, 1, 0], [0, 0, 2]])
    assert smoothed(counts, 0.5).exp().numpy() == pytest.approx(
        np.array([[3.5, 1.5, 0.5], [0.5, 0.5, 2.5]]) / np.array([[5.5], [3.5]])
    )
    raw = smoothed(counts, 0)
    assert raw[0].exp().tolist() == pytest.approx([0.75, 0.25, 0])
    assert raw[1, 0] == -math.inf


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (torch.tensor([[1.0, math.nan]]), "image 0 has nan"),
        (torch.tensor([[1.0, 0.0], [math.inf, 1.0]]), "image 1 has inf"),
        (torch.tensor([[1, -2]]), "image 0 has -2"),
        (torch.tensor([[1, 1], [0, 0]]), "image 1 has no human votes"),
        (torch.tensor([1, 2]), "shape"),
    ],
)
def test_counts_that_cannot_be_are_refused(counts, told):
    with pytest.raises(InputError, match=told):
        check_counts(counts)
    with pytest.raises(InputError, match=told):
        smoothed(counts, 0.1)


def test_a_negative_pseudo_count_is_refused():
    with pytest.raises(InputError, match="at least 0"):
        smoothed(torch.tensor([[1, 1]]), -0.1)


def test_second_best_by_hand():
    counts = torch.tensor([[9, 5, 1, 0], [9, 3, 3, 0], [7, 0, 0, 0], [4, 4, 1, 0]])
    order = torch.tensor([[4.0, 3, 2, 1], [4.0, 2, 3, 1], [4.0, 3, 2, 1], [3.0, 4, 2, 1]])
    found = second_best(log_probabilities(order), counts)
    assert found[:2].tolist() == [1, 1]  # a tie for the second place: either will do
    assert found[2].isnan()  # all agree
    assert found[3].item() == 0  # tied first: class 0 is the first, class 1 the second; the model's second is class 0
    assert second_best(log_probabilities(order.roll(1, 1)), counts)[:2].tolist() == [0, 0]


def test_split_halves_hold_every_vote_once():
    counts = torch.randint(0, 9, (300, 6), generator=torch.Generator().manual_seed(0)) + 1
    found = split_half(counts, 0.5, torch.Generator().manual_seed(1))
    assert found.shape == (300,)
    assert (found >= 0).all()
    again = split_half(counts, 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(found, again)
    unanimous = torch.tensor([[10, 0, 0], [0, 4, 0]])
    assert split_half(unanimous, 0.1, torch.Generator().manual_seed(0)).abs().max() < 1e-12
    assert split_half(torch.tensor([[1, 1]]), 0, torch.Generator().manual_seed(0)).item() == math.inf


def test_split_halves_are_dealt_fairly():
    """The first half's count of a class is hypergeometric: its mean over many images, as a z-score."""
    n, votes = 4000, torch.tensor([6, 4])
    found = split_half(votes.repeat(n, 1), 1.0, torch.Generator().manual_seed(3))
    # 5 of 10 votes; k of class 0 in the first half has P(k) = C(6, k) C(4, 5 − k) / C(10, 5)
    p = {k: math.comb(6, k) * math.comb(4, 5 - k) / math.comb(10, 5) for k in range(1, 6)}
    d = {
        k: divergence(smoothed(torch.tensor([[k, 5 - k]]), 1.0), smoothed(torch.tensor([[6 - k, k - 1]]), 1.0)).item()
        for k in p
    }
    mean = sum(p[k] * d[k] for k in p)
    sd = math.sqrt(sum(p[k] * (d[k] - mean) ** 2 for k in p))
    assert abs(found.mean().item() - mean) / (sd / math.sqrt(n)) < 4


@pytest.mark.parametrize("counts", [torch.tensor([[1, 0]]), torch.tensor([[1.5, 1.0]])])
def test_votes_that_cannot_be_halved_are_refused(counts):
    with pytest.raises(InputError, match="split-half"):
        split_half(counts, 0.1, torch.Generator())


def test_nll_and_brier_by_hand():
    p = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64).log()
    labels = torch.tensor([0, 1])
    assert nll(p, labels).tolist() == pytest.approx([-math.log(0.7), -math.log(0.1)])
    assert brier(p, labels).tolist() == pytest.approx([0.09 + 0.04 + 0.01, 0.01 + 0.81 + 0.64])


def test_reliability_by_hand():
    """Confidences 0.5 (in the bin that ends there), 0.55, 0.9 and exactly 1; two bins."""
    p = torch.tensor([[0.5, 0.5, 0], [0.55, 0.45, 0], [0.1, 0.9, 0], [1.0, 0, 0]], dtype=torch.float64).log()
    found = reliability(p, torch.tensor([0, 1, 1, 0]), bins=2)
    assert found.count.tolist() == [1, 3]
    assert found.confidence.tolist() == pytest.approx([0.5, (0.55 + 0.9 + 1) / 3])
    assert found.accuracy.tolist() == pytest.approx([1, 2 / 3])
    assert found.error == pytest.approx((0.5 + abs(2 - 2.45)) / 4)


def test_certainty_counts_in_the_last_bin():
    p = torch.tensor([[1.0, 0.0]] * 4, dtype=torch.float64).log()
    found = reliability(p, torch.tensor([0, 0, 1, 1]), bins=15)
    assert found.count.tolist() == [0] * 14 + [4]
    assert found.error == pytest.approx(0.5)


def test_adaptive_bins_hold_equal_numbers():
    p = log_probabilities(draws(n=103))
    found = reliability(p, torch.randint(0, 5, (103,), generator=torch.Generator().manual_seed(2)), 10, adaptive=True)
    assert found.count.sum() == 103
    assert found.count.max() - found.count.min() <= 1
    assert (found.confidence[1:] >= found.confidence[:-1]).all()


def test_order_of_images_changes_nothing():
    p, labels = log_probabilities(draws()), torch.randint(0, 5, (200,), generator=torch.Generator().manual_seed(2))
    order = torch.randperm(200, generator=torch.Generator().manual_seed(3))
    for adaptive in (False, True):
        mine, permuted = (reliability(p[o], labels[o], adaptive=adaptive).error for o in (slice(None), order))
        assert mine == pytest.approx(permuted, abs=1e-12)


def test_the_fitted_temperature_is_the_true_one():
    """Labels drawn from softmax(logits / 2.5): the maximum-likelihood T is within 4 standard errors."""
    n, true = 20_000, 2.5
    logits = draws(n=n, classes=4, seed=5).double() * 2
    p = log_probabilities(logits, true).exp()
    labels = torch.multinomial(p, 1, generator=torch.Generator().manual_seed(6)).squeeze(1)
    found = fit_temperature(logits, labels)
    # Fisher information of β = 1/T is the variance of the logits under p, summed over images.
    variance = (p * logits.square()).sum(1) - (p * logits).sum(1).square()
    assert abs(1 / found - 1 / true) * math.sqrt(variance.sum().item()) < 4


def test_temperature_keeps_the_order_and_lowers_the_nll():
    logits, labels = draws(n=500) * 3, torch.randint(0, 5, (500,), generator=torch.Generator().manual_seed(2))
    logits[:, 0] += 4.0 * (labels == 0)
    temperature = fit_temperature(logits, labels)
    assert nll(log_probabilities(logits, temperature), labels).mean() < nll(log_probabilities(logits), labels).mean()
    assert torch.equal(log_probabilities(logits, temperature).argmax(1), logits.argmax(1))


def test_no_temperature_fits_when_all_are_right():
    with pytest.raises(InputError, match="no finite temperature"):
        fit_temperature(torch.eye(3), torch.arange(3))
