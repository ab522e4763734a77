import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mixlens.analysis.models.preact_resnet import PreActResNet18


def reference(state, x, *, official, activated):
    """The network from its state dict alone. ``activated``: the (stage, block) that add to BN–ReLU of their input."""

    def active(name, x):
        statistics = (state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return F.relu(F.batch_norm(x, *statistics))

    x = F.conv2d(x, state["stem.weight"], padding=1)
    if official:
        x = active("stem_norm.0", x)
    for stage in range(4):
        for block in range(2):
            name, stride = f"stages.{stage}.{block}", 2 if stage and not block else 1
            inner = active(f"{name}.norm1", x)
            shortcut = inner if (stage, block) in activated else x
            if f"{name}.projection.weight" in state:
                shortcut = F.conv2d(inner, state[f"{name}.projection.weight"], stride=stride)
            inner = F.conv2d(inner, state[f"{name}.conv1.weight"], stride=stride, padding=1)
            x = F.conv2d(active(f"{name}.norm2", inner), state[f"{name}.conv2.weight"], padding=1) + shortcut
    if not official:
        x = active("head_norm.0", x)
    return x.flatten(2).mean(2) @ state["head.weight"].T + state["head.bias"]


def network(official, **sizes):
    """In eval mode, in float64, with statistics, scales and shifts that leave no normalisation an identity."""
    torch.manual_seed(0)
    net = PreActResNet18(5, official=official, **{"width": 3, **sizes}).double().eval()
    for name, value in net.state_dict().items():
        if value.is_floating_point() and value.ndim == 1:
            spread = torch.rand(len(value), dtype=torch.float64)
            value.copy_(0.5 + spread if name.endswith(("running_var", "weight")) else spread - 0.5)
    return net


def count(width, classes, channels, official):
    """Parameters, layer by layer, of He et al.'s structure and the published one."""
    total, inputs = 9 * channels * width, width
    for growth in (1, 2, 4, 8):
        outputs = growth * width
        total += 2 * inputs + 9 * inputs * outputs + 2 * outputs + 9 * outputs**2  # the first block
        total += 2 * (2 * outputs + 9 * outputs**2)  # the second
        total += inputs * outputs if inputs != outputs else 0
        inputs = outputs
    return total + (2 * width if official else 2 * inputs) + (inputs + 1) * classes


def parameters(net):
    return sum(parameter.numel() for parameter in net.parameters())


def test_the_papers_size_has_11_172_170_parameters():
    assert parameters(PreActResNet18(10)) == 11_172_170


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize(("width", "classes", "channels"), [(64, 10, 3), (2, 2, 1), (6, 100, 4)])
def test_parameters_closed_form(width, classes, channels, official):
    net = PreActResNet18(classes, width=width, in_channels=channels, official=official)
    assert parameters(net) == count(width, classes, channels, official)


@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize(
    ("width", "channels", "size"), [(2, 3, (32, 32)), (3, 1, (28, 28)), (2, 4, (17, 40)), (1, 3, (64, 64))]
)
def test_logits_for_other_widths_channels_and_sizes(width, channels, size, official):
    net = PreActResNet18(7, width=width, in_channels=channels, official=official).eval()
    assert net(torch.rand(2, channels, *size)).shape == (2, 7)


def test_stages_halve_the_side_and_double_the_channels():
    x, shapes = PreActResNet18(10, width=2).stem(torch.rand(1, 3, 32, 32)), []
    for stage in PreActResNet18(10, width=2).stages:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes == [(2, 32, 32), (4, 16, 16), (8, 8, 8), (16, 4, 4)]


@pytest.mark.parametrize(
    ("official", "norm", "none"), [(False, "head_norm", "stem_norm"), (True, "stem_norm", "head_norm")]
)
def test_the_norm_outside_the_blocks_is_at_the_head_or_officially_at_the_stem(official, norm, none):
    net = PreActResNet18(10, width=2, official=official)
    assert [type(layer) for layer in getattr(net, norm)] == [nn.BatchNorm2d, nn.ReLU]
    assert isinstance(getattr(net, none), nn.Identity)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in net.modules()) == 2 * 8 + 1


@pytest.mark.parametrize("official", [False, True])
def test_only_blocks_that_change_shape_project_and_nothing_but_the_head_has_a_bias(official):
    net = PreActResNet18(10, width=2, official=official)
    projections = [[block.projection is not None for block in stage] for stage in net.stages]
    assert projections == [[False, False], [True, False], [True, False], [True, False]]
    assert not any(module.bias is not None for module in net.modules() if isinstance(module, nn.Conv2d))
    assert net.head.bias is not None


@pytest.mark.parametrize("official", [False, True])
def test_the_first_block_adds_to_its_activated_input(official):
    """Computed from the block's own parts."""
    net = network(official)
    block, x = net.stages[0][0], torch.randn(2, 3, 8, 8, dtype=torch.float64)
    inner = torch.relu(block.norm1(x))
    added = block.conv2(torch.relu(block.norm2(block.conv1(inner))))
    torch.testing.assert_close(block(x), added + inner)


def test_he_et_als_second_block_adds_to_its_input():
    block, x = network(False).stages[0][1], torch.randn(2, 3, 8, 8, dtype=torch.float64)
    added = block.conv2(torch.relu(block.norm2(block.conv1(torch.relu(block.norm1(x))))))
    torch.testing.assert_close(block(x), added + x)


# The published FMix code (ecs-vlc/FMix, models/resnet.py) has in every block `out = F.relu(self.bn1(x))`, then
# `shortcut = self.shortcut(out)`, and where nothing is projected `self.shortcut` is an empty nn.Sequential: its
# identity shortcuts carry the *activated* input, in all eight blocks.
@pytest.mark.parametrize("official", [False, True])
@pytest.mark.parametrize("size", [(16, 16), (9, 12)])
def test_it_equals_a_plain_version_from_its_weights(official, size):
    net, x = network(official, in_channels=2), torch.randn(3, 2, *size, dtype=torch.float64)
    activated = [(stage, block) for stage in range(4) for block in range(2)] if official else [(0, 0)]
    torch.testing.assert_close(net(x), reference(net.state_dict(), x, official=official, activated=activated))


def test_the_two_structures_differ():
    he, published = network(False), network(True)
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    assert (he(x) - published(x)).abs().max() > 1e-3


def test_training_moves_every_parameter():
    net = PreActResNet18(4, width=2)
    net(torch.rand(4, 3, 16, 16)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())
