"""Divergences, smoothing and calibration errors against closed forms, scipy and cases worked by hand."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.spatial.distance import jensenshannon
from scipy.special import rel_entr
from scipy.stats import entropy as scipy_entropy
from scipy.stats import spearmanr
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV, calibration_curve
from sklearn.metrics import log_loss
from torchmetrics.functional.classification import multiclass_calibration_error

from mixlens.analysis.errors import InputError
from mixlens.calibration import measures
from mixlens.calibration.classwise import classwise_gaps
from mixlens.calibration.measures import (
    are_votes,
    bins_of,
    brier,
    check_counts,
    check_probabilities,
    cross_entropy,
    divergence,
    entropy,
    jensen_shannon,
    log_probabilities,
    nll,
    rank_correlation,
    reliability,
    second_best,
    smoothed,
    split_half,
    total_variation,
)
from mixlens.calibration.temperature import fit_temperature


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
        mine, permuted = (reliability(p[o], labels[o], adaptive=adaptive).error.item() for o in (slice(None), order))
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


# counts and probabilities


@pytest.mark.parametrize(
    ("counts", "told"),
    [
        (torch.tensor([[3, 0], [0, 4]]), True),
        (torch.tensor([[3, 0], [0, 4]], dtype=torch.uint8), True),
        (torch.tensor([[3.0, 0.0], [0.0, 4.0]]), True),
        (torch.tensor([[3.0, 0.0], [0.5, 0.5]]), False),
        (torch.tensor([[0.9, 0.1], [0.2, 0.8]]), False),
        (torch.tensor([[1.0, 0.0], [1 - 1e-12, 1e-12]], dtype=torch.float64), False),
    ],
)
def test_votes_are_whole_numbers(counts, told):
    assert are_votes(counts) is told


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_probabilities_sum_to_one_within_their_precision(dtype):
    check_probabilities(torch.tensor([[0.5, 0.25, 0.25], [1, 0, 0]], dtype=dtype))
    check_probabilities(torch.softmax(draws(), 1))


@pytest.mark.parametrize("excess", [1e-3, 2e-4, -2e-4, -0.5])
def test_probabilities_that_do_not_sum_to_one_are_refused_by_image_and_sum(excess):
    p = torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.5, 0.5 + excess]], dtype=torch.float64)
    with pytest.raises(InputError) as caught:
        check_probabilities(p)
    assert f"those of image 2 sum to {1 + excess:g}. Give probabilities, or whole numbers of votes." in str(
        caught.value
    )
    p[2, 1] -= 0.9 * excess
    if abs(excess) < 1e-3:
        check_probabilities(p)


def test_checked_counts_come_back_as_they_are():
    counts = torch.tensor([[3, 1], [0, 2]])
    assert check_counts(counts) is counts


def test_probabilities_give_what_their_votes_give():
    """Without smoothing only the frequencies matter; with it, so does their number."""
    counts = torch.tensor([[30, 10, 0], [0, 5, 5]])
    shares = counts / counts.sum(1, keepdim=True).double()
    torch.testing.assert_close(smoothed(shares, 0), smoothed(counts, 0))
    torch.testing.assert_close(smoothed(7 * counts, 0), smoothed(counts, 0))
    assert (smoothed(shares, 0.5) - smoothed(counts, 0.5)).abs().max() > 0.1


def test_smoothing_goes_from_the_frequencies_to_uniform():
    counts = torch.tensor([[7, 2, 0, 1]])
    assert entropy(smoothed(counts, 1e9)).item() == pytest.approx(math.log(4), abs=1e-9)
    entropies = [entropy(smoothed(counts, pseudo)).item() for pseudo in (0, 0.05, 0.5, 5, 50)]
    assert entropies == sorted(entropies)
    for pseudo in (0, 0.05, 5):
        assert smoothed(counts, pseudo).exp().sum().item() == pytest.approx(1)


# what changes nothing


def every_measure():
    """Each per-image measure, from log-probabilities of a model, people's counts and labels."""
    return {
        "human‖model": lambda p, counts, labels: divergence(smoothed(counts, 0), p),
        "model‖human": lambda p, counts, labels: divergence(p, smoothed(counts, 0.5)),
        "model‖human, infinite": lambda p, counts, labels: divergence(p, smoothed(counts, 0)),
        "cross entropy": lambda p, counts, labels: cross_entropy(smoothed(counts, 0), p),
        "entropy": lambda p, counts, labels: entropy(p),
        "jensen-shannon": lambda p, counts, labels: jensen_shannon(p, smoothed(counts, 0)),
        "total variation": lambda p, counts, labels: total_variation(p, smoothed(counts, 0)),
        "second best": lambda p, counts, labels: second_best(p, counts),
        "nll": lambda p, counts, labels: nll(p, labels),
        "brier": lambda p, counts, labels: brier(p, labels),
    }


