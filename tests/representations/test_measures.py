"""Bounds where the truth is known: Gaussian coordinates, and labels that depend on a feature in a known way."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Generator

from mixlens.analysis.errors import InputError
from mixlens.representations.measures import coordinates, image_information, label_information


def draws(count, dimensions, seed=0):
    return torch.randn(count, dimensions, generator=Generator().manual_seed(seed), dtype=torch.float64)


def gaussian(count, spectrum, seed):
    """Features that are linear in a Gaussian image, with covariance of this spectrum, turned and moved."""
    turned = torch.linalg.qr(draws(len(spectrum), len(spectrum), 99))[0]
    return draws(count, len(spectrum), seed) * torch.tensor(spectrum).sqrt() @ turned + 3


# coordinates


def test_coordinates_have_unit_extent_and_no_correlation():
    features = gaussian(500, [9.0, 4.0, 1.0], 0)
    fit, same = coordinates(features, features, 3)
    assert torch.equal(fit, same)
    covariance = fit.T @ fit / len(fit)
    assert covariance.trace() == pytest.approx(1)
    assert torch.allclose(covariance, covariance.diag().diag(), atol=1e-9)
    assert (covariance.diag().diff() < 0).all(), "the first is the widest"


def test_coordinates_do_not_depend_on_shift_rotation_and_scale():
    features, others = gaussian(300, [9.0, 4.0, 1.0, 0.1], 0), gaussian(50, [9.0, 4.0, 1.0, 0.1], 1)
    turned = torch.linalg.qr(draws(4, 4, 5))[0]
    before = coordinates(features, others, 2)[1]
    after = coordinates(7 * features @ turned - 2, 7 * others @ turned - 2, 2)[1]
    assert torch.allclose(before.abs(), after.abs(), atol=1e-8), "up to the components' signs"


def test_fewer_components_are_the_widest():
    features = gaussian(400, [100.0, 1.0], 0)
    widest, both = (coordinates(features, features, dimensions)[0] for dimensions in (1, 2))
    torch.testing.assert_close(widest, both[:, :1], rtol=0, atol=1e-12, msg="what is left out does not change the rest")
    assert 0.95 < widest.var() < both.var(0).sum()


def test_channels_that_never_change_change_nothing():
    features = gaussian(100, [9.0, 1.0], 0)
    more = torch.cat([features, torch.full((100, 3), 7.0)], 1)
    assert torch.allclose(coordinates(more, more, 2)[0].abs(), coordinates(features, features, 2)[0].abs())


def test_a_dead_layer_is_zero():
    same = torch.full((20, 3), 5.0)
    assert not coordinates(same, same, 3)[1].any()


# the image


@pytest.mark.parametrize("noise", [0.3, 0.8])
@pytest.mark.parametrize(
    "spectrum",
    [pytest.param([1.0], marks=pytest.mark.slow, id="1"), [4.0, 1.0, 0.25], [16.0, *([0.2] * 15)]],
    ids=["1", "3", "16"],
)
def test_the_truth_of_a_gaussian_layer_lies_between(spectrum, noise):
    """T = A X: I(T + noise; X) = ½ log det (I + Σ / σ²), Σ the coordinates' covariance, of trace 1."""
    fit, evaluated = coordinates(gaussian(4000, spectrum, 0), gaussian(1500, spectrum, 1), 64)
    relative = torch.tensor(spectrum) / np.sum(spectrum)
    truth = 0.5 * (1 + relative / noise**2).log().sum().item()
    found = image_information(fit, evaluated, noise, Generator().manual_seed(0))
    lower = found["infonce"]
    assert lower.value - 3 * lower.stderr < truth
    assert not lower.saturated
    for name in ("rate_gaussian", "rate_mixture", "leave_one_out"):
        assert found[name].bound == "upper"
        assert found[name].value + 3 * (found[name].stderr or 0.1) > truth
    assert found["rate_gaussian"].value == pytest.approx(truth, rel=0.05), "of Gaussians it is tight"
    assert lower.value == pytest.approx(truth, rel=0.12, abs=0.03)


