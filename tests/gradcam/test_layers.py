import pytest
import torch
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.classifier.model import Classifier
from mixlens.gradcam.layers import choose_layers, network_of, spatial_layers, tapped
from mixlens.gradcam.measures import heatmaps

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def small():
    """Convolutions of 8 × 8 and 4 × 4 pixels, a map of one pixel and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 2, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(2, 5, 2, stride=2),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(5, 4),
    ).eval()


class Twice(nn.Module):
    """Its activation function runs after both convolutions; one module of it is never called."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.act = nn.ReLU()
        self.second = nn.Conv2d(3, 2, 3, padding=1)
        self.unused = nn.Conv2d(3, 3, 3)
        self.head = nn.Linear(128, 4)

    def forward(self, x):
        return self.head(self.act(self.second(self.act(self.first(x)))).flatten(1))


class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("this network breaks")


def hooks(model):
    return [
        (name, len(module._forward_hooks), len(module._forward_pre_hooks), len(module._backward_hooks))
        for name, module in model.named_modules()
    ]


# which layers have maps


def test_layers_with_maps_in_order_of_execution():
    assert [layer[:3] for layer in spatial_layers(small(), X)] == [
        ("0", (2, 8, 8), True),
        ("1", (2, 8, 8), False),
        ("2", (5, 4, 4), True),
    ]


def test_the_order_is_that_of_execution_and_not_of_definition():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.head = nn.Linear(128, 4)
            self.last, self.first = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 3, 1)

        def forward(self, x):
            return self.head(self.last(self.first(x)).flatten(1))

    assert [layer.name for layer in spatial_layers(Backwards(), X)] == ["first", "last"]
    assert choose_layers(Backwards(), X) == ("first",)


def test_a_layer_that_runs_twice_or_never_is_left_out():
    assert [layer.name for layer in spatial_layers(Twice(), X)] == ["first", "second"]


@pytest.mark.parametrize(("size", "there"), [((1, 5), True), ((5, 1), True), ((2, 2), True), ((1, 1), False)])
def test_a_map_has_more_than_one_pixel(size, there):
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.Flatten())
    assert bool(spatial_layers(model, torch.rand(2, 3, *size))) == there


def test_outputs_that_are_no_tensors_are_no_maps():
    class Two(nn.Module):
        def forward(self, x):
            return x, x

    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.two, self.first = Two(), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            return self.first(self.two(x)[0]).flatten(1)

    assert [layer.name for layer in spatial_layers(Both(), X)] == ["first"]


def test_the_names_of_a_classifier_are_its_networks():
    network = small()
    model = Classifier(network, (0.5,) * 3, (0.25,) * 3)
    assert network_of(model) is network
    assert network_of(network) is network
    assert spatial_layers(model, X) == spatial_layers(network, X)


def test_a_classifiers_size_decides_the_maps():
    model = Classifier(small(), (0.5,) * 3, (0.25,) * 3, size=16)
    assert [layer.shape for layer in spatial_layers(model, X)] == [(2, 16, 16), (2, 16, 16), (5, 8, 8)]


def test_looking_leaves_a_network_as_it_was():
    model = small()
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    before = hooks(model)
    spatial_layers(model, X)
    assert hooks(model) == before
    assert seen == [2], "the user's own hook is called as ever"
    model.append(Failing())
    before = hooks(model)
    with pytest.raises(RuntimeError, match="this network breaks"):
        spatial_layers(model, X)
    assert hooks(model) == before


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(InputError, match=r"\(BatchNorm2d\) is in training mode: call eval"):
        choose_layers(PreActResNet18(4, width=2), X)


# which are chosen


@pytest.mark.parametrize("official", [False, True])
def test_of_our_networks_the_stem_and_two_stages(official):
    network = PreActResNet18(4, width=2, official=official).eval()
    for model in (network, Classifier(network, (0.5,) * 3, (0.25,) * 3)):
        assert choose_layers(model, X) == ("stem", "stages.0", "stages.1")


def test_of_torchvisions_resnets_the_first_convolution_and_two_stages():
    from torchvision.models.resnet import BasicBlock, ResNet

    network = ResNet(BasicBlock, [1, 1, 1, 1], num_classes=4).eval()
    assert choose_layers(network, torch.rand(2, 3, 32, 32)) == ("conv1", "layer1", "layer2")
    assert choose_layers(network, X) == ("conv1",), "at 8 × 8, the second stage has one pixel"
    with pytest.raises(InputError, match=r"'layer1\.0\.relu' puts out no map \(or runs more than once\)"):
        choose_layers(network, torch.rand(2, 3, 32, 32), ["layer1.0.relu"])


def test_of_timms_resnets_the_first_convolution_and_two_stages():
    timm = pytest.importorskip("timm")
    network = timm.create_model("test_resnet.r160_in1k", num_classes=4).eval()
    assert choose_layers(network, torch.rand(2, 3, 32, 32)) == ("conv1", "layer1", "layer2")


