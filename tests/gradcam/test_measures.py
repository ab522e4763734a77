import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import resnet
from pytorch_grad_cam import EigenCAM, GradCAM, GradCAMPlusPlus, LayerCAM
from pytorch_grad_cam.utils.image import scale_cam_image
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from mixlens.analysis.errors import InputError
from mixlens.classifier.model import Classifier
from mixlens.gradcam.measures import heatmap_sums, heatmaps, normalise
from mixlens.gradcam.methods import find_method

THEIRS = {"gradcam": GradCAM, "gradcam++": GradCAMPlusPlus, "layercam": LayerCAM}
METHODS = (*THEIRS, "eigencam")
X = torch.rand(7, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(7) % 4


def small(seed=0, inplace=False):
    """Convolution 0 and its activation 1, both with maps of 8 × 8 pixels; convolution 2 of 4 × 4; logits."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1),
        nn.ReLU(inplace=inplace),
        nn.Conv2d(4, 6, 3, stride=2, padding=1),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(96, 4),
    ).eval()


def sums(model, layers, images=X, labels=LABELS, **options):
    return heatmap_sums(model, images, labels, layers, to_input=lambda images: images, **options)


def same(found, expected, tolerance=1e-6):
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


# by hand: an image of four pixels, activations x and −x, logits that are linear in them


IMAGE = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
# ∂y/∂A of both channels. Class 0: x₀ − 2x₃ = −7; class 1, the predicted one: Σ x − 2x₃ = 2.
GRADIENTS = torch.tensor([[[[1.0, 0], [0, 0]], [[0, 0], [0, 2]]], [[[1.0, 1], [1, 1]], [[0, 0], [0, 2]]]])
BY_HAND = [
    ("gradcam", 0, [0, 0, 0, 0]),  # w = (1/4, 2/4): x/4 − x/2 < 0
    ("gradcam", 1, [0.5, 1, 1.5, 2]),  # w = (1, 1/2)
    ("layercam", 0, [1, 0, 0, 0]),  # x₀ and −2x₃
    ("layercam", 1, [1, 2, 3, 0]),  # x and −2x₃
    ("gradcam++", 1, [4 / 9, 8 / 9, 12 / 9, 16 / 9]),  # w = (4 · 1/(2 + 10), 2 · 4/(8 − 80)) = (1/3, −1/9)
    ("eigencam", 0, [0, 0, 0.5 * math.sqrt(2), 1.5 * math.sqrt(2)]),  # (1, −1)/√2 on ±(x − 5/2)
    ("eigencam", 1, [0, 0, 0.5 * math.sqrt(2), 1.5 * math.sqrt(2)]),
]


def linear():
    """A 1 × 1 convolution to x and −x, and logits whose gradients by them are `GRADIENTS`."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 2, bias=False)).eval()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([1.0, -1.0]).view(2, 1, 1, 1))
        model[2].weight.copy_(GRADIENTS.flatten(1))
    return model


@pytest.mark.parametrize(("method", "label", "expected"), BY_HAND)
def test_maps_of_a_linear_network(method, label, expected):
    (made,), logits = heatmaps(linear(), IMAGE, ["0"], method=method, classes=torch.tensor([label]))
    assert logits.tolist() == [[-7, 2]]
    torch.testing.assert_close(made, torch.tensor(expected, dtype=torch.float32).view(1, 2, 2))
    activations = torch.cat([IMAGE, -IMAGE], 1)
    torch.testing.assert_close(find_method(method)(activations, GRADIENTS[[label]]), made)


@pytest.mark.parametrize(
    ("target", "expected"), [("predicted", 2.5), ("true", 0), ("0", 0), ("1", 2.5)]
)  # (1 + 2 + 3 + 4)/4
def test_whose_logit_is_explained(target, expected):
    found = sums(linear(), ["0"], IMAGE, torch.tensor([0], dtype=torch.uint8), target=target)
    assert found.sums.tolist() == [[expected]]
    assert found.zero.tolist() == [[expected == 0]]
    assert found.predicted.tolist() == [1], "whatever is explained"


@pytest.mark.parametrize(("norm", "expected"), [("max", 2.5), ("minmax", 2.0), ("none", 5.0)])
def test_sums_of_each_norm_by_hand(norm, expected):
    assert sums(linear(), ["0"], IMAGE, LABELS[:1], norm=norm).sums.item() == pytest.approx(expected)


def test_upsampled_by_hand():
    """Bilinear between pixel centres: from 2 to 4 pixels the outer ones repeat, the inner ones are ¾ and ¼."""
    model = nn.Sequential(nn.AvgPool2d(2), linear())
    x = F.interpolate(IMAGE, size=4)
    (made,), _ = heatmaps(model, x, ["0"], upsample=True, classes=torch.tensor([1]))
    (own,), _ = heatmaps(model, x, ["0"], classes=torch.tensor([1]))
    assert own.shape == (1, 2, 2)
    rows = torch.tensor([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    torch.testing.assert_close(made, (rows @ own[0] @ rows.T)[None])
    assert sums(model, ["0"], x, LABELS[:1], upsample=True).areas == (16,)
    assert sums(model, ["0"], x, LABELS[:1]).areas == (4,)


def test_a_map_of_one_hot_pixel_sums_to_one():
    found = sums(linear(), ["0"], IMAGE, LABELS[:1], method="layercam", target="0", shown=[0])
    assert found.sums.item() == 1
    assert found.shown[0].tolist() == [[[1, 0], [0, 0]]]


def test_a_uniform_map_sums_to_its_pixels():
    image = torch.full((1, 1, 2, 2), 0.3)
    assert sums(linear(), ["0"], image, LABELS[:1], target="1").sums.item() == 4
    assert sums(linear(), ["0"], image, LABELS[:1], target="1", norm="none").sums.item() == pytest.approx(0.6)
    flat = sums(linear(), ["0"], image, LABELS[:1], target="1", norm="minmax")
    assert flat.sums.item() == 0, "nothing of it stands out"
    assert not flat.zero.item(), "but the map is not zero"


def test_eigencam_does_not_depend_on_the_class_and_needs_no_gradients():
    class Detached(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = small()

        def forward(self, x):
            with torch.no_grad():
                return self.network(x).round()

    expected, _ = heatmaps(small(), X, ["0", "2"], method="eigencam")
    found, logits = heatmaps(Detached(), X, ["network.0", "network.2"], method="eigencam", classes=LABELS)
    same(found, expected)
    assert not logits.requires_grad


# normalisation


MAPS = torch.tensor([[[1.0, 2.0], [4.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[3.0, 3.0], [3.0, 3.0]], [[2.0, 4.0]] * 2])


@pytest.mark.parametrize(
    ("norm", "expected"),
    [
        ("max", [[0.25, 0.5, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0.5, 1, 0.5, 1]]),
        ("minmax", [[0.25, 0.5, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]]),
        ("none", [[1, 2, 4, 0], [0, 0, 0, 0], [3, 3, 3, 3], [2, 4, 2, 4]]),
    ],
)
def test_maps_are_normalised_one_by_one(norm, expected):
    given = MAPS.clone()
    assert normalise(given, norm).flatten(1).tolist() == expected
    assert torch.equal(given, MAPS), "what was given is left as it was"


@pytest.mark.parametrize("scale", [1e-30, 1e-3, 1e30])
@pytest.mark.parametrize("norm", ["max", "minmax"])
def test_normalised_maps_have_no_scale(norm, scale):
    torch.testing.assert_close(normalise(scale * MAPS, norm), normalise(MAPS, norm))


# parity with pytorch-grad-cam


def reference(kind, model, x, layer, classes=None):
    """pytorch-grad-cam's maps, from least to greatest as 0 to 1 and at the images' size. It wants trainable weights."""
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model = copy.deepcopy(model).requires_grad_(True)
    targets = None if classes is None else [ClassifierOutputTarget(int(label)) for label in classes]
    with kind(model=model, target_layers=[model.get_submodule(layer)]) as cam:
        return torch.from_numpy(cam(input_tensor=x, targets=targets))


NETWORKS = {
    "small": (small, X, ("0", "1", "2")),
    "preact-resnet18": (resnet, F.interpolate(X, size=16), ("stem", "stages.0", "stages.1.0.conv1", "stages.2")),
}


@pytest.mark.parametrize("classes", [None, LABELS], ids=["predicted", "given"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("method", THEIRS)
def test_maps_are_those_of_pytorch_grad_cam(method, network, classes):
    make, x, layers = NETWORKS[network]
    found, _ = heatmaps(make(), x, layers, method=method, classes=classes, upsample=True)
    for layer, made in zip(layers, found, strict=True):
        expected = reference(THEIRS[method], make(), x, layer, classes)
        assert expected.amax() > 0.5, "maps to compare"
        torch.testing.assert_close(normalise(made, "minmax"), expected, rtol=0, atol=1e-5)


def activations(model, x, layer):
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(
        lambda module, inputs, output: kept.append(output.clone())
    )
    with torch.no_grad():
        model(x)
    handle.remove()
    return kept[0].numpy()


@pytest.mark.parametrize("network", NETWORKS)
def test_eigencam_is_pytorch_grad_cams_up_to_its_sign(network):
    make, x, layers = NETWORKS[network]
    model, side = make(), x.shape[2:]
    found, _ = heatmaps(model, x, layers, method="eigencam", upsample=True)
    for layer, made in zip(layers, found, strict=True):
        expected = reference(EigenCAM, model, x, layer)
        turned = np.maximum(-get_2d_projection(activations(model, x, layer)), 0)
        other = torch.from_numpy(scale_cam_image(scale_cam_image(turned, side)))
        for ours, theirs, its_negative in zip(normalise(made, "minmax"), expected, other, strict=True):
            agree = (ours - theirs).abs().amax() < (ours - its_negative).abs().amax()
            torch.testing.assert_close(ours, theirs if agree else its_negative, rtol=0, atol=1e-5)


# parity with a plain version: one image at a time, no hooks, loops over channels and pixels


def naive_map(activations, gradients):
    """Grad-CAM's map (h, w) from arrays (C, h, w)."""
    channels, height, width = activations.shape
    made = np.zeros((height, width))
    for c in range(channels):
        weight = sum(gradients[c, i, j] for i in range(height) for j in range(width)) / (height * width)
        for i in range(height):
            for j in range(width):
                made[i, j] += weight * activations[c, i, j]
    return np.maximum(made, 0)


def naive_maps(model, x, layers, classes=None):
    """Each layer's maps of a sequential network and the logits' greatest classes."""
    made, predicted = [], []
    for position, image in enumerate(x):
        kept, value = {}, image[None].clone().requires_grad_()
        for name, module in model.named_children():
            value = module(value)
            if name in layers:
                value.retain_grad()
                kept[name] = value
        predicted.append(int(value.argmax()))
        value[0, predicted[-1] if classes is None else classes[position]].backward()
        made.append([naive_map(kept[name][0].detach().numpy(), kept[name].grad[0].numpy()) for name in layers])
    return made, predicted


@pytest.mark.parametrize(("target", "classes"), [("predicted", None), ("true", LABELS.tolist()), ("2", [2] * 7)])
def test_sums_are_those_of_a_plain_loop(target, classes):
    layers = ("2", "0", "1")
    expected, predicted = naive_maps(small(), X, layers, classes)
    for norm in ("none", "max"):
        found = sums(small(), layers, target=target, norm=norm, batch_size=3, shown=[6, 0, 3])
        assert found.layers == layers
        assert found.areas == (16, 64, 64)
        assert found.predicted.tolist() == predicted
        for index in range(3):
            for position in range(7):
                made = expected[position][index]
                total = made.sum() / (made.max() if norm == "max" and made.max() > 0 else 1)
                assert found.sums[index, position].item() == pytest.approx(total, rel=1e-4, abs=1e-6)
                assert found.zero[index, position].item() == (made.max() == 0)
            for shown, position in zip(found.shown[index], (6, 0, 3), strict=True):
                made = expected[position][index]
                assert shown.numpy() == pytest.approx(made / max(made.max(), 1e-30), abs=1e-4), "by its maximum"


# what must change nothing


@pytest.mark.parametrize("method", METHODS)
def test_batches_change_nothing(method):
    expected = sums(resnet(), ("stem", "stages.0"), F.interpolate(X, size=16), method=method)
    for batch_size in (1, 3, 7):
        found = sums(resnet(), ("stem", "stages.0"), F.interpolate(X, size=16), method=method, batch_size=batch_size)
        torch.testing.assert_close(found.sums, expected.sums, rtol=1e-4, atol=1e-4)
        assert torch.equal(found.zero, expected.zero)
        assert torch.equal(found.predicted, expected.predicted)


@pytest.mark.parametrize("target", ["predicted", "true"])
def test_the_order_of_images_changes_nothing_but_theirs(target):
    order = torch.tensor([4, 1, 6, 0, 2, 5, 3])
    expected = sums(small(), ["0", "2"], target=target, shown=order.tolist())
    found = sums(small(), ["0", "2"], X[order], LABELS[order], target=target, batch_size=2, shown=range(7))
    torch.testing.assert_close(found.sums, expected.sums[:, order], rtol=1e-4, atol=1e-5)
    assert torch.equal(found.zero, expected.zero[:, order])
    assert torch.equal(found.predicted, expected.predicted[order])
    same(found.shown, expected.shown, 1e-4)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_one_layer_at_a_time_or_all_at_once(method, trainable):
    model = resnet().requires_grad_(trainable)
    layers = ("stages.2", "stem", "stages.0.1", "stages.1")
    together, logits = heatmaps(model, X, layers, method=method)
    for layer, made in zip(layers, together, strict=True):
        (alone,), again = heatmaps(model, X, [layer], method=method)
        same([made, logits], [alone, again])
    assert [made.shape[1:] for made in together] == [(2, 2), (8, 8), (8, 8), (4, 4)]


@pytest.mark.parametrize("method", METHODS)
def test_frozen_and_trainable_weights_give_the_same(method):
    layers = ("stem", "stages.1")
    trained, _ = heatmaps(resnet(), X, layers, method=method)
    frozen, _ = heatmaps(resnet().requires_grad_(False), X, layers, method=method)
    same(frozen, trained)
    half = resnet().requires_grad_(False)
    half.stages[0].requires_grad_(True)
    same(heatmaps(half, X, layers, method=method)[0], trained)
    same(heatmaps(resnet().requires_grad_(False), X.clone().requires_grad_(), layers, method=method)[0], trained)


@pytest.mark.parametrize("method", METHODS)
def test_the_memory_format_changes_nothing(method):
    expected, _ = heatmaps(resnet(), X, ("stem", "stages.1"), method=method)
    last = resnet().to(memory_format=torch.channels_last)
    found, _ = heatmaps(last, X.contiguous(memory_format=torch.channels_last), ("stem", "stages.1"), method=method)
    same(found, expected, 1e-4)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_a_module_that_works_in_place_after_the_layer_changes_nothing(method, trainable):
    layers = ("0", "1", "2")
    expected, logits = heatmaps(small().requires_grad_(trainable), X, layers, method=method)
    found, in_place = heatmaps(small(inplace=True).requires_grad_(trainable), X, layers, method=method)
    same([*found, in_place], [*expected, logits])


def test_a_function_that_works_in_place_after_the_layer_changes_nothing():
    class Network(nn.Module):
        def __init__(self, inplace):
            super().__init__()
            self.network, self.inplace = small(), inplace

        def forward(self, x):
            features = self.network[0](x)
            features = features.add_(1).relu_() if self.inplace else (features + 1).relu()
            return self.network[2:](features)

    expected, _ = heatmaps(Network(False), X, ["network.0"])
    same(heatmaps(Network(True), X, ["network.0"])[0], expected)


def test_a_classifiers_maps_are_its_networks():
    network = small()
    model = Classifier(network, (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
    normal = (X - torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1)) / torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    found, logits = heatmaps(model, X, ["0", "2"])
    expected, expected_logits = heatmaps(network, normal, ["0", "2"])
    same([*found, logits], [*expected, expected_logits])


def test_upsampled_to_the_images_size_and_not_to_what_a_classifier_makes_of_them():
    model = Classifier(small(), (0.5,) * 3, (0.25,) * 3)
    model.network[5] = nn.Linear(6 * 64, 4)
    model.size = 16
    own, _ = heatmaps(model, X, ["0", "2"])
    assert [made.shape[1:] for made in own] == [(16, 16), (8, 8)]
    up, _ = heatmaps(model, X, ["0", "2"], upsample=True)
    assert [made.shape[1:] for made in up] == [(8, 8), (8, 8)]


@pytest.mark.parametrize("enabled", [False, True])
def test_whether_the_caller_wants_gradients_stays_as_it_was(enabled):
    expected, _ = heatmaps(small(), X, ["0"], method="eigencam")
    with torch.set_grad_enabled(enabled):
        found, _ = heatmaps(small(), X, ["0"], method="eigencam")
        assert torch.is_grad_enabled() == enabled
    same(found, expected)


def test_a_classs_logit_shared_over_the_batch_has_no_part_in_other_images():
    """The map of an image is that of the image alone, although one backward pass serves all."""
    expected = [heatmaps(small(), image[None], ["0"])[0][0] for image in X]
    same(heatmaps(small(), X, ["0"])[0], [torch.cat(expected)])


# what is left as it was


class Failing(nn.Module):
    def forward(self, x):
        raise RuntimeError("this network breaks")


class Detaching(nn.Module):
    def forward(self, x):
        return x.detach()


@pytest.mark.parametrize("method", ["gradcam", "eigencam"])
@pytest.mark.parametrize("last", [nn.Identity, Failing, Detaching])
def test_a_users_network_is_left_as_it_was(method, last):
    model = small().append(last())
    model[5].requires_grad_(False)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    seen = []
    model[0].register_forward_hook(lambda module, inputs, output: seen.append(output.requires_grad))
    model[2].register_forward_pre_hook(lambda module, inputs: None)
    weights = copy.deepcopy(model.state_dict())
    trainable = [parameter.requires_grad for parameter in model.parameters()]
    hooks = [(dict(m._forward_hooks), dict(m._forward_pre_hooks), dict(m._backward_hooks)) for m in model.modules()]
    x = X.clone().requires_grad_()
    refused = last is Failing or (last is Detaching and method == "gradcam")
    try:
        heatmaps(model, x, ["0", "2"], method=method)
    except (RuntimeError, InputError):
        assert refused
    else:
        assert not refused
    assert seen == [method == "gradcam"]
    assert x.grad is None
    assert all((parameter.grad == 1).all() for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == trainable
    assert torch.is_grad_enabled()
    after = [(dict(m._forward_hooks), dict(m._forward_pre_hooks), dict(m._backward_hooks)) for m in model.modules()]
    assert after == hooks
    for name, value in model.state_dict().items():
        assert torch.equal(value, weights[name])


def test_images_that_a_layer_hands_on_are_left_as_they_were():
    model, x = nn.Sequential(nn.Identity(), *small()).requires_grad_(False), X.clone()
    (made,), _ = heatmaps(model, x, ["0"])
    assert not x.requires_grad
    y = X.clone().requires_grad_()
    gradient = torch.autograd.grad(model(y).amax(1).sum(), y)[0]
    same([made], [(gradient.mean((2, 3), keepdim=True) * X).sum(1).relu()])


def test_maps_and_logits_hold_no_graph():
    made, logits = heatmaps(small(), X, ["0", "2"])
    assert not any(value.requires_grad for value in (*made, logits))
    found = sums(small(), ["0"], shown=[0])
    assert not any(value.requires_grad for value in (found.sums, found.zero, *found.shown))


# maps that are zero everywhere


@pytest.mark.parametrize("norm", ["max", "minmax", "none"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("upsample", [False, True])
def test_maps_of_nothing_are_counted_and_their_sum_is_zero(method, norm, upsample):
    model = small()
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    found = sums(model, ["0", "2"], method=method, norm=norm, upsample=upsample, shown=[1])
    dead = [False, True] if method == "eigencam" else [True, True]  # no gradient reaches layer 0
    for index in range(2):
        assert found.zero[index].all() == dead[index]
        assert found.sums[index].eq(0).all() == dead[index]
        assert found.shown[index].eq(0).all() == dead[index]
    assert found.sums.isfinite().all()


def test_only_maps_that_are_zero_everywhere_are_counted():
    """Class 0 of the linear network: no map where pixel values are positive, one where they are negative."""
    images = torch.cat([IMAGE, -IMAGE, torch.zeros_like(IMAGE)])
    found = sums(linear(), ["0"], images, LABELS[:3], target="0")
    assert found.zero.tolist() == [[True, False, True]]
    assert found.sums.tolist() == [[0, 2.5, 0]]


# what is refused


def test_logits_that_do_not_depend_on_a_layer():
    class Aside(nn.Module):
        def __init__(self):
            super().__init__()
            self.network, self.aside = small(), nn.Conv2d(3, 2, 1)

        def forward(self, x):
            self.aside(x)
            return self.network(x)

    for trainable in (True, False):
        with pytest.raises(InputError) as error:
            heatmaps(Aside().requires_grad_(trainable), X, ["network.0", "aside"])
        assert str(error.value) == (
            "no gradient of the logits reaches layer 'aside': they do not depend on it, or the model detaches it "
            "(no_grad, detach, argmax). EigenCAM needs none."
        )
    assert heatmaps(Aside(), X, ["aside"], method="eigencam")[0][0].shape == (7, 8, 8)


@pytest.mark.parametrize("trainable", [False, True])
@pytest.mark.parametrize("method", THEIRS)
def test_logits_that_are_detached(method, trainable):
    model = small().append(Detaching()).requires_grad_(trainable)
    with pytest.raises(InputError, match=r"no gradient of the logits reaches layer '2': .* \(no_grad, detach, argmax"):
        heatmaps(model, X, ["2", "0"], method=method)


def test_a_pass_without_gradients():
    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = small()

        def forward(self, x):
            with torch.no_grad():
                return self.network(x)

    with pytest.raises(InputError, match=r"no gradient of the logits reaches layer 'network\.0'"):
        heatmaps(Frozen(), X, ["network.0"])


@pytest.mark.parametrize("method", THEIRS)
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_maps_that_are_not_finite(method, bad):
    model = small()
    with torch.no_grad():
        model[2].bias[0] = bad
    with pytest.raises(InputError, match="the heatmaps at layer '2' are NaN or infinite"):
        heatmaps(model, X, ["2"], method=method)
    with pytest.raises(InputError, match="the heatmaps at layer '2' are NaN or infinite"):
        sums(model, ["2"], method=method, upsample=True)


def test_maps_that_overflow():
    """10 · 3·10³⁸ at one pixel: infinite and nowhere NaN."""
    model = linear()
    with torch.no_grad():
        model[2].weight.mul_(10)
    with pytest.raises(InputError, match="the heatmaps at layer '0' are NaN or infinite"):
        heatmaps(model, torch.full((1, 1, 2, 2), 3e38), ["0"], method="layercam", classes=torch.tensor([0]))


def test_methods_and_norms_that_there_are_not():
    with pytest.raises(InputError, match=r"unknown heatmap method 'layer-cam'\. Did you mean 'layercam'\?"):
        heatmaps(small(), X, ["0"], method="layer-cam")
    with pytest.raises(InputError, match=r"unknown norm 'mimax'\. Did you mean 'minmax'\? Known: max, minmax, none"):
        normalise(MAPS, "mimax")
    with pytest.raises(InputError, match="unknown norm 'sum'"):
        sums(small(), ["0"], norm="sum")


# many images


def test_progress_counts_images():
    steps = []
    sums(small(), ["0"], batch_size=3, progress=steps.append)
    assert steps == [3, 3, 1]


def test_images_reach_the_network_as_to_input_makes_them():
    seen = []

    def to_input(images):
        assert images.dtype == torch.uint8
        seen.append(len(images))
        return images.float() / 255

    images = (255 * X).byte()
    found = heatmap_sums(small(), images, LABELS, ["0"], to_input=to_input, batch_size=4)
    assert seen == [4, 3]
    torch.testing.assert_close(found.sums, sums(small(), ["0"], images / 255).sums, rtol=1e-4, atol=1e-4)


def test_no_image_need_be_shown():
    assert sums(small(), ["0"]).shown == ()


# what cannot be had


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_a_caller_that_computes_no_gradients_gets_the_same_maps(mode):
    model = small()
    expected, _ = heatmaps(model, X, ["0"])
    with mode():
        found, _ = heatmaps(model, X.clone(), ["0"])
    torch.testing.assert_close(found[0].clone(), expected[0])


class Part(nn.Module):
    """Its first layer runs without gradients."""

    def __init__(self):
        super().__init__()
        self.network = small()

    def forward(self, x):
        with torch.no_grad():
            features = self.network[0](x)
        return self.network[1:](features)


@pytest.mark.parametrize("layers", [["network.0"], ["network.0", "network.2"]])
@pytest.mark.parametrize("trainable", [True, False])
def test_a_layer_without_gradients_is_named(layers, trainable):
    with pytest.raises(InputError, match=r"no gradient of the logits reaches layer 'network\.0'"):
        heatmaps(Part().requires_grad_(trainable), X, layers)


def test_eigencam_of_activations_that_are_not_finite_is_refused():
    model = small()
    with torch.no_grad():
        model[2].bias[0] = math.nan
    with pytest.raises(InputError, match="the heatmaps at layer '2' are NaN or infinite"):
        heatmaps(model, X, ["2"], method="eigencam")


def test_layers_and_classes_that_are_not_there_are_refused():
    with pytest.raises(InputError, match="layer 'layer4' does not exist; the model's are 0, 1"):
        heatmaps(small(), X, ["layer4"])
    with pytest.raises(InputError, match="layer '' does not exist"):
        heatmaps(small(), X, [""])
    with pytest.raises(InputError, match=r"classes must lie in 0 to \d"):
        heatmaps(small(), X, ["0"], classes=torch.full((len(X),), 99))


def test_a_layer_that_runs_twice_or_puts_out_no_map_is_refused():
    shared = nn.ReLU()
    twice = nn.Sequential(nn.Conv2d(X.shape[1], 3, 1), shared, nn.Conv2d(3, 3, 1), shared, nn.Flatten())
    with pytest.raises(InputError, match="layer '1' runs more than once"):
        heatmaps(twice, X, ["1"])
    with pytest.raises(InputError, match="layer '4' puts out no map"):
        heatmaps(twice, X, ["4"])


def test_a_model_in_training_mode_is_refused_and_left_as_it_was():
    model = resnet()
    model.stages[1].train()
    before = copy.deepcopy(model.state_dict())
    for method in METHODS:
        with pytest.raises(
            InputError, match=r"the model's stages\.1\..* \(BatchNorm2d\) is in training mode: call eval"
        ):
            heatmaps(model, X, ["stem"], method=method)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert heatmaps(small().train(), X, ["0"])[0][0].any(), "nothing in it depends on the mode"


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        (LABELS[:3], r"expected classes as integers \(7,\), one an image; got \(3,\) of torch.int64"),
        (torch.cat([LABELS, LABELS]), r"got \(14,\)"),
        (LABELS[:, None], r"got \(7, 1\)"),
        (LABELS.float(), r"got \(7,\) of torch.float32"),
        (LABELS > 1, r"got \(7,\) of torch.bool"),
        (-LABELS, "classes must lie in 0 to 3, the model's outputs"),
        (LABELS + 1, "classes must lie in 0 to 3, the model's outputs"),
    ],
)
@pytest.mark.parametrize("method", ["gradcam", "eigencam"])
def test_classes_that_are_not_one_an_image(classes, words, method):
    with pytest.raises(InputError, match=words):
        heatmaps(small(), X, ["0"], classes=classes, method=method)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_arrays_are_taken(kind):
    expected, logits = heatmaps(small(), X, ["0", "2"], classes=LABELS)
    for x in (X.numpy(), X.double().numpy()):
        found, again = heatmaps(small(), x, ["0", "2"], classes=LABELS.numpy().astype(kind))
        same([*found, again], [*expected, logits])
    double, _ = heatmaps(small().double(), X.numpy(), ["0"], classes=LABELS.numpy())
    assert double[0].dtype == torch.float64
    options = {"to_input": torch.as_tensor, "target": "true", "batch_size": 3}
    made = heatmap_sums(small(), X.numpy(), LABELS.numpy().astype(kind), ["0"], **options)
    torch.testing.assert_close(made.sums, sums(small(), ["0"], target="true").sums)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (
            (255 * X).byte(),
            r"expected images as floats \(B, C, H, W\) in the model's scale; got \(7, 3, 8, 8\) of torch.uint8",
        ),
        ((255 * X).byte().numpy(), "got .* of torch.uint8"),
        (X[0], r"got \(3, 8, 8\) of torch.float32"),
    ],
)
def test_what_are_no_images(x, words):
    with pytest.raises(InputError, match=words):
        heatmaps(small(), x, ["0"])


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (lambda logits: (logits, logits), "the model returns tuple; expected one tensor of logits"),
        (lambda logits: {"logits": logits}, "the model returns dict; expected one tensor of logits"),
        (lambda logits: logits[:, 0], r"the model returns \(7,\) for 7 images; expected \(7, classes\)"),
        (lambda logits: logits[:1], r"the model returns \(1, 4\) for 7 images"),
        (lambda logits: logits[..., None], r"the model returns \(7, 4, 1\) for 7 images"),
    ],
)
@pytest.mark.parametrize("method", ["gradcam", "eigencam", "ScoreCAM"])
def test_outputs_that_are_no_logits(output, words, method):
    class Other(nn.Module):
        def __init__(self):
            super().__init__()
            self.network = small()

        def forward(self, x):
            return output(self.network(x))

    with pytest.raises(InputError, match=words):
        heatmaps(Other(), X, ["network.0"], method=method)


@pytest.mark.parametrize("method", ["gradcam", "eigencam", "HiResCAM"])
def test_a_layer_that_never_runs_is_named(method):
    model = small()
    model[3].unused = nn.Conv2d(3, 2, 1)
    with pytest.raises(InputError, match=r"layer '3\.unused' does not run when the model is called"):
        heatmaps(model, X, ["0", "3.unused"], method=method)


class Reads(TorchDispatchMode):
    """Counts single values that are read from tensors, each of which waits for a GPU."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function in (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)
        return function(*args, **(kwargs or {}))


def test_a_batch_is_waited_for_once_and_not_at_every_layer():
    with Reads() as one:
        heatmaps(resnet(), X, ["stem"])
    with Reads() as four:
        heatmaps(resnet(), X, ["stem", "stages.0", "stages.1", "stages.2"])
    assert four.count == one.count <= 1


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"labels": LABELS[:3]}, r"expected images and a label for each; got 7 and \(3,\)"),
        ({"images": X[:0], "labels": LABELS[:0]}, "expected images and a label for each; got 0"),
        ({"target": "best"}, "target must be predicted, true or the index of a class, got 'best'"),
        ({"target": "-1"}, "target must be predicted"),
        ({"target": "4"}, "classes must lie in 0 to 3"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"shown": [0, 7]}, r"shown must be positions of images, 0 to 6, got \[0, 7\]"),
    ],
)
def test_sums_of_what_cannot_be(given, words):
    with pytest.raises(InputError, match=words):
        sums(small(), ["0"], **given)
