import sys

import pytest
import timm
import torch
import torchvision
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.models.build import architectures, build, canonical
from mixlens.analysis.models.preact_resnet import PreActResNet18

MINE = """
from functools import partial

from torch import nn

given = []
thing = 7


def everything(num_classes, in_channels, pretrained, width=3):
    given.append(dict(num_classes=num_classes, in_channels=in_channels, width=width, pretrained=pretrained))
    return nn.Conv2d(in_channels, num_classes, 3)


def classes_only(num_classes, depth=3):
    given.append(dict(num_classes=num_classes, depth=depth))
    return nn.Linear(3, num_classes)


def nothing():
    given.append({})
    return nn.Linear(3, 2)


def open_ended(**options):
    given.append(options)
    return nn.Linear(3, 2)


class Network(nn.Module):
    def __init__(self, num_classes, width=3):
        super().__init__()
        given.append(dict(num_classes=num_classes, width=width))


bound = partial(classes_only, depth=9)


def fails(num_classes):
    raise RuntimeError("no such depth")


def leaves():
    raise SystemExit(3)


def needs(depth):
    return nn.Linear(3, depth)


def compiled(num_classes):
    import torch

    return torch.compile(nn.DataParallel(nn.Sequential(nn.Linear(3, num_classes))))


def spread(num_classes):
    return nn.DataParallel(nn.Sequential(nn.Linear(3, num_classes)))


def weights():
    return nn.Linear(3, 2).state_dict()


def kind():
    return nn.Linear
"""


def made(spec, *, pretrained=False):
    return build(spec, classes=4, channels=2, pretrained=pretrained)


# built in


@pytest.mark.parametrize(("name", "official"), [("preact-resnet18", False), ("preact-resnet18-official", True)])
def test_built_in_networks(name, official):
    net = made(f"{name}(width=5)")
    expected = PreActResNet18(4, width=5, in_channels=2, official=official)
    assert {k: v.shape for k, v in net.state_dict().items()} == {k: v.shape for k, v in expected.state_dict().items()}
    assert net.stages[0][1].activated is official


@pytest.mark.parametrize(
    ("given", "nearest"),
    [("preact-resnet", "preact-resnet18"), ("preact-resnet18-offical", "preact-resnet18-official"), ("zzz", None)],
)
def test_an_unknown_name_gets_the_nearest_and_the_other_forms(given, nearest):
    with pytest.raises(InputError) as caught:
        made(given)
    told = str(caught.value)
    assert f"unknown model '{given}'." in told
    assert (f"Did you mean '{nearest}'?" in told) if nearest else ("Did you mean" not in told)
    assert all(name in told for name in (*architectures(), "torchvision:", "timm:", "package.module:factory"))


@pytest.mark.parametrize(
    ("text", "one"),
    [
        (" preact-resnet18( width = 64 )", "preact-resnet18"),
        ("preact-resnet18(width=16)", "preact-resnet18(width=16)"),
        ("preact-resnet18-official(width=64)", "preact-resnet18-official"),
        ("timm:resnet18(drop_rate=0.1)", "timm:resnet18(drop_rate=0.1)"),
        ("my.code:make(b=2, a='x')", "my.code:make(a='x',b=2)"),
    ],
)
def test_a_network_has_one_name(text, one):
    assert canonical(text) == canonical(one) == one


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("preact-resnet18(widht=16)", "unknown argument 'widht'. Did you mean 'width'"),
        ("preact-resnet18(official=True)", "unknown argument 'official'"),
        ("preact-resnet18(num_classes=3)", "unknown argument 'num_classes'"),
        ("preact-resnet81", "unknown model 'preact-resnet81'. Did you mean 'preact-resnet18'"),
        ("preact-resnet18(16)", "cannot read model"),
    ],
)
def test_arguments_that_a_network_does_not_have_are_refused(text, told):
    with pytest.raises(InputError, match=told.replace(".", r"\.")):
        canonical(text)


@pytest.mark.parametrize("width", [0, -1, 2.0, "'wide'", True])
def test_a_width_that_is_none_is_refused(width):
    with pytest.raises(InputError, match="width must be a whole number of at least 1"):
        made(f"preact-resnet18(width={width})")


@pytest.mark.parametrize("name", architectures("image"))
def test_built_in_networks_have_no_published_weights(name):
    with pytest.raises(InputError, match=rf"no published weights for {name}; give a file of weights, or train it"):
        made(name, pretrained=True)


# torchvision and timm


def test_torchvision_builds_for_these_classes_and_channels():
    net = made("torchvision:squeezenet1_1").eval()
    assert net(torch.rand(1, 2, 64, 64)).shape == (1, 4)


def test_timm_builds_for_these_classes_and_channels():
    net = made("timm:test_resnet").eval()
    assert net(torch.rand(1, 2, 64, 64)).shape == (1, 4)


def test_weights_are_random_unless_pretrained_is_asked_for(monkeypatch):
    calls = []

    def spy(*args, **options):
        calls.append(options)
        return nn.Conv2d(3, 4, 1)

    monkeypatch.setattr(torchvision.models, "get_model", spy)
    monkeypatch.setattr(timm, "create_model", spy)
    for pretrained in (False, True):
        build("torchvision:resnet18", classes=4, channels=3, pretrained=pretrained)
        made("timm:resnet18", pretrained=pretrained)
    assert calls == [
        {"name": "resnet18", "weights": None, "num_classes": 4},
        {"model_name": "resnet18", "pretrained": False, "num_classes": 4, "in_chans": 2},
        {"name": "resnet18", "weights": "DEFAULT"},
        {"model_name": "resnet18", "pretrained": True},
    ]


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_a_misspelt_library_model_gets_the_nearest(library):
    with pytest.raises(InputError, match=rf"unknown {library} model 'resnett18'\. Did you mean 'resnet18'\?"):
        made(f"{library}:resnett18")


