"""WideResNet, DenseNet-BC, PyramidNet, Conv4: sizes as printed, each equal to another version."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import DenseNet

from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.models.build import build, canonical
from mixlens.analysis.models.densenet import DenseNetBC
from mixlens.analysis.models.pyramidnet import PyramidNet, ShakeDrop
from mixlens.analysis.models.wide_resnet import WideResNet

SMALL = (
    "conv4(width=3)",
    "wide-resnet(depth=10,width=1)",
    "densenet-bc(depth=10,growth=4)",
    "pyramidnet(depth=11,alpha=9)",
)


def settled(net):
    """In eval mode, in float64, with statistics, scales and shifts that leave no normalisation an identity."""
    for name, value in net.double().eval().state_dict().items():
        if value.is_floating_point() and value.ndim == 1:
            spread = torch.rand(len(value), dtype=torch.float64)
            value.copy_(0.5 + spread if name.endswith(("running_var", "weight")) else spread - 0.5)
    return net


def normalised(state, name, x):
    return F.batch_norm(x, *(state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")))


def parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("text", "printed", "count"),
    [
        ("wide-resnet", 36.5, 36_479_194),
        ("densenet-bc", 25.6, 25_624_430),
        ("pyramidnet", 26.2, 26_210_842),
        ("conv4", 0.1, 113_482),
        ("wide-resnet(depth=40,width=4)", 8.9, 8_949_210),
        ("densenet-bc(depth=100,growth=12)", 0.8, 769_162),
        ("pyramidnet(depth=164,alpha=270)", 27.2, 27_216_021),
    ],
)
def test_sizes_are_those_of_their_papers(text, printed, count):
    """In millions, on CIFAR-10. PyramidNet's paper prints 26.0 for 272 layers and α = 200, 27.0 for 164 and 270."""
    with torch.device("meta"):
        found = parameters(build(text, classes=10, channels=3))
    assert round(found / 1e6, 1) == printed
    assert found == count


@pytest.mark.parametrize("text", SMALL)
@pytest.mark.parametrize(("channels", "size"), [(3, 32), (1, 28), (4, 64)])
def test_logits_of_other_channels_and_sizes(text, channels, size):
    assert build(text, classes=7, channels=channels).eval()(torch.rand(2, channels, size, size)).shape == (2, 7)


