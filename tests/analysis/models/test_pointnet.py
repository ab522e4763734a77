import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from mixlens.analysis.errors import InputError
from mixlens.analysis.models.build import build, canonical
from mixlens.analysis.models.pointnet import PointNet, PointNetOfficial

NAMES = ["pointnet", "pointnet(turned=False)", "pointnet-official"]


def shapes(count=6, side=8, seed=0):
    return (torch.rand(count, 1, side, side, side, generator=torch.Generator().manual_seed(seed)) < 0.2).float()


def made(name, points=64, train=None, classes=4):
    torch.manual_seed(0)
    extra = f", train_points={train}" if train else ""
    spec = f"{name.rstrip(')')}{',' if '(' in name else '('}points={points}{extra})"
    return build(spec, classes=classes, channels=1, modality="volume")


@pytest.mark.parametrize(
    ("name", "classes", "parameters", "multiply_adds"),
    [
        ("pointnet", 40, 3.5, 440),  # Qi et al. (2017), Table 6: millions, of 1,000 points
        ("pointnet(turned=False)", 40, 0.8, 148),
        ("pointnet-official", 10, 0.803338, 140),  # Kaolin's, by its layers
    ],
)
def test_it_has_as_many_parameters_and_multiply_adds_as_published(name, classes, parameters, multiply_adds):
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        network = build(name, classes=classes, channels=1, modality="volume").eval()
        network(torch.zeros(1, 1, 32, 32, 32))
    count = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert round(count, len(str(parameters).partition(".")[2])) == parameters
    assert counter.get_total_flops() / 2e6 == pytest.approx(multiply_adds, rel=0.006)


def reference(network, cloud):
    """The official network from its weights alone, a point at a time."""
    state = network.state_dict()

    def layer(prefix, norm, x):
        x = F.linear(x, state[f"{prefix}.weight"], state[f"{prefix}.bias"])
        means, variances = state[f"{norm}.running_mean"], state[f"{norm}.running_var"]
        return F.batch_norm(x, means, variances, state[f"{norm}.weight"], state[f"{norm}.bias"])

    best = None
    for point in cloud:
        x = layer("features.0", "features.1", point[None]).relu()
        x = layer("features.3", "features.4", x).relu()
        x = layer("features.6", "features.7", x)
        best = x if best is None else torch.maximum(best, x)
    x = layer("head.0.0", "head.0.1", best).relu()
    x = layer("head.0.3", "head.0.4", x).relu()
    return F.linear(x, state["head.1.weight"], state["head.1.bias"])


def test_the_official_one_is_its_layers_a_point_at_a_time():
    network = made("pointnet-official", points=20)
    for _ in range(3):
        network(shapes())  # running statistics that are no longer the first
    network.eval()
    x = shapes(1, seed=5)
    torch.testing.assert_close(network(x), reference(network, network.cloud(x)[0]))


@pytest.mark.parametrize("name", NAMES)
def test_points_in_any_order_and_twice_are_the_same(name):
    network = made(name).eval()
    cloud = network.cloud(shapes())
    whole = network(shapes())
    for other in (cloud.flip(1), cloud.repeat(1, 2, 1)):
        network.cloud = nn.Identity()
        torch.testing.assert_close(network(other), whole)


def test_it_turns_nothing_at_first():
    network = made("pointnet").eval()
    cloud = torch.rand(2, 9, 3)
    assert torch.equal(network.turn(cloud), cloud)
    assert torch.equal(network.turn_features(torch.rand(2, 9, 64).mul_(0).add_(1)), torch.ones(2, 9, 64))


@pytest.mark.parametrize("name", NAMES)
def test_in_eval_mode_nothing_is_drawn_and_a_volume_is_alone_as_in_its_batch(name):
    network, x = made(name).eval(), shapes()
    state = torch.get_rng_state()
    with torch.no_grad():
        whole = network(x)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(network(x), whole)
        torch.testing.assert_close(torch.cat([network(one[None]) for one in x]), whole)


def test_while_it_trains_points_are_drawn_from_pytorchs_generator():
    cloud, x = made("pointnet").train().cloud, shapes()
    torch.manual_seed(3)
    first, second = cloud(x), cloud(x)
    torch.manual_seed(3)
    assert torch.equal(cloud(x), first)
    assert not torch.equal(first, second)


def test_another_number_while_it_trains():
    cloud = made("pointnet-official", points=50, train=12).cloud
    assert cloud.train()(shapes()).shape == (6, 12, 3)
    assert cloud.eval()(shapes()).shape == (6, 50, 3)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_volume_has_logits_too(name):
    network = made(name)
    x = torch.cat([torch.zeros(2, 1, 8, 8, 8), shapes(2)])
    assert network.train()(x).isfinite().all()
    logits = network.eval()(x)
    assert logits.isfinite().all()
    assert torch.equal(logits[0], logits[1])


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_is_trained(name):
    network, x = made(name).train(), shapes(8)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    y = torch.arange(8) % 4
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(network(x), y).backward()
        optimizer.step()
    assert not any(map(torch.equal, before, network.parameters()))


def test_defaults_are_left_out_of_its_name():
    assert canonical("pointnet(points=1000,dropout=0.3,turned=True)") == "pointnet"
    assert canonical("pointnet-official(train_points=128,points=1000)") == "pointnet-official(train_points=128)"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PointNet(3, points=0), "points must be a whole number of at least 1"),
        (lambda: PointNetOfficial(3, train_points=1.5), "train_points must be"),
        (lambda: PointNet(3, dropout=1), "dropout must lie"),
        (lambda: PointNet(3, in_channels=2), "these volumes have 2"),
        (lambda: PointNet(3)(torch.zeros(2, 1, 8, 8)), "got \\(2, 1, 8, 8\\)"),
        (lambda: build("pointnet", classes=3, channels=1), "takes no images"),
    ],
)
def test_what_it_cannot_be_is_refused(make, said):
    with pytest.raises(InputError, match=said):
        make()
