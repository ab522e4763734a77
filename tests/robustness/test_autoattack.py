"""AutoAttack as one attack of a sweep, against its own package called as its authors do."""

import pytest
import torch
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.robustness.attacks import parse_attacks
from mixlens.robustness.sweep import sweep


def linear(classes=4):
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(27, classes))
    with torch.no_grad():
        model[1].weight.copy_(torch.randn(classes, 27, generator=generator))
        model[1].bias.zero_()
    return model.eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(12, 3, 3, 3, generator=torch.Generator().manual_seed(1))


def test_it_breaks_what_its_own_package_breaks(images):
    """On a linear model the strongest perturbation is known, and every attack of the ensemble finds it."""
    from pyautoattack import AutoAttack

    model = linear()
    labels = model(images).argmax(1)
    epsilon = 0.05
    found = sweep(model, images, labels, attacks=("autoattack(version='rand')", "fgsm"), epsilons=(epsilon,))
    own = AutoAttack(model, norm="Linf", eps=epsilon, version="rand", seed=0)
    own.apgd_targeted.n_target_classes = 3
    perturbed, _ = own.run_standard_evaluation(images.clone(), labels, batch_size=12)
    expected = model(perturbed).argmax(1) != labels
    assert 0 < expected.sum() < len(images)
    assert torch.equal(torch.from_numpy(found.bits[0, 0] == 1), expected)
    assert (found.bits[0] >= found.bits[1]).all(), "never weaker than FGSM"


def test_its_name_and_place():
    (attack,) = parse_attacks(["autoattack(version='standard')"])
    assert attack.name == "autoattack"
    assert not attack.by_image
    assert attack.cost > parse_attacks(["pgd"])[0].cost
    with pytest.raises(InputError, match="version must be one of standard, plus, rand"):
        parse_attacks(["autoattack(version='fast')"])
    with pytest.raises(InputError, match="one ε cannot mean both"):
        parse_attacks(["autoattack", "L2PGD"])


def test_too_few_classes_are_refused(images):
    model = linear(classes=3)
    with pytest.raises(InputError, match="at least 4 classes"):
        sweep(model, images, model(images).argmax(1), attacks=("autoattack",), epsilons=(0.1,))


def test_without_its_package_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyautoattack", None)
    with pytest.raises(InputError, match=r"pip install 'mixlens\[autoattack\]'"):
        parse_attacks(["autoattack"])
