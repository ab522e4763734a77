"""Classwise ECE by hand, against torchmetrics and sklearn, and of images repeated."""

import math

import pytest
import torch
from sklearn.calibration import calibration_curve
from torch.nn.functional import one_hot
from torchmetrics.functional.classification import binary_calibration_error

from mixlens.analysis.errors import InputError
from mixlens.calibration.classwise import classwise_error, classwise_gaps
from mixlens.calibration.measures import bins_of


def draws(n=500, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    log_p = torch.log_softmax(2 * torch.randn(n, classes, generator=generator, dtype=torch.float64), 1)
    return log_p, torch.randint(classes, (n,), generator=generator)


def error(log_p, labels, bins=15):
    weights = torch.ones(1, len(labels), dtype=torch.float64)
    return classwise_error(classwise_gaps(log_p, labels, bins), log_p.shape[1], weights).item()


def test_two_classes_by_hand():
    """p₀ = 0.2, 0.4, 0.9 with labels 1, 0, 0 in two bins: (0 − 0.2 + 1 − 0.4) and (1 − 0.9); p₁ mirrors them."""
    p = torch.tensor([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]], dtype=torch.float64)
    assert error(p.log(), torch.tensor([1, 0, 0]), 2) == pytest.approx((0.4 + 0.1) / 3)


def test_edges_belong_to_the_bin_below_and_zero_to_the_first():
    """p₀ = 0 (right), ½ (wrong), a little more (right) and 1 (wrong): the first two share a bin, so do the others."""
    above = 0.5 + 1e-9
    p = torch.tensor([0.0, 0.5, above, 1.0], dtype=torch.float64)
    gaps = classwise_gaps(torch.stack([p, 1 - p], 1).log(), torch.tensor([0, 1, 0, 1]), 2).to_dense()[:2]
    expected = torch.tensor([[1.0, -0.5, 0, 0], [0, 0, 1 - above, -1.0]], dtype=torch.float64)
    torch.testing.assert_close(gaps, expected)


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_it_is_the_mean_of_torchmetrics_binary_errors(bins):
    """Class by class, one against the rest; no probability lies on an edge, and theirs is computed in float32."""
    log_p, labels = draws()
    theirs = [
        binary_calibration_error(log_p.exp()[:, c], (labels == c).long(), n_bins=bins, norm="l1").item()
        for c in range(4)
    ]
    assert error(log_p, labels, bins) == pytest.approx(sum(theirs) / 4, abs=1e-6)


def test_it_is_the_mean_of_sklearns_calibration_curves():
    log_p, labels = draws()
    total = 0.0
    for c in range(4):
        p, right = log_p.exp()[:, c], (labels == c).double()
        accuracy, mean = calibration_curve(right.numpy(), p.numpy(), n_bins=8, strategy="uniform")
        count = (p * 8).long().bincount(minlength=8)
        total += (abs(accuracy - mean) * count[count > 0].numpy()).sum() / len(p)
    assert error(log_p, labels, 8) == pytest.approx(total / 4)


@pytest.mark.parametrize("bins", [1, 7, 15])
def test_the_error_of_weights_is_that_of_images_repeated(bins):
    log_p, labels = draws(107)
    drawn = torch.randint(107, (30, 107), generator=torch.Generator().manual_seed(0))
    weights = one_hot(drawn, 107).sum(1).double()
    gaps = classwise_gaps(log_p, labels, bins)
    found = classwise_error(gaps, 4, weights)
    assert found.tolist() == pytest.approx([error(log_p[rows], labels[rows], bins) for rows in drawn])
    torch.testing.assert_close(torch.cat([classwise_error(gaps, 4, part) for part in weights.split(7)]), found)


def test_the_order_of_images_and_of_classes_changes_nothing():
    log_p, labels = draws()
    images = torch.randperm(500, generator=torch.Generator().manual_seed(3))
    classes = torch.tensor([2, 0, 3, 1])
    permuted = error(log_p[images][:, classes], classes.argsort()[labels[images]])
    assert permuted == pytest.approx(error(log_p, labels))


def test_with_two_classes_it_is_either_classs_ece():
    """p₁ = 1 − p₀, and their gaps are each other's negatives; an odd number of bins mirrors onto itself."""
    log_p, labels = draws(classes=2)
    for c in (0, 1):
        binary = bins_of(log_p.exp()[:, c], (labels == c).double(), 15).error
        assert error(log_p, labels) == pytest.approx(binary.item())


def test_a_calibrated_models_error_is_chance_alone():
    """Labels drawn from the model. One bin: the mean over classes of |z| √(Σ p (1 − p)) / n, E|z| = √(2/π)."""
    log_p, _ = draws(2000)
    p = log_p.exp()
    found = torch.tensor(
        [
            error(log_p, torch.multinomial(p, 1, generator=torch.Generator().manual_seed(seed)).squeeze(1), 1)
            for seed in range(200)
        ]
    )
    expected = math.sqrt(2 / math.pi) * (p * (1 - p)).sum(0).sqrt().mean().item() / 2000
    assert abs(found.mean().item() - expected) < 4 * found.std().item() / math.sqrt(200)


def test_certainty_that_is_right_has_no_error_and_that_is_wrong_has_two_classes():
    labels = torch.arange(8) % 4
    sure = one_hot(labels, 4).double().log()
    assert error(sure, labels) == 0
    assert error(sure, (labels + 1) % 4) == pytest.approx(2 / 4), "each class is named in vain, and missed, on n / 4"


@pytest.mark.parametrize("bins", [0, -3])
def test_an_error_without_bins_is_refused(bins):
    with pytest.raises(InputError, match=f"bins must be at least 1, got {bins}"):
        classwise_gaps(*draws(), bins)
