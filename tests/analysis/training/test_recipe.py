"""The loss of mixed images: λ·ℓ(y) + (1 − λ)·ℓ(partner), for any loss and any number of heads."""

import pytest
import torch
import torch.nn.functional as F

from mixlens import CutMix, FMix, MixUp
from mixlens.analysis.interface import MixedBatch
from mixlens.analysis.masks.policies import Alternate
from mixlens.analysis.training.recipe import accuracy, cross_entropy, mixed_loss

MIXES = [
    MixUp(num_classes=5),
    CutMix(num_classes=5, mode="batch"),
    FMix(num_classes=5, max_soft=0.3),
    MixUp(num_classes=5, p=0.5),
    MixUp(num_classes=5, reformulate=True),
    FMix(num_classes=5, target_alpha=0.3),
    Alternate(FMix(num_classes=5), MixUp(num_classes=5)),
]


def batch(seed=0):
    source = torch.Generator().manual_seed(seed)
    x = torch.randn(12, 3, 8, 8, generator=source, dtype=torch.float64)
    return x, torch.randint(5, (12,), generator=source), torch.randn(12, 5, generator=source, dtype=torch.float64)


@pytest.mark.parametrize("mix", MIXES, ids=repr)
def test_it_is_the_loss_at_the_mixed_label_where_the_loss_is_linear_in_it(mix):
    x, y, outputs = batch()
    pairs = mix.pairs(x, y, generator=torch.Generator().manual_seed(1), step=3)
    mixed, soft = mix(x, y, generator=torch.Generator().manual_seed(1), step=3)
    assert torch.equal(pairs.x, mixed)
    by_pairs, by_soft = mixed_loss(cross_entropy, outputs, pairs), mixed_loss(cross_entropy, outputs, (mixed, soft))
    assert by_pairs.shape == (12,)
    torch.testing.assert_close(by_pairs, by_soft, rtol=1e-6, atol=1e-6)


def test_several_heads_are_added_up():
    """Two labels an image and two outputs: what soft labels of one length cannot say."""
    x, _, _ = batch()
    source = torch.Generator().manual_seed(2)
    y = torch.stack([torch.randint(5, (12,), generator=source), torch.randint(3, (12,), generator=source)], 1)
    outputs = tuple(torch.randn(12, classes, generator=source, dtype=torch.float64) for classes in (5, 3))

    def loss(outputs, y):
        return sum(cross_entropy(output, y[:, head]) for head, output in enumerate(outputs))

    pairs = FMix().pairs(x, y, generator=torch.Generator().manual_seed(1))
    assert pairs.y_partner.shape == (12, 2)
    by_hand = sum(
        pairs.lam * F.cross_entropy(output, y[:, head], reduction="none")
        + (1 - pairs.lam) * F.cross_entropy(output, y[pairs.index, head], reduction="none")
        for head, output in enumerate(outputs)
    )
    torch.testing.assert_close(mixed_loss(loss, outputs, pairs), by_hand)


def test_labels_of_several_kinds_at_once_are_mixed():
    """Binary cross entropy against a yes or no for each class is linear in it as well."""
    x, _, outputs = batch()
    y = torch.randint(2, (12, 5), generator=torch.Generator().manual_seed(3)).double()
    pairs = MixUp().pairs(x, y, generator=torch.Generator().manual_seed(1))
    loss = mixed_loss(lambda o, t: F.binary_cross_entropy_with_logits(o, t, reduction="none").sum(1), outputs, pairs)
    weight = pairs.lam[:, None]
    at_the_mixed = F.binary_cross_entropy_with_logits(
        outputs, weight * pairs.y + (1 - weight) * pairs.y_partner, reduction="none"
    )
    torch.testing.assert_close(loss, at_the_mixed.sum(1), rtol=1e-6, atol=1e-6)


def test_without_mixing_it_is_the_loss():
    x, y, outputs = batch()
    assert torch.equal(mixed_loss(cross_entropy, outputs, (x, y)), F.cross_entropy(outputs, y, reduction="none"))
    ones = MixedBatch(x, y, y.flip(0), torch.ones(12), torch.arange(12), torch.ones(12, 1, 8, 8))
    torch.testing.assert_close(mixed_loss(cross_entropy, outputs, ones), mixed_loss(cross_entropy, outputs, (x, y)))


def test_gradients_are_those_of_the_mixed_label():
    x, y, outputs = batch()
    grads = []
    for form in ("pairs", "soft"):
        logits = outputs.clone().requires_grad_()
        mix, generator = MixUp(num_classes=5), torch.Generator().manual_seed(4)
        mixed = mix.pairs(x, y, generator=generator) if form == "pairs" else mix(x, y, generator=generator)
        mixed_loss(cross_entropy, logits, mixed).mean().backward()
        grads.append(logits.grad)
    torch.testing.assert_close(grads[0], grads[1], rtol=1e-6, atol=1e-7)


def test_the_score_is_the_largest_output():
    assert accuracy(torch.tensor([[0.0, 2.0], [3.0, 1.0]]), torch.tensor([1, 1])).tolist() == [True, False]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_losses_of_half_outputs_are_float32(dtype):
    """The logits are whole, the same in every type: so is the loss."""
    outputs = torch.tensor([[10.0, -3.0, 2.0], [0.0, 1.0, 8.0]])
    for y in (torch.tensor([1, 2]), torch.tensor([[0.5, 0.5, 0.0], [0.25, 0.25, 0.5]])):
        assert torch.equal(cross_entropy(outputs.to(dtype), y), cross_entropy(outputs, y))
