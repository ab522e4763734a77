import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize_scalar
from scipy.special import log_softmax

from mixlens.analysis.errors import InputError
from mixlens.calibration import measures
from mixlens.calibration.temperature import fit_temperature, scale

CLASSES = 4


def temperature(logits, labels):
    """The zero of d NLL / d(1/T) = E Σ p z − z_label."""

    def slope(beta):
        p = np.exp(log_softmax(beta * logits, axis=1))
        return ((p * logits).sum(1) - logits[np.arange(len(labels)), labels]).mean()

    return 1 / brentq(slope, 1e-3, 1e3, xtol=1e-12)


def noisy(n=301):
    generator = torch.Generator().manual_seed(9)
    labels = torch.randint(0, CLASSES, (n,), generator=generator)
    logits = 3 * torch.randn(n, CLASSES, generator=generator)
    logits[torch.arange(n), labels] += 2
    return logits, labels


def halves(n, seed=0):
    """As `scale` draws them: which images lie in the first half."""
    first = torch.zeros(n, dtype=torch.bool)
    first[torch.randperm(n, generator=torch.Generator().manual_seed(seed))[: n // 2]] = True
    return first


def test_each_half_is_scaled_by_the_others_temperature():
    logits, labels = noisy()
    found, temperatures = scale(logits, labels, torch.Generator().manual_seed(0))
    first = halves(len(labels))
    for fitted, applied, used in ((first, ~first, temperatures[0]), (~first, first, temperatures[1])):
        assert used == pytest.approx(temperature(logits[fitted].double().numpy(), labels[fitted].numpy()), rel=1e-4)
        torch.testing.assert_close(found[applied], measures.log_probabilities(logits[applied], used))
    assert temperatures[0] != temperatures[1]
    assert found.isfinite().all()


def test_no_label_moves_its_own_half():
    logits, labels = noisy()
    found, temperatures = scale(logits, labels, torch.Generator().manual_seed(0))
    first = halves(len(labels))
    changed = torch.where(first & (torch.arange(len(labels)) % 3 == 0), (labels + 1) % CLASSES, labels)
    other, moved = scale(logits, changed, torch.Generator().manual_seed(0))
    assert moved[0] != temperatures[0]
    assert moved[1] == temperatures[1]
    assert torch.equal(other[first], found[first])
    assert not torch.equal(other[~first], found[~first])


def test_the_temperature_of_a_known_model_is_found_by_both_halves():
    """Labels drawn at T = 2: each half's 1/T within 4 standard errors, by its Fisher information."""
    generator = torch.Generator().manual_seed(5)
    logits = 4 * torch.randn(8000, CLASSES, generator=generator, dtype=torch.float64)
    p = torch.softmax(logits / 2, 1)
    labels = torch.multinomial(p, 1, generator=generator).squeeze(1)
    variance = (p * logits.square()).sum(1) - (p * logits).sum(1).square()
    _, temperatures = scale(logits, labels, torch.Generator().manual_seed(0))
    for found in temperatures:
        assert abs(1 / found - 0.5) * math.sqrt(variance.sum().item() / 2) < 4


def test_a_network_no_temperature_fits_has_its_other_rows():
    """Right on every image: the sharper the better, without end."""
    labels = torch.arange(60) % 3
    logits = 4 * torch.nn.functional.one_hot(labels, 3).float()
    assert scale(logits, labels, torch.Generator().manual_seed(0)) is None


# soft labels


def people(logits, true, votes=50):
    """Votes drawn from softmax(logits / true)."""
    generator = torch.Generator().manual_seed(11)
    dealt = torch.multinomial(torch.softmax(logits / true, 1), votes, replacement=True, generator=generator)
    return torch.nn.functional.one_hot(dealt, logits.shape[1]).sum(1)


def test_labels_are_soft_labels_of_one_class():
    logits, labels = noisy()
    hard = torch.nn.functional.one_hot(labels, CLASSES)
    assert fit_temperature(logits, hard) == pytest.approx(fit_temperature(logits, labels), rel=1e-12)
    assert fit_temperature(logits, hard.float()) == pytest.approx(fit_temperature(logits, labels), rel=1e-12)


def test_the_temperature_for_people_is_lowest_in_cross_entropy():
    """Against a search without its derivative, which knows a minimum to the root of a rounding error."""
    logits = noisy()[0].double()
    shares = people(logits, 2.5) / 50

    def loss(log_t):
        return -(shares.numpy() * log_softmax(logits.numpy() / np.exp(log_t), axis=1)).sum(1).mean()

    searched = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9})
    assert fit_temperature(logits, shares) == pytest.approx(np.exp(searched.x), rel=1e-6)


