import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from mixlens.analysis.masks.mixup import MixUp


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(count=6, classes=4):
    return torch.rand(count, 3, 5, 7, generator=generator()), torch.arange(count) % classes


@pytest.mark.parametrize("size", [(9,), (5, 7), (3, 4, 5)], ids=str)
def test_interpolates_each_sample_with_its_own_lam(size):
    x, y = torch.rand(6, 2, *size), torch.arange(6)
    lam = torch.linspace(0, 1, 6)
    index = torch.tensor([5, 4, 3, 2, 1, 0])
    mixed, labels = MixUp(num_classes=6)(x, y, lam=lam, index=index)
    for i in range(6):
        w = lam[i].item()
        assert torch.allclose(mixed[i], w * x[i] + (1 - w) * x[5 - i], atol=1e-6)
        expected = torch.zeros(6)
        expected[i] += w
        expected[5 - i] += 1 - w
        assert torch.allclose(labels[i], expected, atol=1e-6)


def test_the_mask_is_lam_everywhere():
    x, y = batch()
    lam = torch.rand(6, generator=generator())
    mixed = MixUp().pairs(x, y, lam=lam)
    assert mixed.mask.shape == (6, 1, 5, 7)
    assert torch.equal(mixed.mask, lam.view(-1, 1, 1, 1).expand(6, 1, 5, 7))
    assert torch.equal(mixed.lam, lam)


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.9, 1.0])
def test_agrees_with_torchvision_for_the_same_lam(monkeypatch, lam):
    x, y = batch()
    theirs = v2.MixUp(num_classes=4)
    monkeypatch.setattr(theirs, "make_params", lambda flat: {"lam": lam})
    expected = theirs(x, y)
    got = MixUp(num_classes=4, mode="batch")(x, y, lam=torch.tensor([lam]), index=torch.arange(6).roll(1))
    assert torch.allclose(got[0], expected[0], atol=1e-6)
    assert torch.allclose(got[1], expected[1], atol=1e-6)


@pytest.mark.parametrize("mode", ["batch", "elem"])
def test_agrees_with_timm_for_the_same_lam(monkeypatch, mode):
    timm_mixup = pytest.importorskip("timm.data.mixup")
    x, y = batch()
    lam = np.random.default_rng(0).random(6) if mode == "elem" else 0.3
    monkeypatch.setattr(np.random, "beta", lambda *args, **kwargs: lam)
    theirs = timm_mixup.Mixup(mixup_alpha=1.0, label_smoothing=0.0, num_classes=4, mode=mode)
    expected = theirs(x.clone(), y)
    draws = torch.tensor(lam, dtype=torch.float32).reshape(-1)
    got = MixUp(num_classes=4, mode=mode)(x, y, lam=draws, index=torch.arange(6).flip(0))
    assert torch.allclose(got[0], expected[0], atol=1e-6)
    assert torch.allclose(got[1], expected[1].float(), atol=1e-6)
