"""How training steps run: one by one, or captured as a CUDA graph. The loop asks for steps and never learns which.

A captured step is the whole of it: rows of the epoch's order by a counter on the device, transforms, mixing, forward,
backward, the optimiser with its rate in a tensor, and the sums of the metrics. The first steps of a training run as
they would without a graph, on the training's own stream; then the same code is captured, which runs nothing, and
replayed from there on. An augmentation that alternates has a graph for each of its branches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.optim import SGD, Adam, Optimizer

from ..data.loader import Batches
from ..errors import first_line
from .backend import Backend
from .ranks import Ranks

WARM_STEPS = 3  # of each branch before it is captured: lazy initialisations and the choice of algorithms are behind it
Step = Callable[[Tensor, Tensor, int], dict[str, Tensor]]
Rates = Callable[[float], Sequence[float]]  # epoch → the rate of each of the optimiser's groups


class Epochs(Protocol):
    """What a loop iterates over, once per epoch."""

    def __iter__(self) -> Any: ...
    def __len__(self) -> int: ...


class Engine(Protocol):
    def epoch(self, epoch: int) -> Iterator[Mapping[str, Tensor]]:
        """Train for an epoch: after each step the metrics' sums over the epoch's steps so far, on the device."""
        ...


def make_engine(
    backend: Backend,
    optimizer: Optimizer,
    step: Step,
    batches: Epochs,
    rates: Rates,
    *,
    period: int | None,
    generators: Mapping[str, Generator],
    say: Callable[[str], None],
) -> Engine:
    """Captured on a CUDA device, where all of a step can be; else one by one.

    Args:
        period: after how many steps the same happens again: 1, 2 for an augmentation that alternates; None: unknown.
        generators: every source of randomness of a step.
        say: told in one line why steps are not captured where they might have been.
    """
    if backend.device.type == "cuda":
        reason = _obstacle(optimizer, batches, period, backend.ranks)
        if not reason:
            assert isinstance(batches, Batches)
            assert period is not None
            return Captured(optimizer, step, batches, rates, period, list(generators.values()), say)
        say(f"steps run one by one, not as a CUDA graph: {reason}")
    for group in optimizer.param_groups:
        if "capturable" in group:
            group["capturable"] = False
    return Eager(optimizer, step, batches, rates, backend.ranks)


def _obstacle(optimizer: Optimizer, batches: Epochs, period: int | None, ranks: Ranks | None) -> str:
    if ranks is not None:
        return f"the training is divided among {ranks.world} processes"
    if not isinstance(batches, Batches):
        return f"its batches are {type(batches).__name__}, not of one shape and resident on the device"
    if period is None:
        return "its augmentation asks for the step's number"
    if not isinstance(optimizer, Adam | SGD) or not all(group.get("fused") for group in optimizer.param_groups):
        return f"its optimiser, {type(optimizer).__name__}, is not a fused Adam, AdamW or SGD"
    return ""


class Eager:
    """Each operation when Python comes to it."""

    def __init__(
        self, optimizer: Optimizer, step: Step, batches: Epochs, rates: Rates, ranks: Ranks | None = None
    ) -> None:
        self.optimizer, self.step, self.batches, self.rates, self.ranks = optimizer, step, batches, rates, ranks

    def epoch(self, epoch: int) -> Iterator[Mapping[str, Tensor]]:
        totals: dict[str, Tensor] = {}
        count = len(self.batches)
        for number, (x, y) in enumerate(self.batches):
            for group, rate in zip(self.optimizer.param_groups, self.rates(epoch + number / count), strict=True):
                group["lr"] = rate
            metrics = take_step(self.optimizer, self.step, x, y, epoch * count + number, self.ranks)
            for name, value in metrics.items():
                totals[name] = totals[name] + value if name in totals else value
            yield totals


class Captured:
    """Full batches as a replayed CUDA graph; a last one of another size operation by operation.

    Without a CUDA device the same code runs and nothing is captured, so that it can be tested there.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        step: Step,
        batches: Batches,
        rates: Rates,
        period: int,
        generators: Sequence[Generator],
        say: Callable[[str], None],
    ) -> None:
        self.optimizer, self.step, self.batches, self.rates = optimizer, step, batches, rates
        self.period, self.say = period, say
        device = batches.images.device
        self.captures = device.type == "cuda"
        self.generators = [one for one in generators if one.device == device]
        self.order = torch.arange(len(batches.images), device=device)
        self.rows = torch.arange(batches.batch_size, device=device)
        self.first = torch.zeros((), dtype=torch.int64, device=device)  # of the next batch in the order
        self.totals: dict[str, Tensor] = {}
        self.graphs: dict[int, Any] = {}
        self.warm = dict.fromkeys(range(period), 0)
        for group in optimizer.param_groups:
            if "capturable" in group:
                group["capturable"] = self.captures
            group["lr"] = torch.tensor(float(group["lr"]), device=device)

    def epoch(self, epoch: int) -> Iterator[Mapping[str, Tensor]]:
        order = self.batches.order()
        if order is not None:
            self.order.copy_(order)
        self.first.zero_()
        for total in self.totals.values():
            total.zero_()
        count = len(self.batches)
        for number in range(count):
            for group, rate in zip(self.optimizer.param_groups, self.rates(epoch + number / count), strict=True):
                group["lr"].fill_(rate)
            branch = (epoch * count + number) % self.period
            rows = self.batches.rows(number)
            if rows.stop - rows.start != len(self.rows):
                self._add(take_step(self.optimizer, self.step, *self.batches.take(self.order[rows]), branch))
            elif branch in self.graphs:
                self.graphs[branch].replay()
            else:
                self._full(branch)
                self.warm[branch] += 1
                if self.captures and self.warm[branch] == WARM_STEPS:
                    self._capture(branch)
            yield self.totals

    def _full(self, branch: int) -> None:
        """A step on a full batch; all that changes from one to the next is on the device."""
        x, y = self.batches.take(self.order[self.first + self.rows])
        self._add(take_step(self.optimizer, self.step, x, y, branch))
        self.first += len(self.rows)

    def _add(self, metrics: Mapping[str, Tensor]) -> None:
        for name, value in metrics.items():
            self.totals.setdefault(name, torch.zeros_like(value)).add_(value)

    def _capture(self, branch: int) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        try:
            graph = torch.cuda.CUDAGraph()
            for generator in self.generators:
                graph.register_generator_state(generator)
            # thread_local: a checkpoint may be on its way to the disk in another thread.
            with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
                self._full(branch)
        except torch.OutOfMemoryError:
            raise  # the study tries it again with fewer trainings beside it
        except Exception as error:  # whatever cannot be captured, such as an augmentation that waits for the device
            self.captures = False
            self.say(f"steps run one by one, not as a CUDA graph: {first_line(error)}")
        else:
            self.graphs[branch] = graph


def take_step(
    optimizer: Optimizer, step: Step, x: Tensor, y: Tensor, number: int, ranks: Ranks | None = None
) -> dict[str, Tensor]:
    """One step of the optimiser along the loss of a batch; its metrics, detached. ``ranks``: who has parts of both."""
    metrics = step(x, y, number)
    optimizer.zero_grad(set_to_none=True)
    metrics["loss"].backward()
    detached = {name: value.detach() for name, value in metrics.items()}
    if ranks is not None:
        detached = ranks.sum_up(optimizer, detached)
    optimizer.step()
    return detached


def training_forward(
    network: nn.Module, backend: Backend, batch_size: int | None, *, one_shape: bool = True
) -> Callable[..., Any]:
    """The network as training calls it: compiled for full batches where that was asked for.

    A batch of another size (None: there is none) goes through the network as it is, so that nothing is compiled twice.
    Of samples that are not of ``one_shape``, as texts are not, it is compiled for any length once a second one comes.
    """
    if not backend.compile:
        return network
    compiled = torch.compile(network, dynamic=False if one_shape else None)

    def forward(x: Tensor, *rest: Tensor) -> Any:
        return compiled(x, *rest) if batch_size in (None, len(x)) else network(x, *rest)

    return forward