def test_the_temperature_of_people_who_vote_as_the_model_says_is_found_by_both_halves():
    """50 votes an image at T = 2.5: each half's 1/T within 4 standard errors, by its Fisher information."""
    logits = 2 * torch.randn(2000, CLASSES, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    p = torch.softmax(logits / 2.5, 1)
    variance = (p * logits.square()).sum(1) - (p * logits).sum(1).square()
    log_p, temperatures = scale(logits, people(logits, 2.5) / 50, torch.Generator().manual_seed(0))
    for found in temperatures:
        assert abs(1 / found - 0.4) * math.sqrt(50 * variance.sum().item() / 2) < 4
    first = halves(len(logits))
    torch.testing.assert_close(log_p[first], measures.log_probabilities(logits[first], temperatures[1]))


def test_people_have_a_temperature_where_all_images_are_right():
    """As long as some do not vote for the label: ¾ of them, so that e^(4/T) = 3 · 2."""
    labels = torch.arange(60) % 3
    logits = 4 * torch.nn.functional.one_hot(labels, 3).double()
    shares = 0.75 * logits / 4 + 0.125 * (1 - logits / 4)
    assert fit_temperature(logits, shares) == pytest.approx(4 / math.log(6), rel=1e-9)


# wherever the minimum lies


@pytest.mark.parametrize("images", [10, 10**3, 10**5])
def test_one_mistake_among_many_images_has_a_temperature(images):
    """Right by a gap of 1 on all but one image of two classes: e^(1/T) = images − 1."""
    logits = torch.tensor([[1.0, 0.0]]).repeat(images, 1)
    labels = torch.zeros(images, dtype=torch.long)
    labels[3] = 1
    assert fit_temperature(logits, labels) == pytest.approx(1 / math.log(images - 1), rel=1e-8)


@pytest.mark.parametrize("more", [1, 100])
def test_logits_that_know_next_to_nothing_have_a_high_temperature(more):
    """Of 2 n + d images of two classes n + d are right: e^(1/T) = 1 + d / n."""
    n = 10**4
    labels = (torch.arange(2 * n + more) < n).long()
    logits = torch.tensor([[1.0, 0.0]]).repeat(len(labels), 1)
    assert fit_temperature(logits, labels) == pytest.approx(1 / math.log1p(more / n), rel=1e-6)


@pytest.mark.parametrize("factor", [1e-4, 1.0, 1e4])
@pytest.mark.parametrize("shift", [0.0, 1e6])
def test_no_unit_of_the_logits_decides_whether_there_is_a_temperature(factor, shift):
    labels = torch.arange(60) % 3
    right = torch.nn.functional.one_hot(labels, 3).double()
    for logits in (factor * right + shift, -factor * right, torch.full_like(right, shift)):
        with pytest.raises(InputError, match="no finite temperature"):
            fit_temperature(logits, labels)
    some = right.clone()
    some[0] = torch.tensor([0.0, 1.0, 0.0])  # a mistake
    assert fit_temperature(factor * some, labels) == pytest.approx(factor * fit_temperature(some, labels), rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_no_numbers_have_no_temperature(bad):
    logits, labels = noisy()
    logits[4, 2] = bad
    with pytest.raises(InputError, match="no finite temperature"):
        fit_temperature(logits, labels)


@pytest.mark.parametrize("factor", [1e-300, 1e-200, 1e200, 1e300])
def test_units_at_the_ends_of_float64(factor):
    logits, labels = noisy()
    assert fit_temperature(logits.double() * factor, labels) / factor == pytest.approx(
        temperature(logits.double().numpy(), labels.numpy()), rel=1e-6
    )


def test_one_image_of_huge_logits_that_is_right_says_nothing_of_the_others():
    """Its loss is 0 at any temperature of theirs: the others alone have the same."""
    logits, labels = noisy()
    more = torch.cat([logits, torch.zeros(1, CLASSES)]).double()
    more[-1, 0] = 1e13
    labels_more = torch.cat([labels, torch.tensor([0])])
    assert fit_temperature(more, labels_more) == pytest.approx(fit_temperature(logits, labels), rel=1e-6)


def test_one_image_of_huge_logits_that_is_wrong_leaves_no_temperature():
    logits, labels = noisy()
    logits = logits.double()
    logits[0, (labels[0] + 1) % CLASSES] = 1e13
    with pytest.raises(InputError, match="no finite temperature"):
        fit_temperature(logits, labels)