def test_of_other_networks_the_first_convolution():
    assert choose_layers(small(), X) == ("0",)
    assert choose_layers(nn.Sequential(nn.ReLU(), *small()), X) == ("1",)


def test_named_layers_keep_their_order():
    assert choose_layers(small(), X, ["2", "0"]) == ("2", "0")
    assert choose_layers(PreActResNet18(4, width=2).eval(), X, ["stages.2.1.conv1"]) == ("stages.2.1.conv1",)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("conv", "layer 'conv' does not exist"),
        ("3", "layer '3' puts out no map (or runs more than once)"),
        ("5", "layer '5' puts out no map (or runs more than once)"),
    ],
)
def test_a_name_that_is_no_layer_with_maps_gets_the_list_of_those_that_are(name, problem):
    for model in (small(), Classifier(small(), (0.5,) * 3, (0.25,) * 3)):
        with pytest.raises(InputError) as error:
            choose_layers(model, X, ["0", name])
        assert str(error.value) == f"{problem}; those with maps: 0 2×8×8, 1 2×8×8, 2 5×4×4."


@pytest.mark.parametrize("name", ["act", "unused"])
def test_a_layer_that_runs_twice_or_never_is_refused(name):
    with pytest.raises(InputError, match=rf"{name}' puts out no map \(or runs more than once\).*: first 3×8×8, second"):
        choose_layers(Twice(), X, [name])


def test_a_network_without_convolutions_needs_names():
    model = nn.Sequential(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(48, 4))
    with pytest.raises(InputError, match=r"no convolution with a map; name layers with --gradcam\.layers: 0 3×4×4\."):
        choose_layers(model, X)
    assert choose_layers(model, X, ["0"]) == ("0",)
    with pytest.raises(InputError, match=r"name layers with --gradcam\.layers: none\."):
        choose_layers(nn.Sequential(nn.Flatten(), nn.Linear(192, 4)), X)


# their activations


def test_activations_of_a_pass():
    model = small()
    outside = model[0](X)
    with tapped(model, ["0", "2"]) as found, torch.no_grad():
        assert not found
        logits = model(X)
        assert not found["0"].requires_grad
    torch.testing.assert_close(found["0"], outside)
    torch.testing.assert_close(logits, model[3:](found["2"]))
    assert set(found) == {"0", "2"}


def test_with_frozen_weights_the_graph_begins_at_the_first_layer():
    model = small().requires_grad_(False)
    with tapped(model, ["2", "1"]) as found:
        model(X)
    assert found["1"].is_leaf
    assert found["1"].requires_grad
    assert not found["2"].is_leaf
    assert torch.autograd.grad(found["2"].sum(), found["1"])[0].shape == (2, 2, 8, 8)


def test_a_graph_that_is_there_goes_on():
    model, x = small(), X.clone().requires_grad_()
    with tapped(model, ["0"]) as found:
        logits = model(x)
    assert not found["0"].is_leaf
    torch.testing.assert_close(
        torch.autograd.grad(logits.sum(), x)[0], torch.autograd.grad(model(x).sum(), x)[0], rtol=0, atol=0
    )


def test_what_works_in_place_afterwards_does_not_change_an_activation():
    model = small()
    expected = model[0](X)
    assert expected.min() < 0
    model[1] = nn.ReLU(inplace=True)
    with tapped(model, ["0", "1"]) as found:
        logits = model(X)
    torch.testing.assert_close(found["0"], expected)
    torch.testing.assert_close(found["1"], expected.relu())
    model[1] = nn.ReLU()
    torch.testing.assert_close(logits, model(X))


def test_taps_are_removed_whatever_happens():
    model = small().append(Failing())
    model[0].register_forward_hook(lambda module, inputs, output: None)
    before = hooks(model)
    with pytest.raises(RuntimeError, match="this network breaks"), tapped(model, ["0", "2"]):
        model(X)
    assert hooks(model) == before
    with tapped(model, ["0"]):
        assert hooks(model) != before
    assert hooks(model) == before


def test_arrays_are_images_too():
    assert spatial_layers(small(), X.numpy()) == spatial_layers(small(), X)
    assert choose_layers(small(), X.numpy()) == ("0",)


@pytest.mark.parametrize(
    ("x", "words"),
    [(X[0], r"got \(3, 8, 8\)"), ((X * 255).byte(), "uint8"), (X.double(), r"give x\.to\(torch\.float32\)")],
)
def test_what_are_no_images_is_said_before_the_pass(x, words):
    with pytest.raises(InputError, match=words):
        spatial_layers(small(), x)


@pytest.mark.parametrize("layers", ["0", [], ()])
def test_layers_are_a_list_of_names(layers):
    with pytest.raises(InputError, match="layers must be a list of names"):
        heatmaps(small(), X, layers)
