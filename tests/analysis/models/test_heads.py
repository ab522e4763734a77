import pytest
import torch
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.models.build import build
from mixlens.analysis.models.heads import with_heads
from mixlens.analysis.models.preact_resnet import PreActResNet18

SIZES = (5, 3, 2)
MINE = """
from torch import nn

asked = []


class Trunk(nn.Module):
    def __init__(self, head_sizes, in_channels):
        super().__init__()
        asked.append(head_sizes)
        self.trunk = nn.Conv2d(in_channels, 4, 3)
        self.heads = nn.ModuleList(nn.Linear(4, size) for size in head_sizes)

    def forward(self, x):
        features = self.trunk(x).mean((2, 3))
        return [head(features) for head in self.heads]


def wide(num_classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))
"""


class Gives(nn.Module):
    def __init__(self, returned):
        super().__init__()
        self.returned = returned

    def forward(self, x):
        return self.returned


def test_one_tensor_is_split_in_the_order_of_the_heads():
    outputs = torch.arange(40.0).reshape(4, 10)
    heads = with_heads(Gives(outputs), SIZES)(torch.zeros(4, 1))
    assert torch.cat(heads, 1).equal(outputs)
    assert [tuple(head.shape) for head in heads] == [(4, 5), (4, 3), (4, 2)]


def test_weights_keep_their_names_and_the_heads_share_nothing_of_the_last_layer():
    torch.manual_seed(0)
    network = with_heads(PreActResNet18(10, in_channels=1, width=4), SIZES)
    assert network.state_dict().keys() == PreActResNet18(10, in_channels=1, width=4).state_dict().keys()
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    network(torch.randn(4, 1, 32, 32))[1].sum().backward()
    touched = last.weight.grad.abs().sum(1) > 0
    assert touched.tolist() == [False] * 5 + [True] * 3 + [False] * 2


@pytest.mark.parametrize(
    ("returned", "told"),
    [
        (torch.zeros(4, 9), r"returns \(4, 9\); expected logits for heads of 5, 3, 2 classes.*one tensor \(B, 10\)"),
        ((torch.zeros(4, 5), torch.zeros(4, 3)), r"returns \(4, 5\) and \(4, 3\)"),
        (tuple(torch.zeros(4, 10) for _ in SIZES), r"returns \(4, 10\) and \(4, 10\) and"),  # as auxiliary outputs
        ({"root": torch.zeros(4, 5)}, "returns dict"),
        (None, "returns NoneType"),
    ],
)
def test_what_fits_no_heads_is_refused(returned, told):
    with pytest.raises(InputError, match=told):
        with_heads(Gives(returned), SIZES)(torch.zeros(4, 1))


def built(text, channels=1):
    return build(text, classes=sum(SIZES), channels=channels, heads=SIZES)


def test_a_network_of_ones_own_may_return_its_heads_and_is_told_their_sizes(mine):
    outputs = built(f"{mine}:Trunk")(torch.zeros(2, 1, 8, 8))
    assert isinstance(outputs, tuple)
    assert [head.shape[1] for head in outputs] == list(SIZES)
    assert [head.shape[1] for head in built(f"{mine}:wide")(torch.zeros(2, 1, 8, 8))] == list(SIZES)


@pytest.mark.parametrize("model", ["conv4(width=4)", "torchvision:resnet18", "timm:resnet18"])
def test_any_network_has_heads_on_grey_images(model):
    network = built(model).eval()
    assert [tuple(head.shape) for head in network(torch.zeros(2, 1, 64, 64))] == [(2, 5), (2, 3), (2, 2)]


def test_the_papers_network_for_graphemes_has_heads():
    network = built("timm:seresnext50_32x4d").eval()
    assert [tuple(head.shape) for head in network(torch.zeros(2, 1, 64, 64))] == [(2, 5), (2, 3), (2, 2)]