@pytest.mark.parametrize("official", [False, True])
def test_wide_resnet_equals_a_plain_version(official):
    torch.manual_seed(0)
    net = settled(WideResNet(5, depth=16, width=2, in_channels=2, official=official))
    state, images = net.state_dict(), torch.randn(2, 2, 32, 32, dtype=torch.float64)
    x = F.conv2d(images, state["stem.weight"], padding=1)
    for stage in range(3):
        for block in range(2):
            name, stride = f"stages.{stage}.{block}", 2 if stage and not block else 1
            active = F.relu(normalised(state, f"{name}.norm1", x))
            shortcut = x if block else F.conv2d(active, state[f"{name}.projection.weight"], stride=stride)
            inner = F.conv2d(active, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            inner = F.relu(normalised(state, f"{name}.norm2", inner))
            x = F.conv2d(inner, state[f"{name}.conv2.weight"], padding=1) + shortcut
    x = F.relu(normalised(state, "head_norm.0", x))
    assert x.shape[2:] == (8, 8)
    seen = x[:, :, :7, :7] if official else x
    torch.testing.assert_close(net(images), seen.mean((2, 3)) @ state["head.weight"].T + state["head.bias"])


def test_densenet_equals_torchvisions_layers():
    """Its dense blocks and transitions, behind a stem for small images."""
    torch.manual_seed(0)
    ours = settled(DenseNetBC(5, depth=22, growth=4, in_channels=2))
    theirs = DenseNet(growth_rate=4, block_config=(3, 3, 3), num_init_features=8, bn_size=4, num_classes=5)
    theirs.features.conv0 = nn.Conv2d(2, 8, 3, padding=1, bias=False)
    for name in ("norm0", "relu0", "pool0"):
        setattr(theirs.features, name, nn.Identity())
    values = [value for name, value in ours.state_dict().items()]
    state = theirs.double().state_dict()
    assert [tuple(value.shape) for value in values] == [tuple(value.shape) for value in state.values()]
    theirs.load_state_dict(dict(zip(state, values, strict=True)))
    images = torch.randn(2, 2, 16, 16, dtype=torch.float64)
    torch.testing.assert_close(ours(images), theirs.eval()(images))


def test_pyramidnet_equals_a_plain_version():
    torch.manual_seed(0)
    net = settled(PyramidNet(5, depth=20, alpha=10, in_channels=2))
    state, images = net.state_dict(), torch.randn(2, 2, 16, 16, dtype=torch.float64)
    x = normalised(state, "stem.1", F.conv2d(images, state["stem.0.weight"], padding=1))
    widths = []
    for number in range(6):
        name, stride = f"stages.{number // 2}.{number % 2}", 2 if number in (2, 4) else 1
        inner = F.conv2d(normalised(state, f"{name}.norm1", x), state[f"{name}.conv1.weight"])
        inner = F.relu(normalised(state, f"{name}.norm2", inner))
        inner = F.conv2d(inner, state[f"{name}.conv2.weight"], stride=stride, padding=1)
        inner = F.relu(normalised(state, f"{name}.norm3", inner))
        inner = normalised(state, f"{name}.norm4", F.conv2d(inner, state[f"{name}.conv3.weight"]))
        kept = 1 - (number + 1) / 6 * 0.5  # the mean of ShakeDrop's factor
        below = F.avg_pool2d(x, 2) if stride == 2 else x
        x = kept * inner
        x[:, : below.shape[1]] += below
        widths.append(inner.shape[1])
    assert widths == [4 * round(16 + 10 * (number + 1) / 6) for number in range(6)]
    x = F.relu(normalised(state, "head_norm.0", x)).mean((2, 3))
    torch.testing.assert_close(net(images), x @ state["head.weight"].T + state["head.bias"])


def test_shakedrop_has_the_papers_means_forth_and_back():
    """E[b + α − bα] = p, E[b + β − bβ] = (1 + p)/2; each a z-score over 20,000 batches of one image."""
    torch.manual_seed(1)
    kept, count = 0.3, 20_000
    layer = ShakeDrop(kept).train()
    x = torch.ones(1, requires_grad=True)
    factors, gradients = torch.empty(count), torch.empty(count)
    for number in range(count):
        out = layer(x)
        factors[number] = out.detach()
        (gradients[number],) = torch.autograd.grad(out, x)
    whole = factors == 1
    assert abs(whole.double().mean() - kept) < 4 * math.sqrt(kept * (1 - kept) / count)
    assert (gradients[whole] == 1).all()
    for values, low, high in ((factors[~whole], -1.0, 1.0), (gradients[~whole], 0.0, 1.0)):
        assert values.min() >= low
        assert values.max() <= high
        deviation = (high - low) / math.sqrt(12 * len(values))
        assert abs(values.mean() - (low + high) / 2) < 4 * deviation
    assert abs(factors.mean() - kept) < 4 * factors.std() / math.sqrt(count)


def test_shakedrop_shakes_each_image_by_itself_and_drops_the_batch():
    torch.manual_seed(0)
    layer = ShakeDrop(0.5).train()
    batches = [layer(torch.ones(4, 2, 3, 3)) for _ in range(20)]
    for out in batches:
        assert (out == out[:, :1, :1, :1]).all(), "one factor an image"
    kinds = {len(out[:, 0, 0, 0].unique()) for out in batches}
    assert kinds == {1, 4}


def test_chances_fall_linearly_with_the_depth():
    kept = [block.shake.kept for stage in PyramidNet(2, depth=20, alpha=3).stages for block in stage]
    assert kept == pytest.approx([1 - 0.5 * number / 6 for number in range(1, 7)])
    assert not [m for m in PyramidNet(2, depth=20, shakedrop=1).modules() if isinstance(m, ShakeDrop)]


@pytest.mark.parametrize("text", SMALL)
@pytest.mark.parametrize("mixing", ["baseline", "mixup", "cutmix", "fmix"])
def test_a_step_of_each_augmentation_moves_every_parameter(text, mixing):
    torch.manual_seed(0)
    net = build(text, classes=3, channels=3).train()
    policy = parse_policy(mixing)
    x, y = torch.rand(8, 3, 32, 32), torch.arange(8) % 3
    mix = policy.build(3, "elem")
    images, loss = x, None
    if mix is not None:
        mixed = mix.pairs(x, y, generator=torch.Generator().manual_seed(0), step=0)
        images = mixed[0]
    before = [value.clone() for value in net.parameters()]
    loss = F.cross_entropy(net(images), y)
    loss.backward()
    torch.optim.SGD(net.parameters(), 0.1).step()
    assert torch.isfinite(loss)
    moved = [not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True)]
    assert all(moved)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("wide-resnet(depth=27)", r"depth must be 4 \+ 6 n, such as 22 or 28, got 27"),
        ("wide-resnet(width=0)", "width must be a whole number"),
        ("densenet-bc(depth=4)", r"such as 10 or 16, got 4"),
        ("densenet-bc(growth=1.5)", "growth must be a whole number"),
        ("pyramidnet(depth=272.0)", "depth must be a whole number"),
        ("pyramidnet(alpha=-1)", "alpha must be a number of at least 0"),
        ("pyramidnet(shakedrop=0)", "shakedrop must be above 0"),
        ("pyramidnet(shakedrop=2)", "shakedrop must be above 0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        build(text, classes=10, channels=3)


def test_conv4_equals_a_plain_version():
    torch.manual_seed(0)
    net = settled(build("conv4(width=3)", classes=5, channels=2))
    state, images = net.state_dict(), torch.randn(2, 2, 33, 40, dtype=torch.float64)
    x = F.conv2d(images, state["stem.weight"], padding=1)
    for block in range(4):
        if block:
            x = F.conv2d(x, state[f"stages.{block}.0.weight"], padding=1)
        x = F.max_pool2d(F.relu(normalised(state, f"stages.{block}.{1 if block else 0}.0", x)), 2)
    assert x.shape == (2, 3, 2, 2)
    torch.testing.assert_close(net(images), x.mean((2, 3)) @ state["head.weight"].T + state["head.bias"])
    with pytest.raises(InputError, match="at least 16 pixels a side"):
        net(images[..., :15])


def test_the_papers_sizes_are_the_defaults():
    assert canonical("wide-resnet(depth=28,width=10)") == "wide-resnet"
    assert canonical("densenet-bc(growth=40,depth=190)") == "densenet-bc"
    assert canonical("pyramidnet(alpha=200,depth=272,shakedrop=0.5)") == "pyramidnet"
