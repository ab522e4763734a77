import pytest
import torch
from torch.nn import functional as F

from mixlens.analysis.errors import InputError
from mixlens.analysis.models.build import architectures, build
from mixlens.analysis.models.voxnet import VoxNet


def volumes(side=32, count=3, channels=1):
    return torch.rand(count, channels, side, side, side, generator=torch.Generator().manual_seed(0))


def test_it_has_the_published_number_of_parameters():
    """Maturana and Scherer (2015), of 32³ voxels and 40 classes: 921,736; with 10 classes 30 · 129 fewer."""
    assert sum(parameter.numel() for parameter in VoxNet(40).parameters()) == 921_736
    assert sum(parameter.numel() for parameter in VoxNet(10).parameters()) == 921_736 - 30 * 129


def test_of_32_a_side_it_is_the_published_layers():
    network, x = VoxNet(5, width=4).eval(), volumes()
    state = network.state_dict()
    hidden = F.leaky_relu(F.conv3d(x, state["features.0.weight"], state["features.0.bias"], stride=2), 0.1)
    assert hidden.shape[2:] == (14, 14, 14)
    hidden = F.leaky_relu(F.conv3d(hidden, state["features.3.weight"], state["features.3.bias"]), 0.1)
    assert hidden.shape[2:] == (12, 12, 12)
    hidden = F.max_pool3d(hidden, 2).flatten(1)
    hidden = F.linear(hidden, state["head.0.weight"], state["head.0.bias"]).relu()
    torch.testing.assert_close(network(x), F.linear(hidden, state["head.3.weight"], state["head.3.bias"]))


@pytest.mark.parametrize("sides", [(12, 12, 12), (16, 24, 40)])
def test_other_sides(sides):
    network = VoxNet(5, width=2, in_channels=2).eval()
    x = torch.rand(3, 2, *sides)
    torch.testing.assert_close(network(x)[1:2], network(x[1:2]))
    assert network(x).shape == (3, 5)


@pytest.mark.parametrize("x", [volumes(11), volumes(16)[:, :, :, :8], torch.zeros(2, 1, 32, 32)])
def test_too_few_voxels_are_refused(x):
    with pytest.raises(InputError, match="volumes of at least 12 voxels a side"):
        VoxNet(5)(x)


def test_networks_of_volumes_take_no_images_and_others_no_volumes():
    assert set(architectures("volume")) >= {"voxnet", "pointnet", "pointnet-official"}
    assert "voxnet" not in architectures("image")
    with pytest.raises(InputError, match="model 'voxnet' takes no images"):
        build("voxnet", classes=10, channels=3)
    for name in ("preact-resnet18", "torchvision:resnet18"):
        with pytest.raises(InputError, match=f"model '{name}' takes no volumes. Give one of .*pointnet.*, voxnet"):
            build(name, classes=10, channels=1, modality="volume")
