"""smECE against closed forms, exact kernel sums, and images repeated."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import ndtr

from mixlens.calibration.measures import bins_of
from mixlens.calibration.smooth import GRID, smooth_error


def draws(n=400, power=1.3, seed=0):
    """Confidences and whether each is right, which it is less often than it says where ``power`` is above 1."""
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.sigmoid(2 + 2 * torch.randn(n, generator=generator, dtype=torch.float64))
    right = torch.rand(n, generator=generator, dtype=torch.float64) < confidence**power
    return confidence, right.double()


def exact(confidence, right, points=4001):
    """The same from sums of every image's kernel and its mirror images, by the trapezoid rule."""
    c, gap = confidence.numpy(), (right - confidence).numpy()
    t = np.linspace(0, 1, points)[:, None]

    def at(sigma):
        mirrors = range(-math.ceil(3 * sigma) - 1, math.ceil(3 * sigma) + 2)
        distances = [t - 2 * k - sign * c for k in mirrors for sign in (1, -1)]
        kernel = sum(np.exp(-((d / sigma) ** 2) / 2) for d in distances) / (sigma * math.sqrt(2 * math.pi))
        return np.trapezoid(np.abs(kernel @ gap), t[:, 0]) / len(c)

    return brentq(lambda sigma: at(sigma) - sigma, 1e-3, 1, xtol=1e-8)


@pytest.mark.parametrize("power", [0.5, 4.0, *(pytest.param(power, marks=pytest.mark.slow) for power in (1.0, 1.3))])
def test_it_is_the_fixed_point_of_exact_kernel_sums(power):
    confidence, right = draws(power=power)
    assert smooth_error(confidence, right).item() == pytest.approx(exact(confidence, right), abs=2e-4)


def test_it_is_that_of_exact_kernel_sums_where_all_are_sure():
    """Confidences in [0.98, 1] and an error near 0.004: the kernel is eight cells wide."""
    generator = torch.Generator().manual_seed(1)
    confidence = 1 - 0.02 * torch.rand(600, generator=generator, dtype=torch.float64) ** 3
    right = (torch.rand(600, generator=generator) < 0.998).double()
    assert smooth_error(confidence, right).item() == pytest.approx(exact(confidence, right), abs=2e-5)


@pytest.mark.parametrize("confidence", [0.0, 0.1, 0.7123, 1 - 1e-9, 1.0])
def test_images_of_one_confidence_have_the_gap_of_their_means(confidence):
    """A reflected kernel loses no mass, also at the ends."""
    right = (torch.arange(10) < 3).double()
    found = smooth_error(torch.full((10,), confidence, dtype=torch.float64), right)
    assert found.item() == pytest.approx(abs(0.3 - confidence), abs=1e-9)


def test_a_gap_that_is_the_same_everywhere_is_the_error():
    confidence = torch.linspace(0, 1, 1001, dtype=torch.float64)
    assert smooth_error(confidence, confidence - 0.07).item() == pytest.approx(0.07)


def test_gaps_that_cancel_nearby_are_smoothed_away_by_as_much_as_their_distance():
    """Half the images 2 d above the other half, with opposite gaps of g: g · P(|z| < d/σ) = σ, by hand."""
    d, g = 0.03, 0.4
    confidence = torch.tensor([0.5 - d, 0.5 + d], dtype=torch.float64)
    right = confidence + torch.tensor([g, -g], dtype=torch.float64)
    by_hand = brentq(lambda sigma: g * (2 * ndtr(d / sigma) - 1) - sigma, 1e-3, 1)
    assert 0.06 < by_hand < 0.15, "far from either end of [0, 1]"
    assert smooth_error(confidence, right).item() == pytest.approx(by_hand, abs=2e-4)


def test_what_is_right_as_often_as_it_says_has_no_error():
    confidence = torch.rand(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert smooth_error(confidence, confidence).item() == 0


def test_the_error_of_a_calibrated_network_falls_with_the_number_of_images():
    """Chance alone: gaps of a kernel's width average out, ∝ (N σ)^−½ = σ, so that σ ∝ N^−⅓; N = 400 to 25,600: ¼."""
    means = [np.mean([smooth_error(*draws(n, 1.0, seed)).item() for seed in range(30)]) for n in (400, 25_600)]
    assert 0.01 < means[0] < 0.1
    assert means[0] / means[1] == pytest.approx(4, rel=0.25)


def test_a_small_step_of_the_confidences_is_a_small_step_of_the_error():
    """Where the ECE of bins jumps: images on an edge, half of them right."""
    right = (torch.arange(100) % 2).double()
    sides = [0.5 + step * (2 * right - 1) for step in (1e-6, -1e-6)]
    assert [bins_of(confidence, right, 2).error.item() for confidence in sides] == pytest.approx([0.5, 0.5], abs=1e-5)
    assert [smooth_error(confidence, right).item() for confidence in sides] == pytest.approx([0, 0], abs=2e-3)
    assert smooth_error(torch.full_like(right, 0.5), right).item() == pytest.approx(0, abs=1e-9)


def test_the_order_of_images_changes_nothing():
    confidence, right = draws()
    order = torch.randperm(len(right), generator=torch.Generator().manual_seed(3))
    assert smooth_error(confidence[order], right[order]).item() == pytest.approx(smooth_error(confidence, right).item())


def test_the_error_of_weights_is_that_of_images_repeated():
    confidence, right = draws(107)
    drawn = torch.randint(107, (20, 107), generator=torch.Generator().manual_seed(0))
    weights = torch.nn.functional.one_hot(drawn, 107).sum(1).double()
    found = smooth_error(confidence, right, weights)
    assert found.shape == (20,)
    assert found.tolist() == pytest.approx([smooth_error(confidence[rows], right[rows]).item() for rows in drawn])
    torch.testing.assert_close(torch.cat([smooth_error(confidence, right, part) for part in weights.split(7)]), found)
    torch.testing.assert_close(smooth_error(confidence, right, weights.view(4, 5, 107)), found.view(4, 5))


def test_it_lies_between_nothing_and_one():
    wrong = smooth_error(torch.ones(5, dtype=torch.float64), torch.zeros(5, dtype=torch.float64))
    assert wrong.item() == pytest.approx(1, abs=1e-4)
    for seed in range(5):
        assert 0 <= smooth_error(*draws(3, seed=seed)).item() <= 1


def test_it_leaves_the_device_alone():
    """The meta device refuses whatever lies on another and whatever is read back."""
    with torch.device("meta"):
        confidence, right, weights = torch.rand(9).double(), torch.rand(9).double(), torch.rand(4, 9).double()
    assert smooth_error(confidence, right, weights).shape == (4,)
    assert GRID == 2**11, "what the README says"