def world(n=60, classes=5):
    """A model, people and labels. No image has a tie for people's first place, which is decided by the index."""
    counts = torch.randint(0, 4, (n, classes), generator=torch.Generator().manual_seed(7))
    counts[torch.arange(n), torch.arange(n) % classes] += 10
    return log_probabilities(draws(n, classes)), counts, torch.arange(n) % classes


@pytest.mark.parametrize("name", every_measure())
def test_an_image_is_measured_by_itself(name):
    measure = every_measure()[name]
    whole = measure(*world())
    assert whole.shape == (60,)
    assert whole.dtype == torch.float64
    alone = torch.cat([measure(*(part[i : i + 1] for part in world())) for i in range(60)])
    torch.testing.assert_close(alone, whole, equal_nan=True)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(measure(*(part[order] for part in world())), whole[order], equal_nan=True)


@pytest.mark.parametrize("name", every_measure())
def test_the_order_of_the_classes_changes_nothing(name):
    measure, (p, counts, labels) = every_measure()[name], world()
    order = torch.tensor([3, 0, 4, 1, 2])
    permuted = measure(p[:, order], counts[:, order], order.argsort()[labels])
    torch.testing.assert_close(permuted, measure(p, counts, labels), equal_nan=True)


def test_a_constant_added_to_an_images_logits_changes_nothing():
    torch.testing.assert_close(log_probabilities(draws().double() + 100), log_probabilities(draws()))


def test_logits_far_apart_stay_finite_where_the_divergence_is():
    """A softmax of ± 2000 underflows to zero; its logarithm does not."""
    p = log_probabilities(torch.tensor([[2000.0, -2000.0, 0.0]]))
    people = smoothed(torch.tensor([[1, 1, 0]]), 0)
    assert divergence(people, p).item() == pytest.approx(2000 - math.log(2))
    assert nll(p, torch.tensor([1])).item() == pytest.approx(4000)
    assert entropy(p).item() == 0
    assert divergence(p, people).item() == pytest.approx(math.log(2))


def test_second_best_is_a_plain_loop():
    p, counts, _ = world(200)
    counts[::9] = torch.tensor([5, 0, 0, 0, 0])
    for row, found in zip(range(200), second_best(p, counts).tolist(), strict=True):
        votes = counts[row].tolist()
        first = votes.index(max(votes))
        others = {c: v for c, v in enumerate(votes) if c != first}
        wanted = {c for c, v in others.items() if v == max(others.values())} if max(others.values()) else None
        model = p[row].argsort(descending=True)[1].item()
        assert math.isnan(found) if wanted is None else found == (model in wanted)


def test_the_odd_vote_goes_to_the_first_half():
    """Three votes for one class of two, a = ½: (2.5, 0.5)/3 and (1.5, 0.5)/2, whatever is dealt."""
    found = split_half(torch.tensor([[3, 0]]), 0.5, torch.Generator().manual_seed(0)).item()
    assert found == pytest.approx(5 / 6 * math.log(10 / 9) + 1 / 6 * math.log(2 / 3))


