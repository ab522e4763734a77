"""The passes against plain autograd, and against themselves padded."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.analysis.training.backend import images_at_once
from mixlens.analysis.training.replay import Replayed
from mixlens.robustness import passes as module
from mixlens.robustness.passes import Passes
from mixlens.robustness.probe import Block


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PreActResNet18(10, width=4).eval().requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    draw = torch.Generator().manual_seed(1)
    x = torch.rand(13, 3, 32, 32, generator=draw).contiguous(memory_format=torch.channels_last)
    return x, torch.randint(10, (13,), generator=draw)


def passes_of(network, padded, monkeypatch):
    if padded:
        monkeypatch.setattr(module, "replayed", Replayed)
    return Passes(network, torch.device("cpu"))


@pytest.mark.parametrize("padded", [False, True])
def test_they_are_what_autograd_gives_image_by_image(network, images, padded, monkeypatch):
    x, labels = images
    passes = passes_of(network, padded, monkeypatch)
    ranked = torch.stack([labels, (labels + 3) % 10, (labels + 5) % 10], 1)
    logits, gradient = passes.logits(x), passes.loss_gradient(x, labels)
    differences, gradients = passes.class_gradients(x, ranked)
    assert not logits.requires_grad
    assert gradients.shape == (13, 2, 3, 32, 32)
    for i in range(len(x)):
        one = x[i : i + 1].clone().requires_grad_()
        alone = network(one)
        assert torch.allclose(logits[i], alone[0], atol=1e-5)
        loss = nn.functional.cross_entropy(alone, labels[i : i + 1])
        (expected,) = torch.autograd.grad(loss, one, retain_graph=True)
        assert torch.allclose(gradient[i], expected[0], atol=1e-5)
        for k in (0, 1):
            difference = alone[0, ranked[i, k + 1]] - alone[0, ranked[i, 0]]
            (expected,) = torch.autograd.grad(difference, one, retain_graph=True)
            assert differences[i, k].item() == pytest.approx(difference.item(), abs=1e-5)
            assert torch.allclose(gradients[i, k], expected[0], atol=1e-5)


def test_gradients_are_there_whatever_the_caller_is_in(network, images):
    x, labels = images
    passes = Passes(network, x.device)
    expected = passes.loss_gradient(x, labels)
    with torch.no_grad():
        assert torch.equal(passes.loss_gradient(x, labels), expected)


def test_a_cpu_takes_a_fixed_number_of_images(network, images):
    assert Passes(network, torch.device("cpu")).most_images(*images) == images_at_once(torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_as_many_images_as_fit_do_fit(network, images):
    x, labels = (part.cuda() for part in images)
    passes = Passes(network.cuda(), x.device)
    most = passes.most_images(x, labels)
    assert most > 500
    some = min(most, 4096)
    rows = torch.arange(some, device=x.device) % len(x)
    gradient = passes.loss_gradient(x[rows], labels[rows])
    assert torch.allclose(gradient[: len(x)], passes.loss_gradient(x, labels), atol=1e-5)


@pytest.mark.parametrize("spoilt", [math.nan, math.inf])
def test_an_attacks_nan_is_not_blamed_on_the_model(spoilt):
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).eval()
    x = torch.rand(4, 3, 2, 2)
    block = Block(Passes(model, torch.device("cpu")), x, torch.zeros(4, dtype=torch.long), np.arange(4), 4)
    x = x.clone()
    x[1, 0, 0, 0] = spoilt
    with pytest.raises(InputError, match="the attack made NaN or infinite pixels in 1 of 4 images"):
        block.predict(x)
    model[1].weight.data.fill_(math.inf)
    with pytest.raises(InputError, match="the model returns NaN or infinity on 4 of 4 images"):
        block.predict(torch.rand(4, 3, 2, 2))