@pytest.mark.parametrize(
    "spec", ["torchvision:", "timm:", "torchvision:fasterrcnn_resnet50_fpn", "torchvision:list_models"]
)
def test_what_is_no_classifier_of_the_library_is_refused(spec):
    with pytest.raises(InputError, match=f"unknown {spec.partition(':')[0]} model"):
        made(spec)


def test_without_timm_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(InputError, match=r"'timm:resnet18' needs the package timm: pip install timm"):
        made("timm:resnet18")


def test_a_failed_download_is_told(monkeypatch):
    def unreachable(**options):
        raise OSError("network is unreachable")

    monkeypatch.setattr(torchvision.models, "get_model", unreachable)
    with pytest.raises(
        InputError, match=r"'torchvision:resnet18': its factory failed with OSError: network is unreach"
    ):
        made("torchvision:resnet18", pretrained=True)


# the user's own


@pytest.mark.parametrize(
    ("factory", "given"),
    [
        ("everything", {"num_classes": 4, "in_channels": 2, "width": 3, "pretrained": False}),
        ("everything(width=7)", {"num_classes": 4, "in_channels": 2, "width": 7, "pretrained": False}),
        ("classes_only", {"num_classes": 4, "depth": 3}),
        ("nothing", {}),
        ("open_ended", {}),
        ("Network", {"num_classes": 4, "width": 3}),
        ("bound", {"num_classes": 4, "depth": 9}),
    ],
)
def test_a_factory_gets_the_arguments_that_it_names(mine, factory, given):
    assert isinstance(made(f"{mine}:{factory}"), nn.Module)
    assert sys.modules[mine].given == [given]


@pytest.mark.parametrize("factory", ["compiled", "spread"])
def test_what_was_compiled_or_spread_over_devices_is_the_network_within(mine, factory):
    assert list(made(f"{mine}:{factory}").state_dict()) == ["0.weight", "0.bias"]


def test_a_factory_that_names_it_is_asked_for_pretrained_weights(mine):
    made(f"{mine}:everything", pretrained=True)
    assert sys.modules[mine].given[0]["pretrained"] is True


# Without this the network's random weights are measured as if they had been published.
def test_a_factory_that_cannot_give_pretrained_weights_is_refused_them(mine):
    with pytest.raises(InputError, match="pretrained"):
        made(f"{mine}:classes_only", pretrained=True)


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("fails", r"its factory failed with RuntimeError: no such depth"),
        ("leaves", r"its factory failed with SystemExit: 3"),
        ("needs", r"missing a required argument: 'depth'"),
        ("weights", r"its factory returned OrderedDict; expected a torch\.nn\.Module"),
        ("kind", r"its factory returned type; expected a torch\.nn\.Module"),
        ("thing", r"expected a function to call, found int"),
        ("nothin", r"Did you mean 'nothing'\?"),
    ],
)
def test_what_cannot_be_built_is_named(mine, factory, told):
    with pytest.raises(InputError, match=told) as caught:
        made(f"{mine}:{factory}")
    assert mine in str(caught.value)


def test_a_refusal_of_the_factorys_own_is_passed_on(mine, tmp_path):
    code = (
        "from mixlens.analysis.errors import InputError\n\ndef make():\n    raise InputError('choose another depth')\n"
    )
    (tmp_path / "mixlens_tests_refusing.py").write_text(code)
    with pytest.raises(InputError, match=r": choose another depth$"):
        made("mixlens_tests_refusing:make")
    sys.modules.pop("mixlens_tests_refusing")


def test_a_callable_without_a_signature_is_called_without_arguments():
    with pytest.raises(InputError, match=r"'builtins:dict': its factory returned dict"):
        made("builtins:dict")


def test_a_missing_module_is_named(mine):
    with pytest.raises(InputError, match=r"model 'mixlens_tests_absent:make': importing .* failed"):
        made("mixlens_tests_absent:make")


# channels


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_a_network_of_torchvision_takes_other_channels_by_its_first_convolution_alone(channels):
    torch.manual_seed(0)
    colour = build("torchvision:resnet18", classes=4, channels=3).state_dict()
    torch.manual_seed(0)
    network = build("torchvision:resnet18", classes=4, channels=channels).eval()
    assert network(torch.zeros(2, channels, 32, 32)).shape == (2, 4)
    state = network.state_dict()
    assert all(state[name].equal(colour[name]) for name in state if name != "conv1.weight"), "the same draws"
    for channel in range(channels):
        assert state["conv1.weight"][:, channel].equal(colour["conv1.weight"][:, channel % 3])


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v3_small", "swin_t"])
def test_other_kinds_of_torchvisions_networks_take_grey_images(name):
    network = build(f"torchvision:{name}", classes=4, channels=1).eval()
    with torch.no_grad():
        assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 4)


def test_published_weights_are_for_their_channels(monkeypatch):
    monkeypatch.setattr(torchvision.models, "get_model", lambda name, **options: torchvision.models.resnet18())
    told = r"the images have 1 channel, and its published weights are for 3\. Take timm:NAME"
    with pytest.raises(InputError, match=told):
        build("torchvision:resnet18", classes=4, channels=1, pretrained=True)
    with pytest.raises(InputError, match=told):
        build("torchvision:resnet18(weights='DEFAULT')", classes=4, channels=1)
