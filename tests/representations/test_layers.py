import pytest
import torch
from helpers import BACKEND, resnet
from torch import nn
from torchvision.models import resnet18, resnet50, vgg11

from mixlens.analysis.errors import InputError
from mixlens.classifier.model import Classifier
from mixlens.representations.layers import choose_layers, features, pooled


def images(side=32, count=2):
    return torch.randint(256, (count, 3, side, side), generator=torch.Generator().manual_seed(0)).byte()


def flat():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))


@pytest.mark.parametrize(
    ("network", "side", "expected"),
    [
        (resnet(), 32, ("stages.0", "stages.1", "stages.2", "head_norm")),
        (resnet18(), 64, ("relu", "layer1", "layer2", "layer3", "layer4")),
        (resnet50(), 64, ("relu", "layer1", "layer2", "layer3", "layer4")),
        (vgg11(), 64, ("features.1", "features.4", "features.9", "features.14", "features.19", "features.20")),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3)), 8, ("1",)),
        (nn.Sequential(resnet()), 32, ("0.stages.0", "0.stages.1", "0.stages.2", "0.head_norm")),
        (flat(), 8, ("4",)),
    ],
    ids=["ours", "resnet18", "resnet50", "vgg11", "convolution", "wrapped", "perceptron"],
)
def test_the_last_layer_of_each_stage(network, side, expected):
    chosen = choose_layers(network.eval(), images(side).float())
    assert chosen == expected


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stages.7", r"representations\.layers: 'stages\.7' does not exist; those there are: stem, stem_norm"),
        ("", "'' does not exist"),
        ("stages.0.0.projection", "'stages.0.0.projection' does not exist"),
    ],
)
def test_a_wrong_name_is_told_the_right_ones(name, words):
    with pytest.raises(InputError, match=words):
        choose_layers(resnet(), images().float(), [name])


def test_a_layer_that_runs_twice_has_no_one_output():
    twice = nn.ReLU()
    network = nn.Sequential(nn.Conv2d(3, 3, 3), twice, nn.Conv2d(3, 3, 3), twice).eval()
    with pytest.raises(InputError, match=r"'1' puts out no tensor \(or runs more than once\); those there are: 0, 2"):
        choose_layers(network, images().float(), ["1"])


def test_names_may_stand_in_one_text():
    assert choose_layers(resnet(), images().float(), ["stem,stages.1,stem"]) == ("stem", "stages.1")


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(InputError, match="in training mode"):
        choose_layers(resnet().train(), images().float())


def test_maps_and_tokens_are_pooled():
    maps = torch.arange(24.0).view(1, 2, 3, 4)
    assert pooled(maps).tolist() == [[5.5, 17.5]]
    assert pooled(torch.tensor([[[1.0, 2], [3, 6]]])).tolist() == [[2, 4]], "tokens (B, T, C)"
    assert pooled(torch.ones(2, 5)).shape == (2, 5)


def test_features_are_those_of_a_plain_pass_before_anything_in_place():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(144, 3))
    model, x = Classifier(network, (0.5,) * 3, (0.25,) * 3), images(8, 150)
    found = features(model, x, ["0", "1", "3"], BACKEND)
    with torch.no_grad():
        maps = network[0]((x.float() / 255 - 0.5) / 0.25)
    assert torch.allclose(found["0"], maps.mean((2, 3)), atol=1e-5)
    assert torch.allclose(found["1"], maps.relu().mean((2, 3)), atol=1e-5)
    assert found["3"].shape == (150, 3)
    assert not network[0]._forward_hooks


def test_a_network_that_has_diverged_is_refused():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 3))
    network[0].weight.data.fill_(torch.nan)
    with pytest.raises(InputError, match="layer '0' are NaN or infinite"):
        features(Classifier(network, (0.5,) * 3, (0.25,) * 3), images(8), ["0"], BACKEND)
