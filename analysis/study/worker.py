"""One task: claim its folder, do its work, stamp what was measured, and commit it to the store."""

from __future__ import annotations

import math
import os
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

from ..data.dataset import Dataset
from ..errors import InputError, first_line, of_memory, of_the_machine
from ..interface import Machine, Measurement, Row, Study, Task
from ..store.lease import LeaseLostError
from ..store.results import FACTS, write_rows
from ..store.runs import CHECKPOINT, ENVIRONMENT, FAILED, Run, Store
from ..training.backend import Backend, environment, make_backend
from ..training.loop import DivergedError
from ..training.progress import Reporter
from ..training.ranks import PartedError, Ranks, own_device
from ..training.turns import Turns, whole, within
from .logs import Log
from .plan import load_data

LESS = (  # what to do
    "Lower its section's --….batch-size, --at-once or --threads, take a narrower --model, or end what else has memory."
)
Measured = Sequence[Measurement] | None
Work = Callable[[Any, Run, Sequence[Run], "Context"], Measured | Turns[Measured]]


@dataclass(frozen=True)
class Context:
    """What a task's work is done with; none of it is part of the task's key except through its config."""

    study: str
    dataset: Dataset
    backend: Backend
    reporter: Reporter
    root: Path | None = None  # of the data; None: where they usually lie
    label: str = ""  # of the task at work
    log: Log | None = None  # of trainings' curves, for other tools


class FailedError(RuntimeError):
    """A task failed for its own reason, which is recorded; the rest of its study goes on."""


class NoMemoryError(FailedError):
    """The device's memory did not hold a task beside the others at work there; it may hold it alone."""


def make_context(
    study: Study, machine: Machine, reporter: Reporter, dataset: Dataset | None = None, ranks: Ranks | None = None
) -> Context:
    """What this process does a study's tasks with: its data, loaded unless they are given, and the machine's device.

    Args:
        ranks: the processes that share its trainings.

    Raises:
        InputError: data or a device that are not there; several processes where what one alone does is asked for.
    """
    alone = {
        "--compile": machine.compile,
        "--at-once": (machine.at_once or 1) > 1,
        "--workers": (machine.workers or 1) > 1,
        "--cluster": machine.cluster,
    }
    if ranks is not None and any(alone.values()):
        flag = next(flag for flag, given in alone.items() if given)
        raise InputError(f"{flag} is for a process alone; {ranks.world} share each training here. Leave it out.")
    backend = make_backend(
        machine.device if ranks is None else own_device(machine.device),
        threads=machine.threads,
        decoders=machine.decoders,
        compile=machine.compile,
        deterministic=machine.deterministic,
    )
    backend = replace(backend, ranks=ranks)
    dataset = load_data(study, machine.data_root) if dataset is None else dataset
    return Context(study.name, dataset, backend, reporter, machine.data_root)


class Done(NamedTuple):
    run: Run | None  # whole; None where another worker holds the task
    fresh: bool = False  # whether it was made here and now


def do(task: Task, store: Store, context: Context) -> Done:
    """`in_turns`, in one go."""
    return whole(in_turns(task, store, context))


