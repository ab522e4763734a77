"""Means over mixed images against plain loops, with mixes whose outcome is known."""

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import checkerboards

from mixlens.analysis.data.loader import Batches
from mixlens.analysis.interface import MixedBatch
from mixlens.analysis.masks.mixup import MixUp
from mixlens.representations.augmented import label_weights, majority, over_batches, see

SPLIT = checkerboards(50, 0)
torch.manual_seed(0)
NETWORK = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 4)).requires_grad_(False)


class Fixed:
    """Each image with the next of its batch, at one λ."""

    def __init__(self, lam, kind="mixed"):
        self.lam, self.kind, self.steps = lam, kind, []

    def pairs(self, x, y, *, generator=None, step=None):
        self.steps.append(step)
        index = torch.arange(len(x)).roll(-1)
        mixed, lam = self.lam * x + (1 - self.lam) * x[index], torch.full((len(x),), self.lam)
        if self.kind == "soft":
            return mixed, self.lam * F.one_hot(y, 4) + (1 - self.lam) * F.one_hot(y[index], 4)
        return MixedBatch(mixed, y, y[index], lam, index, lam.view(-1, 1, 1, 1).expand_as(x[:, :1]))


def batches(size=10, **values):
    return Batches(SPLIT, (0.5,) * 3, (0.25,) * 3, size, **values)


def seen(mix, order=None, **values):
    order = torch.arange(50) if order is None else order
    return see(NETWORK, batches(), order, mix, classes=4, **values)


def test_unmixed_images_have_the_plain_loss():
    x = (SPLIT.images.float() / 255 - 0.5) / 0.25
    found = seen(None)
    assert torch.allclose(found.loss, F.cross_entropy(NETWORK(x), SPLIT.labels, reduction="none").double(), atol=1e-6)
    assert torch.equal(found.right, (NETWORK(x).argmax(1) == SPLIT.labels).double())
    assert not found.entropy.any()


@pytest.mark.parametrize("kind", ["mixed", "soft"])
@pytest.mark.parametrize("lam", [0.8, 0.3])
def test_mixed_images_count_the_label_of_larger_weight_and_lose_by_both(lam, kind):
    found, x = seen(Fixed(lam, kind)), (SPLIT.images.float() / 255 - 0.5) / 0.25
    for start in range(0, 50, 10):
        for i in range(start, start + 10):
            j = i + 1 if i + 1 < start + 10 else start
            log_p = NETWORK(lam * x[i : i + 1] + (1 - lam) * x[j : j + 1]).log_softmax(1)[0]
            a, b = SPLIT.labels[i], SPLIT.labels[j]
            assert found.loss[i] == pytest.approx((-lam * log_p[a] - (1 - lam) * log_p[b]).item(), abs=1e-5)
            assert found.right[i] == (log_p.argmax() == (a if lam > 0.5 else b))
            entropy = 0 if a == b else -lam * math.log(lam) - (1 - lam) * math.log(1 - lam)
            assert found.entropy[i] == pytest.approx(entropy, abs=1e-6)


def test_mixing_with_nothing_changes_nothing():
    for mixed, plain in zip(seen(Fixed(1.0)), seen(None), strict=True):
        assert torch.allclose(mixed, plain, atol=1e-6)


def test_the_loss_is_never_below_the_labels_entropy():
    found = seen(MixUp(1.0), draws=3, generator=torch.Generator().manual_seed(0))
    assert (found.loss >= found.entropy).all()


def test_draws_are_averaged_and_batches_keep_their_images():
    order, generator = torch.randperm(50, generator=torch.Generator().manual_seed(3)), torch.Generator().manual_seed(0)
    whole = seen(MixUp(1.0), order, draws=2, generator=generator)
    generator.manual_seed(0)
    parts = [seen(MixUp(1.0), order, generator=generator) for _ in range(2)]
    for name in ("right", "loss", "entropy"):
        assert torch.allclose(getattr(whole, name), sum(getattr(part, name) for part in parts) / 2)
    assert torch.allclose(seen(None, order).loss, seen(None).loss[order], atol=1e-6)


def test_an_alternating_augmentation_meets_every_batch_with_both():
    mix = Fixed(0.5)
    seen(mix, draws=2)
    assert mix.steps == [0, 1, 2, 3, 4, 1, 2, 3, 4, 5]


def test_a_half_is_the_first_ones():
    lam = torch.tensor([0.5, 0.4])
    mixed = MixedBatch(torch.zeros(2, 1), torch.tensor([0, 1]), torch.tensor([2, 3]), lam, lam.long(), lam)
    assert majority(mixed).tolist() == [0, 3]
    assert label_weights(mixed, 4)[1].tolist() == pytest.approx([0, 0.4, 0, 0.6])


def test_the_error_is_over_whole_batches():
    terms = torch.arange(50.0, dtype=torch.float64)
    found = over_batches(terms, 16, "fraction")
    means = torch.tensor([7.5, 23.5, 39.5])
    assert (found.value, found.n, found.unit) == (23.5, 48, "fraction")
    assert found.stderr == pytest.approx(means.std().item() / math.sqrt(3))


def test_one_batch_has_no_error():
    found = over_batches(torch.arange(20.0), 16, "nats")
    assert (found.value, found.stderr, found.n) == (9.5, None, 20)