def test_two_halves_of_a_multinomial_are_two_independent_draws():
    """n votes of a known θ, dealt into two: the mean divergence between binomials of n₁ and n₂, as a z-score."""
    theta, votes, images, pseudo = 0.7, 9, 4000, 0.5
    draw = torch.rand(images, votes, generator=torch.Generator().manual_seed(4)) < theta
    counts = torch.stack([draw.sum(1), votes - draw.sum(1)], 1)
    found = split_half(counts, pseudo, torch.Generator().manual_seed(5))
    mean = square = 0.0
    for a in range(6):  # the odd vote goes to the first half
        for b in range(5):
            chance = math.comb(5, a) * math.comb(4, b) * theta ** (a + b) * (1 - theta) ** (9 - a - b)
            p, q = (np.array([a, 5 - a]) + pseudo) / 6, (np.array([b, 4 - b]) + pseudo) / 5
            d = rel_entr(p, q).sum()
            mean, square = mean + chance * d, square + chance * d * d
    assert abs(found.mean().item() - mean) / math.sqrt((square - mean**2) / images) < 4


# independent libraries


def test_jensen_shannon_is_scipys_distance_squared():
    p, counts, _ = world()
    raw = smoothed(counts, 0)
    theirs = jensenshannon(p.exp().numpy(), raw.exp().numpy(), axis=1) ** 2
    assert jensen_shannon(p, raw).numpy() == pytest.approx(theirs, rel=1e-9)


def test_divergences_from_people_are_scipys():
    p, counts, _ = world()
    model, raw = p.exp().numpy(), counts.numpy() / counts.numpy().sum(1, keepdims=True)
    assert divergence(smoothed(counts, 0), p).numpy() == pytest.approx(scipy_entropy(raw, model, axis=1), rel=1e-9)
    theirs = scipy_entropy(model, raw, axis=1)
    assert np.isinf(theirs).mean() > 0.3
    assert divergence(p, smoothed(counts, 0)).numpy() == pytest.approx(theirs, rel=1e-9)


def test_the_mean_nll_is_sklearns_log_loss():
    p, _, labels = world()
    assert nll(p, labels).mean().item() == pytest.approx(log_loss(labels, p.exp().numpy(), labels=range(5)))


def test_the_mean_brier_score_is_sklearns():
    from sklearn.metrics import brier_score_loss

    p, _, labels = world()
    two = torch.log_softmax(p[:, :2], 1)
    right = (labels == 1).long()
    theirs = brier_score_loss(right, two[:, 1].exp().numpy())  # of one class: half of the sum over both
    assert brier(two, right).mean().item() == pytest.approx(2 * theirs)
    hard = np.eye(5)[labels]
    assert brier(p, labels).mean().item() == pytest.approx(((p.exp().numpy() - hard) ** 2).sum(1).mean())


@pytest.mark.parametrize(("bins", "strategy"), [(15, "uniform"), (7, "uniform"), (10, "quantile"), (20, "quantile")])
def test_a_reliability_diagram_is_sklearns_calibration_curve(bins, strategy):
    """No confidence lies on an edge here; there the two differ: theirs are [a, b), ours (a, b]."""
    p = log_probabilities(draws(n=400))
    labels = torch.randint(0, 5, (400,), generator=torch.Generator().manual_seed(2))
    confidence, predicted = p.exp().max(1)
    right = (predicted == labels).long()
    accuracy, mean = calibration_curve(right, confidence.numpy(), n_bins=bins, strategy=strategy)
    found = reliability(p, labels, bins, adaptive=strategy == "quantile")
    filled = found.count > 0
    assert found.accuracy[filled].numpy() == pytest.approx(accuracy)
    assert found.confidence[filled].numpy() == pytest.approx(mean)
    assert found.confidence[~filled].isnan().all()
    assert found.accuracy[~filled].isnan().all()