def test_less_noise_gives_more_information_until_all_is_saturated():
    pair = coordinates(gaussian(500, [1.0] * 8, 0), gaussian(200, [1.0] * 8, 1), 8)
    found = [image_information(*pair, noise, Generator().manual_seed(0)) for noise in (1.0, 0.3, 0.003)]
    values = [each["rate_gaussian"].value for each in found]
    assert values == sorted(values)
    assert values[-1] > 8 * math.log(80), "without bound as noise goes to 0"
    assert [each["infonce"].saturated for each in found] == [False, False, True]
    assert found[-1]["infonce"].value <= found[-1]["infonce"].ceiling == pytest.approx(math.log(200))


def test_a_dead_layer_knows_nothing():
    found = image_information(torch.zeros(50, 2), torch.zeros(30, 2), 1.0, Generator().manual_seed(0))
    assert all(estimate.value == pytest.approx(0, abs=1e-9) for estimate in found.values())


def test_images_of_both_splits_are_left_out_of_the_fit():
    fit, evaluated = draws(100, 2), draws(30, 2, 1)
    both = torch.cat([fit, evaluated[:5]])
    ours, expected = (image_information(f, evaluated, 1.0, Generator().manual_seed(0)) for f in (both, fit))
    assert ours == expected


@pytest.mark.parametrize("noise", [0.0, -1.0, math.inf, math.nan])
def test_noise_that_is_none_is_refused(noise):
    with pytest.raises(InputError, match="noise must be positive"):
        image_information(draws(20, 2), draws(10, 2, 1), noise, Generator())


# the label


def world(count, seed, reach):
    """Two classes at ±reach in one of three directions, with unit noise, so that a logistic regression is right."""
    labels = torch.randint(2, (count,), generator=Generator().manual_seed(seed))
    features = draws(count, 3, seed + 100)
    features[:, 0] += reach * (2.0 * labels - 1)
    return features, labels


def truth_of(reach):
    """I(T; Y) = log 2 − E log(1 + exp(−2 reach (reach + ε))), ε ~ N(0, 1), by quadrature."""
    points, weights = np.polynomial.hermite_e.hermegauss(60)
    return math.log(2) - (weights * np.log1p(np.exp(-2 * reach * (reach + points)))).sum() / math.sqrt(2 * math.pi)


@pytest.mark.parametrize("reach", [0.0, 0.5, 1.0, 2.0])
def test_a_probe_of_the_right_form_comes_near_the_truth_from_below(reach):
    found = label_information(*world(4000, 0, reach), *world(4000, 1, reach), 2)
    truth = truth_of(reach)
    assert found.value < truth + 3 * found.stderr
    assert found.value > truth - 0.01 - 3 * found.stderr
    assert found.bound == "lower"
    assert found.ceiling == pytest.approx(math.log(2), abs=1e-3)


def test_its_error_is_that_of_repetitions():
    fit = world(1000, 0, 1.0)
    found = [label_information(*fit, *world(300, 10 + seed, 1.0), 2) for seed in range(100)]
    spread = np.std([each.value for each in found], ddof=1)
    assert np.mean([each.stderr for each in found]) == pytest.approx(spread, rel=0.25)


def test_a_plain_probe_of_scikit_learn():
    (fit, fit_labels), (features, labels) = world(300, 0, 1.0), world(200, 1, 1.0)
    fit, features = 5 * fit + 2, 5 * features + 2
    centre, scale = fit.mean(0), fit.std(0)
    q = LogisticRegression(max_iter=500).fit(((fit - centre) / scale).numpy(), fit_labels.numpy())
    p = torch.from_numpy(q.predict_proba(((features - centre) / scale).numpy()))
    p = (300 * p + 1) / 302
    frequencies = labels.bincount() / 200
    expected = -(frequencies * frequencies.log()).sum() + p[torch.arange(200), labels].log().mean()
    assert label_information(fit, fit_labels, features, labels, 2).value == pytest.approx(expected.item(), rel=1e-6)


def test_a_class_that_was_not_there_to_fit_on_costs_a_finite_number():
    (fit, fit_labels), (features, labels) = world(200, 0, 3.0), world(50, 1, 3.0)
    labels[0] = 2
    found = label_information(fit, fit_labels, features, labels, 3)
    assert math.isfinite(found.value)
    assert found.samples[0] == pytest.approx(math.log(50) + math.log(1 / 203))


def test_one_class_is_refused():
    with pytest.raises(InputError, match="200 training images are of one class"):
        label_information(draws(200, 2), torch.zeros(200).long(), draws(10, 2), torch.zeros(10).long(), 2)
