"""Work through a plan in this process.

Several processes may work on the same plan and store at once: each takes what is ready and not taken, and waits for
what another is doing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ..data.dataset import Dataset
from ..errors import InputError
from ..interface import Task
from ..store.lease import LeaseLostError
from ..store.record import TaskRecord
from ..store.results import write_rows
from ..store.runs import ENVIRONMENT, FAILED, Run, Store
from ..training.backend import Backend, environment
from ..training.loop import DivergedError
from ..training.progress import Reporter
from .plan import config_of, in_order, name_of

POLL_SECONDS = 2.0


@dataclass(frozen=True)
class Context:
    """What a task's work is done with; none of it is part of the task's key except through its config."""

    study: str
    dataset: Dataset
    backend: Backend
    reporter: Reporter


@dataclass
class Outcome:
    """What became of a plan: whole runs by name, failures with their reason, tasks that waited on a failure."""

    done: dict[str, Run] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    fresh: int = 0


def execute(tasks: Sequence[Task], store: Store, context: Context, outcome: Outcome | None = None) -> Outcome:
    """Run every task that is not in the store yet. A task that diverges fails alone: the rest goes on.

    Args:
        outcome: filled as tasks end, for a caller that wants to know of them even when this raises.

    Raises:
        InputError: a run directory or checkpoint in the store is damaged or foreign, or cannot be written.
    """
    outcome = Outcome() if outcome is None else outcome
    waiting = {name_of(task): task for task in in_order(tasks)}
    labels = {name: task.label for name, task in waiting.items()}
    total = len(waiting)
    while waiting:
        moved = False
        for name, task in list(waiting.items()):
            parents = [name_of(parent) for parent in task.inputs]
            if any(parent in outcome.failed or parent in outcome.skipped for parent in parents):
                outcome.skipped.append(name)
                del waiting[name]
                moved = True
                continue
            if not all(parent in outcome.done for parent in parents):
                continue
            run = store.find(name)
            if run is None:
                position = f"[{total - len(waiting) + 1}/{total}]"
                try:
                    run = _work(
                        task, name, position, [outcome.done[parent] for parent in parents], store, context, outcome
                    )
                except LeaseLostError as error:
                    context.reporter.say(str(error))
                except OSError as error:  # a full disk, a folder that may not be written any more
                    raise InputError(
                        f"{task.label} stopped: {error.filename or store.root}: {error.strerror or error}. What is "
                        "done stays; make room, or mend that, and run the same command again to go on."
                    ) from error
            if run is not None:
                outcome.done[name] = run
            if run is not None or name in outcome.failed:
                del waiting[name]
                moved = True
        if not moved:
            time.sleep(POLL_SECONDS)  # another worker holds everything that is ready
    for name in outcome.skipped:
        context.reporter.say(f"skipped: {labels[name]} (an input failed)")
    return outcome


def _work(
    task: Task, name: str, position: str, inputs: list[Run], store: Store, context: Context, outcome: Outcome
) -> Run | None:
    """The whole run; None if another worker holds the task, or if it failed (then recorded in the outcome)."""
    with store.claim(name, config_of(task)) as run:
        if run is None:
            return store.find(name)
        context.reporter.say(f"{position} {task.label}")
        # What a task's config says of precision holds for it; without a word, full precision.
        context = replace(context, backend=replace(context.backend, precision=task.config.get("precision", "fp32")))
        run.write_json(ENVIRONMENT, environment(context.backend))
        began = time.perf_counter()
        try:
            with context.backend.session():
                rows = task.work(run, tuple(inputs), context)
            for row in rows:
                if not math.isfinite(row.value):
                    raise DivergedError(f"{row.quantity} is {row.value}: the network it was measured on has diverged.")
        except DivergedError as error:
            outcome.failed[name] = str(error)
            run.write_json(FAILED, {"label": task.label, "reason": str(error)})
            context.reporter.finish()
            context.reporter.say(f"failed: {task.label}: {error}")
            return None
        write_rows(run, rows, time.perf_counter() - began)
    outcome.fresh += 1
    return store.find(name)


def task_records(tasks: Sequence[Task], store: Store, outcome: Outcome) -> list[TaskRecord]:
    """What became of each task so far, for the study's record."""
    records = []
    for task in in_order(tasks):
        name = name_of(task)
        state: Literal["done", "failed", "skipped", "pending"]
        if name in outcome.failed:
            state = "failed"
        elif name in outcome.skipped:
            state = "skipped"
        else:
            state = "done" if (store.root / name).is_dir() else "pending"
        inputs = tuple(name_of(parent) for parent in task.inputs)
        records.append(TaskRecord(name, task.kind, task.label, inputs, state, outcome.failed.get(name, "")))
    return records
