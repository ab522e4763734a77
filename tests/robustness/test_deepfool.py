"""Foolbox's own DeepFool is the reference: the same perturbations, for fewer passes."""

import pytest
import torch
from foolbox.attacks import L2DeepFoolAttack, LinfDeepFoolAttack
from foolbox.criteria import Misclassification
from foolbox.models import PyTorchModel
from torch import nn

from mixlens.analysis.data.sources import photos
from mixlens.robustness.deepfool import deepfool
from mixlens.robustness.passes import Passes

CLASSES = 10
ATTACKS = [LinfDeepFoolAttack, L2DeepFoolAttack]


class Counting(nn.Module):
    """Counts calls, and images forward and backward."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.train(network.training)
        self.calls = self.forwards = self.backwards = 0

    def forward(self, x):
        logits = self.network(x)
        self.calls += 1
        self.forwards += len(x)
        if logits.requires_grad:
            logits.register_hook(self._count)
        return logits

    def _count(self, gradient):
        self.backwards += len(gradient)


@pytest.fixture(scope="module")
def trained():
    """A network that gets part of the images right, 40 images, and their labels."""
    data = photos.load()
    chosen = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))[:400]
    x, y = data.train.images[chosen].float() / 255, data.train.labels[chosen]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 8, 5, stride=4), nn.Tanh(), nn.Flatten(), nn.Linear(392, 32), nn.Tanh(), nn.Linear(32, CLASSES)
        )
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(40):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x), y).backward()
        optimizer.step()
    network.eval().requires_grad_(False)
    images, labels = data.test.images[::25].float() / 255, data.test.labels[::25]
    correct = int((network(images).argmax(1) == labels).sum())
    assert 15 < correct < 35, "some right and some wrong"
    return network, images, labels


def foolbox_run(attack, network, x, labels):
    perturbed = attack.run(PyTorchModel(network, bounds=(0, 1), device="cpu"), x, Misclassification(labels))
    return perturbed, network(perturbed).argmax(1) != labels


def steps_taken(kind, network, x, labels):
    """How many of Foolbox's steps it takes to fool the network, for each image: 0 where it is wrong as it is."""
    taken = torch.where(network(x).argmax(1) == labels, -1, 0)
    for steps in range(1, 51):
        _, fooled = foolbox_run(kind(steps=steps), network, x, labels)
        taken[(taken < 0) & fooled] = steps
        if (taken >= 0).all():
            return taken
    raise AssertionError("some image holds after 50 steps")


@pytest.mark.parametrize("kind", ATTACKS)
@pytest.mark.parametrize("batch", [1, 2, 7, 40])
def test_perturbations_are_foolboxs(trained, kind, batch):
    network, images, labels = trained
    attack = kind()
    for x, y in zip(images.split(batch), labels.split(batch), strict=True):
        ours, fooled = deepfool(attack, Passes(network, x.device), x, y)
        theirs, success = foolbox_run(attack, network, x, y)
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=0)
        assert torch.equal(fooled, success)
        assert fooled.all(), "fifty steps are enough for this network"


@pytest.mark.parametrize("kind", ATTACKS)
@pytest.mark.parametrize(
    "arguments",
    [
        {"candidates": 2},
        {"candidates": 4},
        {"candidates": 50},
        {"candidates": None},
        {"steps": 0},
        {"steps": 1},
        {"steps": 2},
        {"overshoot": 0.0},
        {"overshoot": 0.5},
        {"loss": "crossentropy"},
    ],
    ids=str,
)
def test_arguments_mean_what_they_mean_to_foolbox(trained, kind, arguments):
    network, images, labels = trained
    attack = kind(**arguments)
    ours, fooled = deepfool(attack, Passes(network, images.device), images, labels)
    theirs, success = foolbox_run(attack, network, images, labels)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
    assert torch.equal(fooled, success)
    if arguments.get("steps", 50) < 2:
        assert not fooled.all(), "too few steps must leave some"


@pytest.mark.parametrize("kind", ATTACKS)
def test_arguments_matter(trained, kind):
    """Or the parity above would hold of arguments that nobody reads."""
    network, images, labels = trained
    plain, _ = deepfool(kind(), Passes(network, images.device), images, labels)
    for arguments in ({"candidates": 2}, {"steps": 1}, {"overshoot": 0.5}):
        other, _ = deepfool(kind(**arguments), Passes(network, images.device), images, labels)
        assert (other - plain).abs().max() > 1e-4


def test_images_that_are_wrong_as_they_are_come_back_untouched(trained):
    network, images, labels = trained
    wrong = network(images).argmax(1) != labels
    ours, fooled = deepfool(LinfDeepFoolAttack(), Passes(network, images.device), images, labels)
    assert torch.equal(ours[wrong], images[wrong])
    assert fooled[wrong].all()
    assert (ours[~wrong] != images[~wrong]).flatten(1).any(1).all()
    untouched, all_fooled = deepfool(
        LinfDeepFoolAttack(), Passes(Counting(network), images.device), images[wrong], labels[wrong]
    )
    assert torch.equal(untouched, images[wrong])
    assert all_fooled.all()


def test_results_are_images_and_the_inputs_stay(trained):
    network, images, labels = trained
    before = images.clone()
    ours, fooled = deepfool(LinfDeepFoolAttack(), Passes(network, images.device), images, labels)
    assert ours.min() >= 0
    assert ours.max() <= 1
    assert (ours.shape, ours.dtype) == (images.shape, images.dtype)
    assert fooled.dtype == torch.bool
    assert not ours.requires_grad
    assert torch.equal(images, before)
    assert not images.requires_grad


@pytest.mark.parametrize("candidates", [3, CLASSES])
def test_the_number_of_passes(trained, candidates):
    """An image that takes s steps: one pass to rank the classes, a gradient pass and a check a step."""
    network, images, labels = trained
    taken = steps_taken(lambda **k: LinfDeepFoolAttack(candidates=candidates, **k), network, images, labels)
    counting = Counting(network)
    deepfool(LinfDeepFoolAttack(candidates=candidates), Passes(counting, images.device), images, labels)
    assert counting.forwards == int((1 + 2 * taken).sum())
    assert counting.backwards == int(((candidates - 1) * taken).sum())
    assert counting.calls == 1 + 2 * int(taken.max())


@pytest.mark.parametrize("arguments", [{"candidates": 1}, {"candidates": 0}, {"loss": "nonsense"}], ids=str)
def test_what_foolbox_refuses_is_refused(trained, arguments):
    network, images, labels = trained
    attack = LinfDeepFoolAttack(**arguments)
    for refused in (
        lambda: deepfool(attack, Passes(network, images.device), images, labels),
        lambda: foolbox_run(attack, *trained),
    ):
        with pytest.raises(ValueError, match="expected"):
            refused()


def test_far_fewer_passes_than_foolbox(trained):
    network, images, labels = trained
    ours, theirs = Counting(network), Counting(network)
    deepfool(LinfDeepFoolAttack(), Passes(ours, images.device), images, labels)
    LinfDeepFoolAttack().run(PyTorchModel(theirs, bounds=(0, 1), device="cpu"), images, Misclassification(labels))
    assert ours.forwards < theirs.forwards / 5
    assert ours.backwards < theirs.backwards / 2