def calibration_error(confidence, right, bins, adaptive):
    """A plain loop over bins and images."""
    n = len(confidence)
    if adaptive:
        order = confidence.argsort(kind="stable")
        parts = [order[[i for i in range(n) if i * bins // n == k]] for k in range(bins)]
    else:
        parts = [np.flatnonzero((confidence > k / bins) & (confidence <= (k + 1) / bins)) for k in range(bins)]
    return sum(len(part) / n * abs(right[part].mean() - confidence[part].mean()) for part in parts if len(part))


@pytest.mark.parametrize("adaptive", [False, True])
def test_the_calibration_error_is_a_plain_loop(adaptive):
    p = log_probabilities(draws(n=107))
    labels = torch.randint(0, 5, (107,), generator=torch.Generator().manual_seed(2))
    confidence, right = p.exp().max(1).values.numpy(), (p.argmax(1) == labels).numpy()
    expected = calibration_error(confidence, right, 9, adaptive)
    assert reliability(p, labels, 9, adaptive=adaptive).error == pytest.approx(expected)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("bins", [1, 7, 15, 150])
def test_the_calibration_error_of_weights_is_that_of_images_repeated(bins, adaptive, ties):
    """Each resample as its images in a loop; without ties in any order, with ties in that of their numbers."""
    generator = torch.Generator().manual_seed(0)
    n = 107
    confidence, chance = torch.rand(2, n, generator=generator, dtype=torch.float64)
    confidence = (7 * confidence).ceil() / 7 if ties else confidence
    right = (chance < confidence).double()
    drawn = torch.randint(n, (50, n), generator=generator)
    weights = torch.nn.functional.one_hot(drawn, n).sum(1).double()
    found = bins_of(confidence, right, bins, adaptive=adaptive, weights=weights)
    assert found.error.shape == (50,)
    assert (found.count.sum(1) == n).all()
    for rows, error in zip(drawn.sort(1).values if ties else drawn, found.error, strict=True):
        expected = calibration_error(confidence[rows].numpy(), right[rows].numpy(), bins, adaptive)
        assert error.item() == pytest.approx(expected, rel=1e-12)
    alone = bins_of(confidence[rows], right[rows], bins, adaptive=adaptive)
    for part in ("confidence", "accuracy", "count"):
        mine, plain = getattr(found, part)[-1].numpy(), getattr(alone, part).numpy()
        assert mine == pytest.approx(plain, rel=1e-12, nan_ok=True)


# rank correlation


@pytest.mark.parametrize("levels", [2, 9, None])
def test_the_rank_correlation_of_weights_is_scipys_of_images_repeated(levels):
    """Values of few levels are tied before any image is repeated."""
    generator = torch.Generator().manual_seed(0)
    first, noise = torch.rand(2, 60, generator=generator, dtype=torch.float64)
    second = first + noise
    if levels is not None:
        first, second = (first * levels).floor(), (second * levels).floor()
    drawn = torch.randint(60, (100, 60), generator=generator)
    found = rank_correlation(first, second, torch.nn.functional.one_hot(drawn, 60).sum(1).double())
    for rows, mine in zip(drawn, found.tolist(), strict=True):
        assert mine == pytest.approx(spearmanr(first[rows], second[rows]).statistic, abs=1e-12)


def test_what_is_the_same_for_all_images_that_are_there_has_no_rank_correlation():
    first, second = torch.tensor([[1.0, 1, 2], [0.1, 0.2, 0.3]], dtype=torch.float64)
    weights = torch.tensor([[2.0, 1, 0], [0, 3, 0], [1, 1, 1], [0, 2, 1]], dtype=torch.float64)
    expected = [math.nan, math.nan, math.sqrt(3) / 2, 1]
    assert rank_correlation(first, second, weights).tolist() == pytest.approx(expected, nan_ok=True)
    assert rank_correlation(second, -second, weights).tolist() == pytest.approx([-1, math.nan, -1, -1], nan_ok=True)


@pytest.mark.parametrize("adaptive", [False, True])
def test_measures_of_weights_leave_the_device_alone(adaptive):
    """The meta device refuses whatever lies on another and whatever is read back."""
    with torch.device("meta"):
        confidence, right, weights = torch.rand(9).double(), torch.rand(9).double(), torch.rand(4, 9).double()
    assert bins_of(confidence, right, 5, adaptive=adaptive, weights=weights).error.shape == (4,)
    assert rank_correlation(confidence, right, weights).shape == (4,)


def test_with_one_bin_the_calibration_error_is_the_gap_of_the_means():
    confidence, right = torch.tensor([0.6, 0.7, 0.8], dtype=torch.float64), torch.tensor([1.0, 0, 0]).double()
    for adaptive in (False, True):
        assert bins_of(confidence, right, 1, adaptive=adaptive).error == pytest.approx(0.7 - 1 / 3)


def test_more_adaptive_bins_than_images_hold_one_each():
    confidence, right = torch.tensor([0.9, 0.6, 0.7], dtype=torch.float64), torch.tensor([1.0, 0, 1]).double()
    found = bins_of(confidence, right, 8, adaptive=True)
    assert found.count.max() == 1
    assert found.error == pytest.approx((0.1 + 0.6 + 0.3) / 3)


@pytest.mark.parametrize("bins", [0, -3])
def test_a_diagram_without_bins_is_refused(bins):
    with pytest.raises(InputError, match=f"bins must be at least 1, got {bins}"):
        reliability(log_probabilities(draws()), torch.zeros(200), bins)


def test_a_calibrated_models_error_is_chance_alone():
    """Labels drawn from the model: E(right − confidence) = 0, so that the one-bin gap is a z-score."""
    p = log_probabilities(draws(n=5000))
    labels = torch.multinomial(p.exp(), 1, generator=torch.Generator().manual_seed(8)).squeeze(1)
    confidence = p.exp().max(1).values
    sd = (confidence * (1 - confidence)).mean().sqrt().item() / math.sqrt(5000)
    assert reliability(p, labels, 1).error / sd < 4
    assert abs((nll(p, labels) - entropy(p)).mean().item()) < 4 * (nll(p, labels) - entropy(p)).std().item() / 5000**0.5


# temperature


def noisy(n=400, classes=4):
    """Logits that know something of their labels, too sure of it."""
    generator = torch.Generator().manual_seed(9)
    labels = torch.randint(0, classes, (n,), generator=generator)
    logits = 3 * torch.randn(n, classes, generator=generator, dtype=torch.float64)
    logits[torch.arange(n), labels] += 2
    return logits, labels


def test_the_temperature_is_where_the_derivative_is_zero():
    """d NLL / d(1/T) = E Σ p z − z_label, whose zero a root finder brackets."""
    logits, labels = (part.numpy() for part in noisy())

    def slope(beta):
        p = np.exp(beta * logits - np.logaddexp.reduce(beta * logits, axis=1, keepdims=True))
        return ((p * logits).sum(1) - logits[np.arange(len(labels)), labels]).mean()

    assert fit_temperature(*noisy()) == pytest.approx(1 / brentq(slope, 1e-3, 1e3, xtol=1e-12), rel=1e-9)


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose inputs are its logits."""

    def fit(self, logits, labels):
        self.classes_ = np.unique(labels)
        return self

    def decision_function(self, logits):
        return logits

    def predict(self, logits):
        return self.classes_[logits.argmax(1)]


def test_the_temperature_is_sklearns():
    pytest.importorskip("sklearn", minversion="1.8", reason="sklearn has temperature scaling from 1.8 on")
    from sklearn.frozen import FrozenEstimator

    logits, labels = noisy()
    frozen = FrozenEstimator(Given().fit(logits.numpy(), labels.numpy()))
    theirs = CalibratedClassifierCV(frozen, method="temperature", ensemble=False).fit(logits.numpy(), labels.numpy())
    mine = log_probabilities(logits, fit_temperature(logits, labels)).exp().numpy()
    assert mine == pytest.approx(theirs.predict_proba(logits.numpy()), abs=1e-4)


@pytest.mark.parametrize("factor", [1e-30, 1e-4, 0.5, 1e4, 1e30])
def test_the_temperature_follows_the_scale_of_the_logits(factor):
    logits, labels = noisy()
    assert fit_temperature(factor * logits, labels) == pytest.approx(factor * fit_temperature(logits, labels), rel=1e-9)


def test_the_temperature_knows_no_order_and_no_shift():
    logits, labels = noisy()
    images, classes = torch.randperm(400, generator=torch.Generator().manual_seed(1)), torch.tensor([2, 0, 3, 1])
    permuted = fit_temperature(logits[images][:, classes] + 5, classes.argsort()[labels[images]])
    assert permuted == pytest.approx(fit_temperature(logits, labels), rel=1e-4)


@pytest.mark.parametrize("name", ["equal", "reversed"])
def test_no_temperature_fits_logits_that_know_nothing(name):
    logits, labels = noisy()
    with pytest.raises(InputError, match="the logits say nothing about the labels"):
        fit_temperature({"equal": torch.zeros_like(logits), "reversed": -logits}[name], labels)


# torchmetrics' ECE, whose bins are [a, b) where ours are (a, b], so that a confidence of exactly 1 has one of its own


def with_confidence(confidence):
    """Log-probabilities (N, 4) whose greatest is the given one, of class 0."""
    confidence = torch.as_tensor(confidence, dtype=torch.float64)
    rest = ((1 - confidence) / 3).unsqueeze(1).expand(-1, 3)
    return torch.cat([confidence.unsqueeze(1), rest], 1).log()


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_ece_is_torchmetrics_between_the_bins_edges(bins):
    source = torch.Generator().manual_seed(0)
    log_p = torch.log_softmax(3 * torch.randn(500, 4, generator=source, dtype=torch.float64), 1)
    labels = torch.randint(4, (500,), generator=source)
    theirs = multiclass_calibration_error(log_p.exp(), labels, 4, n_bins=bins, norm="l1")
    assert reliability(log_p, labels, bins).error == pytest.approx(theirs.item(), abs=1e-6), (
        "theirs is computed in float32"
    )


def test_a_confidence_of_exactly_one_lies_in_the_last_bin_which_torchmetrics_has_wrong():
    """Ten images at 0.95, all right, and ten at 1, all wrong: one bin of confidence 0.975 and accuracy ½."""
    log_p = with_confidence([0.95] * 10 + [1.0] * 10)
    labels = torch.tensor([0] * 10 + [1] * 10)
    assert reliability(log_p, labels, 10).error == pytest.approx(0.475)
    theirs = multiclass_calibration_error(log_p.exp(), labels, 4, n_bins=10, norm="l1")
    assert theirs.item() == pytest.approx(0.5 * 0.05 + 0.5 * 1), "two bins"


# logits are no log-probabilities


@pytest.mark.parametrize(
    "measure",
    [measures.reliability, measures.nll, measures.brier, measures.against_labels, classwise_gaps],
    ids=lambda measure: measure.__name__,
)
@pytest.mark.parametrize(
    ("change", "labels", "words"),
    [
        (
            lambda log_p: log_p + 3,
            torch.arange(6) % 4,
            r"exponentials sum to one .* of image 0 sum to 20\.1\.",
        ),
        (lambda log_p: log_p.exp(), torch.arange(6) % 4, "of probabilities their logarithm"),
        (lambda log_p: log_p * torch.nan, torch.arange(6) % 4, "sum to nan"),
        (lambda log_p: log_p[0], torch.arange(6) % 4, r"expected log-probabilities \(N, C\), got \(4,\)"),
        (lambda log_p: log_p, torch.arange(5) % 4, r"integer labels \(6,\), got \(5,\)"),
        (lambda log_p: log_p, torch.arange(6), "labels must lie in 0 to 3"),
        (lambda log_p: log_p, torch.ones(6), r"got \(6,\) of torch\.float32"),
    ],
)
def test_what_are_no_log_probabilities_and_labels(measure, change, labels, words):
    log_p = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).log_softmax(1)
    measure(log_p, torch.arange(6) % 4)
    with pytest.raises(InputError, match=words):
        measure(change(log_p), labels)


def test_log_probabilities_may_be_minus_infinity():
    log_p = torch.tensor([[0.0, -torch.inf], [-torch.inf, 0.0]])
    assert measures.reliability(log_p, torch.tensor([0, 1])).error == 0
