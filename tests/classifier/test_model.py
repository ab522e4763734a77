import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixlens.analysis.data.loader import normalise
from mixlens.analysis.errors import InputError
from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.classifier.model import Classifier, check_classifier, resize

MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)


def images(count=8, size=8, seed=0):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(seed))


class Returns(nn.Module):
    """A network that returns whatever a function of its images gives."""

    def __init__(self, forward):
        super().__init__()
        self.returns = forward

    def forward(self, x):
        return self.returns(x)


def linear(classes=4, size=8):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, classes))


# Classifier


def test_images_are_normalised_as_the_training_images_are():
    bytes_ = torch.randint(256, (4, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = Classifier(nn.Identity(), MEAN, STD)(bytes_ / 255)
    assert torch.equal(seen, normalise(bytes_, MEAN, STD))


def test_it_is_frozen_and_in_eval_mode_from_the_start():
    network = PreActResNet18(4, width=2).train()
    model = Classifier(network, MEAN, STD)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first, again = model(images()), model(images())
    assert torch.equal(first, again)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items()), "no running statistics"


def test_its_state_dict_holds_the_network_and_no_normalisation():
    assert {name.removeprefix("network.") for name in Classifier(linear(), MEAN, STD).state_dict()} == set(
        linear().state_dict()
    )


def test_gradients_reach_the_images_by_the_chain_rule():
    """Of a linear network the gradient is its weight over the standard deviation."""
    model, x = Classifier(linear().double(), MEAN, STD), images().double().requires_grad_()
    model(x)[:, 1].sum().backward()
    expected = model.network[1].weight[1].view(3, 8, 8) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(x.grad, expected.expand(8, 3, 8, 8), rtol=1e-6, atol=0)
    assert model.network[1].weight.grad is None


def test_one_channel():
    model = Classifier(nn.Identity(), (0.5,), (0.25,))
    torch.testing.assert_close(model(torch.ones(2, 1, 4, 4)), torch.full((2, 1, 4, 4), 2.0))


# resize


def test_resizing_is_bilinear_and_antialiased():
    expected = F.interpolate(images(), size=(5, 5), mode="bilinear", antialias=True, align_corners=False)
    torch.testing.assert_close(resize(images(), 5), expected)
    assert resize(images(), 5).shape == (8, 3, 5, 5)


@pytest.mark.parametrize("size", [None, 8])
def test_images_of_that_size_already_are_left_alone(size):
    x = images()
    assert resize(x, size) is x


def test_images_that_are_not_square_become_so():
    assert resize(torch.rand(1, 3, 4, 8), 8).shape == (1, 3, 8, 8)
    assert resize(torch.rand(1, 3, 8, 4), 4).shape == (1, 3, 4, 4)


def test_a_constant_image_stays_constant_at_any_size():
    for size in (3, 8, 20):
        torch.testing.assert_close(resize(torch.full((1, 3, 8, 8), 0.7), size), torch.full((1, 3, size, size), 0.7))


def test_the_network_sees_the_resized_images_and_gradients_the_datas_own_pixels():
    sizes = []
    model = Classifier(Returns(lambda x: sizes.append(tuple(x.shape)) or x.mean((2, 3))), MEAN, STD, size=16)
    x = images().requires_grad_()
    model(x).sum().backward()
    assert sizes == [(8, 3, 16, 16)]
    assert x.grad.shape == x.shape
    assert x.grad.abs().min() > 0


# check_classifier: what is good


@pytest.mark.parametrize(
    "model",
    [
        Classifier(PreActResNet18(4, width=2), MEAN, STD),
        Classifier(linear(), MEAN, STD),
        linear(),
        linear(size=8).train(),  # training mode matters to no layer of it
        nn.Sequential(nn.Flatten(), nn.Dropout(), nn.BatchNorm1d(192), nn.Linear(192, 4)).eval(),
        Returns(lambda x: x.mean((2, 3)).repeat(1, 2)[:, :4].log_softmax(1)),  # log-probabilities are logits
        Returns(lambda x: torch.ones(len(x), 4)),  # positive, but no probabilities
    ],
)
def test_a_good_model_passes_and_tells_its_classes(model):
    assert check_classifier(model, images()) == 4


def test_a_few_images_are_tried_without_gradients_and_one_with():
    tried = []

    def forward(x):
        tried.append((tuple(x.shape), torch.is_grad_enabled()))
        return x.flatten(1)[:, :3] + 1

    assert check_classifier(Returns(forward), images(100)) == 3
    assert set(tried) == {((8, 3, 8, 8), False), ((1, 3, 8, 8), True)}


def test_fewer_images_than_that_will_do():
    assert check_classifier(linear(), images(1)) == 4


def test_running_statistics_are_untouched():
    model = PreActResNet18(4, width=2).eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    check_classifier(model, images())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


# check_classifier: what is refused


@pytest.mark.parametrize(
    ("layer", "told"),
    [
        (nn.BatchNorm2d(3), r"model's 0 \(BatchNorm2d\) is in training mode: call eval\(\)"),
        (nn.Dropout(0.5), r"model's 0 \(Dropout\) is in training mode"),
        (nn.Dropout2d(0.5), r"model's 0 \(Dropout2d\) is in training mode"),
        (nn.AlphaDropout(0.5), r"model's 0 \(AlphaDropout\) is in training mode"),
        (nn.RReLU(), r"model's 0 \(RReLU\) is in training mode"),
    ],
)
def test_a_layer_in_training_mode_is_named(layer, told):
    with pytest.raises(InputError, match=told):
        check_classifier(nn.Sequential(layer, *linear()), images())


def test_the_root_itself_in_training_mode_is_named():
    with pytest.raises(InputError, match=r"model's root \(BatchNorm2d\)"):
        check_classifier(nn.BatchNorm2d(3), images())


def test_one_layer_left_in_training_mode_is_enough():
    model = PreActResNet18(4, width=2).eval()
    model.stages[2][1].norm2.train()
    with pytest.raises(InputError, match=r"model's stages\.2\.1\.norm2 \(BatchNorm2d\)"):
        check_classifier(model, images())


@pytest.mark.parametrize(
    ("forward", "told"),
    [
        (lambda x: (x.mean((2, 3)), x), r"returns tuple; expected one tensor of logits"),
        (lambda x: {"logits": x.mean((2, 3))}, r"returns dict; expected one tensor"),
        (lambda x: x, r"returns \(8, 3, 8, 8\) for 8 images; expected \(8, classes\)"),
        (lambda x: x.mean((1, 2, 3)), r"returns \(8,\) for 8 images"),
        (lambda x: x.mean((2, 3))[:-1], r"returns \(7, 3\) for 8 images"),
        (lambda x: x.mean((1, 2, 3))[:, None], r"returns \(8, 1\) for 8 images; .* a logit for each class"),
        (lambda x: x.mean((2, 3)) * torch.tensor([1.0, float("nan"), 1.0]), r"returns NaN or infinity on images"),
        (lambda x: x.mean((2, 3)) + torch.tensor([0.0, 0.0, float("inf")]), r"returns NaN or infinity"),
        (lambda x: x.mean((2, 3)).softmax(1), r"returns probabilities .* return logits, before the softmax"),
        (lambda x: F.one_hot(x.mean((2, 3)).argmax(1), 3).float(), r"returns probabilities"),
    ],
)
def test_outputs_that_are_no_logits_are_refused(forward, told):
    with pytest.raises(InputError, match=told):
        check_classifier(Returns(forward), images())


def test_dropout_that_is_always_on_is_refused():
    model = Returns(lambda x: F.dropout(x.flatten(1), 0.5)[:, :4])
    with pytest.raises(InputError, match=r"returns other logits when it sees the same images again"):
        check_classifier(model, images())


@pytest.mark.parametrize("model", [linear(size=16), Classifier(linear(size=16), MEAN, STD)])
def test_another_image_size_is_refused_with_what_to_give(model):
    with pytest.raises(InputError, match=r"failed on images of shape \(3, 8, 8\): .* --classifier\.size"):
        check_classifier(model, images())
    assert check_classifier(Classifier(linear(size=16), MEAN, STD, size=16), images()) == 4


def test_another_number_of_channels_is_refused():
    with pytest.raises(InputError, match=r"failed on images of shape \(1, 8, 8\)"):
        check_classifier(PreActResNet18(4, width=2).eval(), torch.rand(8, 1, 8, 8))


@pytest.mark.parametrize("error", [RuntimeError, TypeError, ValueError, IndexError, AssertionError])
def test_a_model_that_raises_is_told_with_its_first_line(error):
    def forward(x):
        raise error("too small\nand a page of detail")

    with pytest.raises(InputError, match="too small") as caught:
        check_classifier(Returns(forward), images())
    told, own_line, _ = str(caught.value).partition(" (test_model.py, line ")
    assert own_line
    assert "detail" not in told
    assert isinstance(caught.value.__cause__, error)


# `str(error).splitlines()[0]` is an IndexError of its own, out of the handler, for `assert x.shape[-1] == 64`.
def test_a_model_whose_error_says_nothing_is_refused():
    def forward(x):
        raise AssertionError

    with pytest.raises(InputError, match="failed on images of shape"):
        check_classifier(Returns(forward), images())


# an image alone


class ByTheBatch(nn.Module):
    """A network whose batch norm keeps no statistics."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.c, self.n = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)

    def forward(self, x):
        return self.n(self.c(x)).square().mean((2, 3))


@pytest.mark.parametrize(
    ("forward", "told"),
    [
        (lambda x: x.mean((2, 3), keepdim=True).squeeze(), r"returns \(3,\) for a single image; expected \(1, 3\)"),
        (lambda x: F.linear(x.mean((2, 3)).squeeze(), torch.eye(3))[:, :3], "failed on a single image"),
        (lambda x: x.flatten(1)[:, :4] - x.flatten(1)[:, :4].mean(0), "other logits when it is alone"),
        (lambda x: x.flatten(1)[:, :4] / x.std(0).flatten()[:4], "other logits when it is alone"),
        (lambda x: x.flatten(1)[:, :4] - x[:1].flatten(1)[:, :4] + 1, "other logits when it is alone"),  # not the first
        (lambda x: x.flatten(1)[:, :4].cumsum(0), "other logits when it is alone"),
        (lambda x: F.batch_norm(x, None, None, training=True).flatten(1)[:, :4], "other logits when it is alone"),
    ],
)
def test_logits_that_depend_on_the_rest_of_the_batch_are_refused(forward, told):
    with pytest.raises(InputError, match=told):
        check_classifier(Returns(forward), images())


def test_a_batch_norm_without_statistics_is_named():
    with pytest.raises(InputError, match=r"model's n \(BatchNorm2d\) normalises by the batch at hand"):
        check_classifier(ByTheBatch().eval(), images())


def test_instance_norm_is_the_images_own():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 4)).eval()
    assert check_classifier(model, images()) == 4


@pytest.mark.parametrize(
    ("forward", "told"),
    [
        (lambda net, x: net(x).sigmoid(), "it ends in sigmoid; return logits"),
        (lambda net, x: net(x).softmax(1) + net(x.flip(3)).softmax(1), r"each row sums to 2\); return logits"),
        (lambda net, x: net(x).sigmoid() + net(x.flip(3)).sigmoid(), "it ends in sigmoid"),
        (lambda net, x: torch.stack([net(x).softmax(1), net(-x).softmax(1)]).mean(0), "return their logarithm"),
        (lambda net, x: 10 * net(x).softmax(1) - 5, "it ends in softmax"),
        (lambda net, x: F.hardsigmoid(net(x)), "it ends in hardsigmoid"),
        (lambda net, x: net(x).sigmoid().log(), ""),  # a logarithm is what is asked for
        (lambda net, x: (net(x).softmax(1) + net(-x).softmax(1)).log(), ""),
        (lambda net, x: net(x).sigmoid() * net(-x), ""),  # a gate
        (lambda net, x: net(x) + net(x).softmax(1), ""),
        (lambda net, x: F.silu(net(x)), ""),
        (lambda net, x: net(x).log_softmax(1) + net(-x).log_softmax(1), ""),
    ],
)
def test_probabilities_of_any_making_are_refused_and_logits_are_not(forward, told):
    net = linear()
    model = Returns(lambda x: forward(net, x))
    if not told:
        assert check_classifier(model, images()) >= 2
        return
    with pytest.raises(InputError, match=told):
        check_classifier(model, images())


def test_logits_that_lie_between_0_and_1_are_logits():
    assert check_classifier(Returns(lambda x: x.mean((2, 3))), images()) == 3


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_of_half_precision_takes_images_as_they_are(dtype):
    """Its logits are float32, in which probabilities are made."""
    exact = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    half = nn.Sequential(nn.Flatten(), nn.Linear(12, 3)).to(dtype)
    half.load_state_dict(exact.state_dict())
    x = torch.rand(4, 3, 2, 2)
    mean, std = np.array([0.5, 0.4, 0.3]), torch.tensor([0.2, 0.2, 0.2], dtype=torch.float64)
    logits = Classifier(half, mean, std)(x)
    assert logits.dtype == torch.float32
    assert torch.allclose(logits, Classifier(exact, mean.tolist(), std.tolist())(x), atol=0.1)
    check_classifier(Classifier(half, mean, std), x)
