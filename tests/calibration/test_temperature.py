import math

import numpy as np
import pytest
import torch
from scipy.optimize import brentq
from scipy.special import log_softmax

from mixlens.calibration import measures
from mixlens.calibration.temperature import scale

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
