"""A sweep on a GPU finds what it finds on the CPU: the same starts, and the same bits but for rounding."""

import numpy as np
import pytest
import torch

from mixlens.analysis.data.sources import photos
from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.analysis.training.backend import make_backend
from mixlens.classifier.model import Classifier
from mixlens.robustness.sweep import sweep

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


@pytest.mark.parametrize("protocol", ["paper", "nested", "nested-worst"])
def test_a_sweep_finds_the_same_on_every_device(protocol):
    data = photos.load()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Classifier(PreActResNet18(10, width=4), data.mean, data.std)
    chosen = torch.arange(0, len(data.test), 20)
    images = data.test.images[chosen]
    labels = model(images.float() / 255).argmax(1)  # what it says itself, so that most images can be attacked
    known = {"epsilons": (0.0, 0.001, 0.01, 0.1), "protocol": protocol}
    here = sweep(model, images, labels, **known)
    there = sweep(model.cuda(), images, labels, **known)
    assert np.array_equal(here.correct, there.correct)
    assert (here.bits != there.bits).mean() < 0.02


def test_tf32_changes_few_bits():
    data = photos.load()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Classifier(PreActResNet18(10, width=4), data.mean, data.std).cuda()
    images = data.test.images[::20]
    labels = model(images.cuda().float() / 255).argmax(1).cpu()
    known = {"epsilons": (0.001, 0.01, 0.1), "protocol": "nested"}
    backend = make_backend("cuda", "fp32")
    with backend.session():
        exact = sweep(model, images, labels, **known)
        with backend.tf32():
            rounded = sweep(model, images, labels, **known)
    assert (exact.bits != rounded.bits).mean() < 0.05
