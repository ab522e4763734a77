"""How long a training's step takes here and how much memory: its first steps, done for their time and thrown away."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from ..errors import first_line
from ..interface import Task
from ..store.runs import Run
from ..training.progress import Reporter
from ..training.turns import within
from .worker import Context, worked

WARM_STEPS, WARM_SECONDS = 8, 2.0  # not measured, whichever ends first: choosing algorithms, capturing graphs
STEPS, SECONDS = 40, 2.0  # measured, whichever ends first
PROCESS = Path("/proc/self")  # on Linux: the kernel's count of this process's memory


class Measured(NamedTuple):
    """Of a training."""

    seconds: float  # of an image, there and back and with its share of the optimiser's step
    images: float  # in all its epochs
    memory: int | None  # bytes at the peak: on CUDA what was allocated, on a CPU the whole process; None: unknown


class _Counting(Reporter):
    """Says nothing, and keeps how much there is to do."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.total, self.per_step = 0, 0.0

    def start(self, label: str, total: int, done: int = 0, *, images: float = 0) -> None:
        self.total, self.per_step = total, images


def time_training(task: Task, context: Context, precision: str = "") -> Measured | str:
    """The first steps of a training that takes turns (`Task.images`), in another precision if one is given.

    Validation and checkpoints between its epochs are not in it, unless an epoch is shorter than what is measured.

    Returns:
        What was measured, or in words why it could not be.
    """
    chosen = context.backend.resolve(precision or task.precision or "fp32")
    backend = replace(context.backend, precision=chosen).apart()
    counting = _Counting()
    here = replace(context, backend=backend, reporter=counting, label=task.label, log=None)
    with TemporaryDirectory() as folder, _peak(backend.device) as peak:
        work = within(worked(task, Run(Path(folder)), (), here), backend.session)
        try:
            next(work)  # builds the network
            warm = _steps(work, WARM_STEPS, WARM_SECONDS, backend.device)
            steps, seconds = _steps(work, STEPS, SECONDS, backend.device)
            if not steps:  # all are behind it
                steps, seconds = warm
        except StopIteration:
            return "it has no steps"
        except torch.OutOfMemoryError:
            return "the device's memory does not hold it"
        except (Exception, SystemExit) as error:  # whatever a user's network or augmentation raises
            return f"its first steps failed: {type(error).__name__}: {first_line(error)}"
        finally:
            work.close()
        memory = peak()
    if not steps:
        return "it is too short to tell"
    if not counting.per_step:
        return "its batches do not say how many images they hold"
    return Measured(seconds / steps / counting.per_step, counting.total * counting.per_step, memory)


def _steps(work: Iterator[None], most: int, limit: float, device: torch.device) -> tuple[int, float]:
    """How many steps were made in about that time, and how long they took."""
    _wait(device)
    began, count = time.perf_counter(), 0
    while count < most and time.perf_counter() - began < limit and next(work, work) is not work:
        count += 1
    _wait(device)
    return count, time.perf_counter() - began


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def _peak(device: torch.device) -> Iterator[Callable[[], int | None]]:
    """The most memory since it was entered, in bytes, when asked for before it is left."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        yield lambda: torch.cuda.max_memory_allocated(device)
        torch.cuda.empty_cache()
        return
    known = False
    with suppress(OSError):
        (PROCESS / "clear_refs").write_text("5", encoding="ascii")  # Linux: the peak is counted anew
        known = device.type == "cpu"
    yield lambda: _high_water() if known else None


def _high_water() -> int | None:
    with suppress(OSError):
        found: Any = re.search(r"VmHWM:\s*(\d+) kB", (PROCESS / "status").read_text(encoding="ascii"))
        return int(found[1]) * 1024 if found else None
    return None
