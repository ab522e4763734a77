"""One training in several processes, as torchrun starts them: the result of one process, up to rounding.

Every process draws, transforms and mixes the whole batch, all from the same generators, so that λ, masks and partners
are those of one process and nothing has to be sent; then it puts its own rows through the network. After the backward
pass one sum over the processes gives all of them the gradient, the loss and the accuracy of the whole batch.

What each has to say to the others goes through torchrun's store, so that nobody waits for one that has failed: who
fails where the others do not says so, breaks the connections that they wait at, and all end.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.rendezvous import rendezvous
from torch.optim import Optimizer

from ..errors import InputError, first_line
from ..interface import Mixed, MixedBatch
from .backend import stream_seed
from .batch_norm import WholeBatchNorm
from .turns import Turns

PATIENCE = 10.0  # seconds for the others to fail too, or to take note that this one has
WAIT = timedelta(minutes=30)  # for one that neither comes nor says that it has gone
MEETING = timedelta(minutes=5)  # for all to have started
POLL = 0.05  # seconds between two looks
INTERRUPTED = "interrupted"
AGAIN = "What is done stays; run the same command again to go on."
REMEDY = "they must have the same data, settings and versions, and see the same files."
HOW = "Start the processes with torchrun --nproc_per_node N -m mixlens …"

T = TypeVar("T")
Metrics = Mapping[str, Tensor]


class PartedError(InputError):
    """The processes cannot go on together. ``word`` is what this one failed of; empty where another one did."""

    def __init__(self, message: str, word: str = "") -> None:
        super().__init__(message)
        self.word = word


class Ranks:
    """This process among the ``world`` that train together; ``rank`` 0 is the one that claims, writes and speaks."""

    def __init__(self, store: Any, rank: int, world: int) -> None:
        self.rank, self.world = rank, world
        self._store = dist.PrefixStore("mixlens", store)
        self._meetings = self._trainings = 0
        self._sums = 0  # collective operations so far: who has done as many stands at the same place
        self._looked = False
        self._seen: Tensor | None = None  # a number of the whole batch, which must be everyone's

    # A step

    def divided(
        self, metrics_of: Callable[[Mixed, Tensor], Metrics], mixed: Mixed, y: Tensor, seed: int
    ) -> dict[str, Tensor]:
        """This process's part of the means over a batch, from its own rows; the sum over the processes is the means.

        Args:
            metrics_of: mixed images and the labels that they had → means over them.
            seed: of what the network draws here, such as dropout: each process has other rows and draws of its own.

        Raises:
            InputError: fewer images than processes.
        """
        images = mixed[0]
        if len(images) < self.world:
            raise InputError(f"a batch of {len(images)} images cannot be divided among {self.world} processes.")
        rows = slice(len(images) * self.rank // self.world, len(images) * (self.rank + 1) // self.world)
        self._seen = images.detach().sum(dtype=torch.float32).view(1) / len(images[0].flatten())
        parts = [part[rows] if isinstance(part, Tensor) else part for part in mixed]
        own: Mixed = MixedBatch(*parts) if isinstance(mixed, MixedBatch) else (parts[0], parts[1])
        if self.rank:
            torch.manual_seed(stream_seed("rank", self.rank, seed))
        with WholeBatchNorm(self):
            metrics = metrics_of(own, y[rows])
        return {name: value * ((rows.stop - rows.start) / len(images)) for name, value in metrics.items()}

    def sum_up(self, optimizer: Optimizer, metrics: Metrics) -> dict[str, Tensor]:
        """After a backward pass: every gradient and metric of the whole batch, in one collective operation.

        A parameter that no process has a gradient of keeps none.

        Raises:
            InputError: the processes had different batches.
            PartedError: another process has failed.
        """
        parameters = [p for group in optimizer.param_groups for p in group["params"] if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        used = [p.grad is not None for p in parameters]
        assert self._seen is not None
        flags = torch.tensor(used, dtype=torch.float32, device=self._seen.device)
        values = [value.reshape(1) for value in metrics.values()]
        flat = torch.cat([*(gradient.reshape(-1) for gradient in gradients), flags, *values, self._seen])
        sizes = [*(gradient.numel() for gradient in gradients), len(flags), *(1 for _ in values), 1]
        *summed, seen = self.sum(flat).split(sizes)
        self._check_seen(seen)
        for parameter, gradient, has_one, everyones in zip(
            parameters, summed, used, summed[len(parameters)], strict=False
        ):
            if has_one:
                parameter.grad.copy_(gradient.view_as(parameter))
            elif everyones.item() > 0:
                parameter.grad = gradient.view_as(parameter).clone()
        return {name: value.squeeze(0) for name, value in zip(metrics, summed[len(parameters) + 1 :], strict=True)}

    def _check_seen(self, total: Tensor) -> None:
        """Looked at in each step where that costs nothing, elsewhere in the first."""
        assert self._seen is not None
        if self._looked and total.device.type != "cpu":
            return
        self._looked = True
        own, mean = self._seen.item(), total.item() / self.world
        if abs(own) < float("inf") and not abs(mean - own) <= 1e-4 * (1 + abs(own)):
            raise InputError(
                "the processes had different batches: something draws otherwise than from the generators that it is "
                "given (an augmentation or batches of one's own?), so that they cannot share one training."
            )

    def sum(self, values: Tensor) -> Tensor:
        """Over the processes, in place; everyone has the same. Raises PartedError."""
        self._sums += 1
        with self._others():
            dist.all_reduce(values)
        return values

    def send(self, values: Tensor) -> None:
        """The first process's values to all, in place. Raises PartedError."""
        self._sums += 1
        with self._others():
            dist.broadcast(values, 0)

    @contextmanager
    def _others(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise self._parted(first_line(error)) from error

    # A training

    def begin(self, name: str, checkpoint: Path) -> None:
        """The first process has claimed a training: the others take part in it, from its checkpoint if it has one."""
        content = checkpoint.read_bytes() if checkpoint.exists() else b""
        self._trainings += 1
        self._store.set(f"training/{self._trainings}", f"{name} {len(content)}")
        if content:
            self.send(torch.frombuffer(bytearray(content), dtype=torch.uint8))

    def end(self) -> None:
        """The first process has no more trainings for the others, and has waited until they know."""
        self._trainings += 1
        self._store.set(f"training/{self._trainings}", "")
        self._wait_for([f"noted/{self._trainings}/{rank}" for rank in range(1, self.world)])

    def next_training(self, checkpoint: Path) -> str:
        """The name of the next training to take part in, and its checkpoint; empty: there are no more.

        Raises:
            PartedError: the first process has failed.
        """
        self._trainings += 1
        key = f"training/{self._trainings}"
        with self._others():
            while not self._store.check([key]):
                self._look_for_failures()
                time.sleep(POLL)
            name, _, size = self._store.get(key).decode().partition(" ")
            if not name:
                self._store.set(f"noted/{self._trainings}/{self.rank}", "")
        checkpoint.unlink(missing_ok=True)
        if size not in ("", "0"):
            content = torch.empty(int(size), dtype=torch.uint8)
            self.send(content)
            checkpoint.write_bytes(content.numpy().tobytes())
        return name

    def together(self, work: Turns[T]) -> Turns[T]:
        """Work that all do, to its end, which must be everyone's: done, or failed at the same place.

        Raises:
            PartedError: another process came to another end.
        """
        try:
            result = yield from work
        except (PartedError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            reason = first_line(error)
            self.agree(f"failed after {self._sums}", reason)
            raise
        self.agree(f"done after {self._sums}")
        return result

    def agree(self, word: str, failed: str = "") -> None:
        """Wait until everyone has said the same. ``failed``: why this process cannot go on.

        Raises:
            PartedError: another said something else, or nothing.
        """
        self._meetings += 1
        keys = [f"meeting/{self._meetings}/{rank}" for rank in range(self.world)]
        until = time.monotonic() + (PATIENCE if failed else WAIT.total_seconds())
        with self._others():
            self._store.set(keys[self.rank], word)
            while not self._store.check(keys) and time.monotonic() < until:
                self._look_for_failures()
                time.sleep(POLL)
            words = [self._store.get(key).decode() if self._store.check([key]) else "" for key in keys]
        if set(words) == {word}:
            return
        if failed:
            raise PartedError(self._sentence(self.rank, failed), failed)
        other = next(rank for rank, one in enumerate(words) if one != word)
        raise PartedError(f"process {other} of {self.world} does otherwise than process {self.rank}: {REMEDY}")

    # Ends

    def leave(self, word: str) -> bool:
        """This process ends: the others are told why, and what they wait for is broken off.

        Returns:
            Whether the first process knows, and so can say it.
        """
        known = False
        with suppress(RuntimeError):  # the store has gone with the first process
            self._store.set(f"left/{self.rank}", word)
            if dist.is_initialized():
                dist.destroy_process_group()
            if self.rank:
                known = self._wait_for(["left/0"])
                self._store.set(f"noted/{self.rank}", "")
            else:
                self._wait_for([f"noted/{rank}" for rank in range(1, self.world)])
        return known

    def _wait_for(self, keys: list[str]) -> bool:
        """Whether they were there before patience was at its end."""
        until = time.monotonic() + PATIENCE
        while not (there := self._store.check(keys)) and time.monotonic() < until:
            time.sleep(POLL)
        return there

    def _look_for_failures(self) -> None:
        for rank in range(self.world):
            if rank != self.rank and self._store.check([f"left/{rank}"]):
                word = self._store.get(f"left/{rank}").decode()
                if word == INTERRUPTED:
                    raise KeyboardInterrupt
                if word:
                    raise PartedError(self._sentence(rank, word))

    def _parted(self, reason: str) -> PartedError:
        """What to raise where a connection broke: what the other process said before it went."""
        until = time.monotonic() + PATIENCE / 2
        with suppress(RuntimeError):
            while time.monotonic() < until:
                try:
                    self._look_for_failures()
                except PartedError as error:
                    return error
                time.sleep(POLL)
        return PartedError(f"another of the {self.world} processes has gone ({reason}). {AGAIN}")

    def _sentence(self, rank: int, word: str) -> str:
        return f"process {rank} of {self.world} stopped, and not the others: {word.rstrip('.')}. {AGAIN}"


def join() -> Ranks | None:
    """The processes that this one was started with, by what torchrun leaves in the environment; None: it is alone.

    Raises:
        InputError: something of that is missing, or they do not find each other.
    """
    return None if os.environ.get("WORLD_SIZE", "") in ("", "1") else _join()


@cache
def _join() -> Ranks:
    world = os.environ["WORLD_SIZE"]
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        raise InputError(
            f"WORLD_SIZE is {world}, which makes this one of several processes of a training, but {missing[0]} is not "
            f"set. {HOW}; for a process alone, unset WORLD_SIZE."
        )
    if not dist.is_available() or not dist.is_gloo_available():
        raise InputError("this PyTorch was built without gloo, by which processes share a training: run one alone.")
    on_cuda = torch.cuda.is_available()
    if on_cuda and not dist.is_nccl_available():
        raise InputError("this PyTorch was built without NCCL, by which GPUs share a training: run one alone.")
    try:
        store, rank, size = next(rendezvous("env://", timeout=MEETING))
        backends = "cpu:gloo,cuda:nccl" if on_cuda else "gloo"
        dist.init_process_group(backends, store=store, rank=rank, world_size=size, timeout=WAIT)
    except (RuntimeError, ValueError, OSError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise InputError(
            f"the {world} processes did not find each other at {address}: {first_line(error)} {HOW}."
        ) from error
    atexit.register(lambda: dist.destroy_process_group() if dist.is_initialized() else None)
    return Ranks(store, rank, size)


def own_device(name: str) -> str:
    """The device of this process: a CPU, or the GPU of its place on the machine.

    Raises:
        InputError: a device that several cannot train on together, or fewer GPUs than processes.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name not in ("cpu", "cuda"):
        raise InputError(f"several processes train on cpu, or on cuda, each on a GPU of its own; got --device {name}.")
    if name == "cpu":
        return name
    place, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if place >= count:
        raise InputError(f"process {place} of this machine has no GPU: there are {count}. Start as many processes.")
    torch.cuda.set_device(place)
    return f"cuda:{place}"


@contextmanager
def leaving(ranks: Ranks | None) -> Iterator[None]:
    """What raises within it ends all the processes; the first one raises it, and the others end in silence.

    Another than the first says it itself where the first is past taking note.
    """
    try:
        yield
    except BaseException as error:
        if ranks is None:
            raise
        told = isinstance(error, KeyboardInterrupt)
        word = error.word if isinstance(error, PartedError) else INTERRUPTED if told else first_line(error)
        known = ranks.leave(word)
        if not ranks.rank:
            raise
        if not (known or told):
            (sys.__stderr__ or sys.stderr).write(f"mixlens: process {ranks.rank} of {ranks.world}: {error}\n")
        number = 128 + getattr(error, "number", signal.SIGINT) if told else 2
        raise SystemExit(int(number)) from error