def in_turns(task: Task, store: Store, context: Context) -> Turns[Done]:
    """Make a task's run, unless it is in the store, as its inputs must be, or another worker is at it.

    Training yields after each step, so that other tasks may go on beside it.

    Raises:
        FailedError: the work failed for its own reason, or what it needs of the store is damaged or foreign.
        InputError: the data are not those of the plan; the device has failed.
        OSError: the disk is full, or the store cannot be written any more.
        LeaseLostError: another worker has taken the task over.
    """
    try:
        if (run := store.find(task.name)) is not None:
            return Done(run)
        inputs = [_whole(store, parent) for parent in task.inputs]
    except InputError as error:  # a damaged run is the matter of those who need it
        raise FailedError(str(error)) from error
    with store.claim(task.name, task.settings) as claimed:
        if claimed is None:
            return Done(store.find(task.name))
        log = partial(context.log.epochs, task) if context.log else None
        context.reporter.begin(context.label or task.label, log)
        if task.data and task.data != context.dataset.checksum:
            raise InputError(
                f"{task.label}: data set {context.dataset.name!r} is not the one that this was planned for."
            )
        precision = context.backend.resolve(task.precision or "fp32")
        ranks = context.backend.ranks if task.divides else None
        backend = replace(context.backend, precision=precision, ranks=ranks).apart()
        claimed.write_json(ENVIRONMENT, environment(backend, task.packages))
        began = time.perf_counter()
        here = replace(context, backend=backend, label=task.label)
        try:
            work = worked(task, claimed, inputs, here)
            if ranks is not None:
                ranks.begin(task.name, claimed / CHECKPOINT)
                work = ranks.together(work)
            measured = yield from within(work, backend.session)
            rows = [_stamped(measurement, task, context) for measurement in measured or ()]
        except (LeaseLostError, PartedError, KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # it diverged, or whatever a user's network or augmentation raises
            if isinstance(error, OSError):
                claimed.check_lease()  # another worker may have taken the folder away
                if _of_the_machine(error, store):
                    raise
            ours = isinstance(error, DivergedError | InputError)
            reason = str(error) if ours else f"{type(error).__name__}: {first_line(error)}"
            trace = "".join(traceback.format_exception(error))
            claimed.write_json(FAILED, {"label": task.label, "reason": reason, "traceback": trace})
            if not _answers(backend.device):
                raise InputError(
                    f"{task.label} stopped: {backend.device} does not answer any more ({reason}). What is done stays; "
                    "run the same command again to go on. Should it fail there again, the cause may lie in that task: "
                    "--device cpu shows it."
                ) from error
            told = reason if ours else f"{reason} (traceback in {claimed / FAILED})"
            if of_memory(error):
                raise NoMemoryError(f"{told} {backend.device} has too little memory for it. {LESS}") from error
            raise FailedError(told) from error
        finally:
            if context.log:
                context.log.ended(task)
        write_rows(claimed, rows, time.perf_counter() - began)
        context.reporter.end()
        if backend.stream is not None:
            torch.cuda.empty_cache()  # what a stream has kept, no other can have
    return Done(store.find(task.name), fresh=True)


def worked(task: Task, run: Run, inputs: Sequence[Run], context: Context) -> Turns[Measured]:
    """What a task's work measured: in one turn, or where it is a generator in as many as that takes."""
    measured = _work_of(task)(task.config, run, inputs, context)
    return (yield from measured) if isinstance(measured, Generator) else measured


def _of_the_machine(error: OSError, store: Store) -> bool:
    """Whether the next task would meet it too: a full disk, or a store that may not be written any more."""
    if error.errno is None or of_the_machine(error):
        return True
    return error.filename is not None and store.root in Path(os.fsdecode(error.filename)).absolute().parents


def _answers(device: torch.device) -> bool:
    """Whether the device still computes: after some errors a process cannot use it any more."""
    try:
        return torch.zeros(1, device=device).add(1).item() == 1
    except RuntimeError as error:
        return of_memory(error)


def _whole(store: Store, task: Task) -> Run:
    run = store.find(task.name)
    if run is None:
        raise InputError(f"{task.label}: there is no finished run {task.name} in {store.root}.")
    return run


def _work_of(task: Task) -> Work:
    module, _, name = task.work.partition(":")
    try:
        return cast(Work, getattr(import_module(module), name))
    except (ImportError, AttributeError) as error:
        raise InputError(f"{task.label} needs {task.work}, which is not installed here ({error}).") from error


def _stamped(measurement: Measurement, task: Task, context: Context) -> Row:
    """A measurement as a row: of whom it is, and where it was made. Raises DivergedError for NaN or infinity."""
    quantity, estimate, params, note = measurement
    if not math.isfinite(estimate.value):
        raise DivergedError(f"{quantity} is {estimate.value}: the network it was measured on has diverged.")
    assert not params.keys() & set(FACTS), f"{task.work}: params are called as columns of every row"
    low, high = (estimate.interval.low, estimate.interval.high) if estimate.interval else (None, None)
    of_data = bool(task.data)
    return Row(
        run=task.name,
        study=context.study,
        section=task.section,
        dataset=context.dataset.name if of_data else "",
        split="test" if of_data else "",
        augmentation=task.network.augmentation,
        model=task.network.model,
        seed=task.network.seed,
        quantity=quantity,
        value=estimate.value,
        unit=estimate.unit,
        n=estimate.n,
        params=dict(params),
        stderr=estimate.stderr,
        ci_low=low,
        ci_high=high,
        bound=estimate.bound,
        note=note,
        ceiling=estimate.ceiling,
        saturated=estimate.saturated,
    )
