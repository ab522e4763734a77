"""Engines train alike: step by step, as a captured graph would (its code, without a graph), and on a GPU as one."""

from functools import partial

import pytest
import torch
import torch._dynamo
from torch import nn

from mixlens import Alternate, CutMix, FMix, MixUp
from mixlens.analysis.data.dataset import Split
from mixlens.analysis.data.loader import Batches, Transforms
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.engine import Captured, Eager, make_engine, training_forward

IMAGES, BATCH, EPOCHS = 44, 16, 3  # two full batches and a short one
MIXES = {
    "none": None,
    "mixup": MixUp(num_classes=3, mode="batch"),
    "cutmix": CutMix(num_classes=3),
    "fmix": FMix(num_classes=3, mode="batch"),
    "fmix+mixup": Alternate(FMix(num_classes=3), MixUp(num_classes=3)),
}


class Training:
    """A small training of its own: network, optimiser, batches and generators, all of one seed."""

    def __init__(self, mix="none", optimizer="adam", device="cpu", precision="fp32", shuffle=True):
        self.backend = make_backend(device, precision)
        source = torch.Generator().manual_seed(0)
        images = torch.randint(256, (IMAGES, 3, 8, 8), dtype=torch.uint8, generator=source)
        split = Split(images, torch.randint(3, (IMAGES,), generator=source))
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)]
        self.network = self.backend.prepare(nn.Sequential(*layers)).train()
        self.generators = {purpose: self.backend.generator(purpose) for purpose in ("images", "mixing")}
        transforms = Transforms(flip=True, crop_padding=1, jitter=0.1)
        self.batches = Batches(
            split, (0.5,) * 3, (0.25,) * 3, BATCH, transforms=transforms, shuffle=shuffle, device=self.backend.device,
            generator=self.generators["images"], channels_last=True,
        )  # fmt: skip
        kind = {
            "adam": partial(torch.optim.Adam, lr=1e-2, fused=True),
            "sgd": partial(torch.optim.SGD, lr=1e-2, momentum=0.9, weight_decay=1e-4, fused=True),
        }[optimizer]
        self.optimizer = kind(self.network.parameters())
        self.mix, self.numbers = MIXES[mix], []

    def step(self, x, y, number):
        self.numbers.append(number)
        if self.mix is not None:
            x, y = self.mix(x, y, generator=self.generators["mixing"], step=number)
        with self.backend.autocast():
            outputs = self.network(x)
        return {"loss": nn.functional.cross_entropy(outputs.float(), y), "norm": outputs.float().norm()}

    def run(self, engine, epochs=EPOCHS):
        """The metrics' sums after each step of each epoch."""
        sums = []
        for epoch in range(epochs):
            sums += [{k: v.clone() for k, v in totals.items()} for totals in engine.epoch(epoch)]
        return sums

    def eager(self):
        return Eager(self.optimizer, self.step, self.batches, rates)

    def captured(self, period=1, say=None):
        return Captured(
            self.optimizer, self.step, self.batches, rates, period, list(self.generators.values()), say or [].append
        )

    def made(self, period=1, say=None, batches=None):
        options = {"period": period, "generators": self.generators, "say": say or [].append}
        return make_engine(self.backend, self.optimizer, self.step, batches or self.batches, rates, **options)


def rates(epoch):
    return [1e-2 * (1 - epoch / 4)]


def assert_alike(first, second, sums, others, tolerance=0.0):
    for total, other in zip(sums, others, strict=True):
        assert total.keys() == other.keys()
        for name, value in total.items():
            assert value.item() == pytest.approx(other[name].item(), rel=tolerance, abs=tolerance)
    for (name, value), other in zip(
        first.network.state_dict().items(), second.network.state_dict().values(), strict=True
    ):
        assert torch.allclose(value.float(), other.float(), rtol=tolerance, atol=tolerance), name


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("mix", MIXES)
def test_what_is_captured_is_the_step_itself(mix, optimizer):
    """Its code without a graph does what runs step by step: order, transforms, mixing, rates and sums."""
    first, second = Training(mix, optimizer), Training(mix, optimizer)
    sums = first.run(first.eager())
    others = second.run(second.captured(period=2 if mix == "fmix+mixup" else 1))
    assert len(sums) == EPOCHS * 3
    assert_alike(first, second, sums, others, tolerance=1e-6)
    assert second.numbers == [number % (2 if mix == "fmix+mixup" else 1) for number in first.numbers]


