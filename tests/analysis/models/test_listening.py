import pytest
import torch

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.data.modalities.sound import MEAN, STD, Recordings
from mixlens.analysis.data.modalities.waveform import Waveforms
from mixlens.analysis.errors import InputError
from mixlens.analysis.models.build import build
from mixlens.analysis.models.listening import Listening
from mixlens.analysis.training.backend import CPU
from mixlens.classifier.config import NetworkSettings
from mixlens.classifier.measures import predict
from mixlens.classifier.model import make_classifier, make_network, try_network

RATE = 8000


def data(kind, mean, std):
    x = torch.rand(12, 8000, generator=torch.Generator().manual_seed(0)) * 2 - 1
    split = Split(kind.of(x, RATE), torch.arange(12) % 3)
    return Dataset("noise", split, split, ("a", "b", "c"), mean, std)


HEARD, SEEN = data(Waveforms, (0.0,), (1.0,)), data(Recordings, MEAN, STD)
SETTINGS = NetworkSettings(model="preact-resnet18(width=4)")


def test_it_sees_what_a_network_of_spectrograms_sees():
    """But for the bytes of those."""
    torch.manual_seed(0)
    network = make_network(SETTINGS, HEARD)
    assert isinstance(network, Listening)
    heard = predict(make_classifier(SETTINGS, HEARD, network), HEARD.test.images, CPU)
    seen = predict(make_classifier(SETTINGS, SEEN, network.body), SEEN.test.images, CPU)
    torch.testing.assert_close(heard, seen, atol=0.02 * seen.abs().max().item(), rtol=0)
    try_network(SETTINGS, HEARD, network)


def test_gradients_reach_the_waveform():
    network = Listening(build("conv4(width=4)", classes=3, channels=1), RATE)
    x = (torch.rand(2, 1, 8000) - 0.5).requires_grad_()
    network(x).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_it_keeps_its_networks_recipe():
    body = build("conv4(width=4)", classes=3, channels=1)
    body.recipe = "my_code.training:adam"
    assert Listening(body, RATE).recipe == "my_code.training:adam"
    assert Listening(build("conv4(width=4)", classes=3, channels=1), RATE).recipe == ""


def test_waveforms_are_not_resized():
    settings = NetworkSettings(model="conv4(width=4)", size=64)
    with pytest.raises(InputError, match="these are waveforms: leave it out"):
        try_network(settings, HEARD, make_network(SETTINGS, HEARD))