def test_an_order_that_is_not_shuffled_is_kept():
    first, second = Training(shuffle=False), Training(shuffle=False)
    assert_alike(first, second, first.run(first.eager()), second.run(second.captured()), tolerance=1e-6)


def test_a_step_that_cannot_be_captured_says_so_once_and_goes_on():
    first, second, said = Training("mixup"), Training("mixup"), []
    engine = second.captured(say=said.append)
    engine.captures = True  # there is no CUDA device to capture on
    others = second.run(engine)
    assert_alike(first, second, first.run(first.eager()), others, tolerance=1e-6)
    assert len(said) == 1
    assert said[0].startswith("steps run one by one, not as a CUDA graph: ")


def test_on_a_cpu_nothing_is_captured_and_nothing_said():
    said = []
    assert isinstance(Training().made(say=said.append), Eager)
    assert not said


@pytest.mark.parametrize("case", ["batches", "period", "optimizer", "ranks"])
def test_what_stands_in_the_way_of_a_graph_is_named(case, monkeypatch):
    training, said = Training(), []
    device = torch.device("cuda")
    ranks = type("Ranks", (), {"world": 2})() if case == "ranks" else None
    training.backend = type("Elsewhere", (), {"device": device, "ranks": ranks})()
    if case == "optimizer":
        training.optimizer = torch.optim.RMSprop(training.network.parameters())
    batches = list(training.batches) if case == "batches" else None
    engine = training.made(period=None if case == "period" else 1, say=said.append, batches=batches)
    assert isinstance(engine, Eager)
    words = {"batches": "its batches are list", "period": "asks for the step's number", "optimizer": "RMSprop"}
    words["ranks"] = "divided among 2 processes"
    assert len(said) == 1
    assert words[case] in said[0]


def test_a_compiled_network_is_compiled_once_for_all_trainings(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]
    counts, outputs = [], []
    for compile_ in (True, True, False):
        training = Training("mixup")
        backend = make_backend("cpu", "fp32", compile=compile_)
        network = training_forward(training.network, backend, BATCH)
        training.step = partial(_through, training, network)
        before = graphs["unique_graphs"]
        outputs.append(training.run(training.eager()))
        counts.append(graphs["unique_graphs"] - before)
    assert counts == [1, 0, 0], "neither the short batch nor another epoch or training compiles again"
    losses = [[total["loss"].item() for total in sums] for sums in outputs]
    assert losses[0] == losses[1] == pytest.approx(losses[2])


def test_a_network_of_texts_is_not_compiled_for_every_length(monkeypatch):
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="eager"))
    torch._dynamo.reset()
    graphs = torch._dynamo.utils.counters["stats"]
    network = nn.Conv1d(3, 2, 3, padding=1)
    compiled = training_forward(network, make_backend("cpu", "fp32", compile=True), 4, one_shape=False)
    before = graphs["unique_graphs"]
    for length in range(5, 25):
        x = torch.randn(4, 3, length)
        torch.testing.assert_close(compiled(x), network(x))
    assert graphs["unique_graphs"] - before <= 2, "one for the first length, one for all others"


def _through(training, network, x, y, number):
    x, y = training.mix(x, y, generator=training.generators["mixing"], step=number)
    return {"loss": nn.functional.cross_entropy(network(x), y)}


# on a GPU


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("mix", MIXES)
def test_a_captured_graph_trains_as_single_steps_do(mix, optimizer):
    period, said = (2 if mix == "fmix+mixup" else 1), []
    first, second = Training(mix, optimizer, "cuda"), Training(mix, optimizer, "cuda")
    sums = first.run(first.eager(), epochs=8)
    with torch.cuda.stream(torch.cuda.Stream()):
        engine = second.made(period, said.append)
        others = second.run(engine, epochs=8)
    torch.cuda.synchronize()
    assert isinstance(engine, Captured)
    assert not said
    assert set(engine.graphs) == set(range(period))
    assert_alike(first, second, sums, others, tolerance=1e-5)


@pytest.mark.gpu
def test_no_step_of_a_captured_epoch_waits_for_the_device():
    training = Training("fmix", device="cuda")
    with torch.cuda.stream(torch.cuda.Stream()):
        engine = training.made()
        training.run(engine, epochs=3)  # warmed and captured
        torch.cuda.set_sync_debug_mode("error")
        try:
            for _ in engine.epoch(3):
                pass
        finally:
            torch.cuda.set_sync_debug_mode("default")
