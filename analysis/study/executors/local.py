"""Work through a plan in this process.

Several processes may work on the same plan and store at once: each takes what is ready and not taken, and waits for
what another is doing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ...errors import InputError
from ...interface import Task
from ...store.lease import LeaseLostError
from ...store.record import TaskRecord
from ...store.runs import Run, Store
from ..plan import in_order
from ..worker import Context, FailedError, do

POLL_SECONDS = 2.0


@dataclass
class Outcome:
    """What became of a plan: whole runs by name, failures with their reason, tasks that waited on a failure."""

    done: dict[str, Run] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    fresh: int = 0


def execute(tasks: Sequence[Task], store: Store, context: Context, outcome: Outcome | None = None) -> Outcome:
    """Run every task that is not in the store yet. A task that fails for its own reason fails alone: the rest goes on.

    Args:
        outcome: filled as tasks end, for a caller that wants to know of them even when this raises.

    Raises:
        InputError: a run directory or checkpoint in the store is damaged or foreign, or cannot be written.
    """
    outcome = Outcome() if outcome is None else outcome
    waiting = {task.name: task for task in in_order(tasks)}
    total = len(waiting)
    while waiting:
        moved = False
        for name, task in list(waiting.items()):
            parents = [parent.name for parent in task.inputs]
            if any(parent in outcome.failed or parent in outcome.skipped for parent in parents):
                outcome.skipped.append(name)
                context.reporter.say(f"skipped: {task.label} (an input failed)")
            elif all(parent in outcome.done for parent in parents):
                place = f"[{total - len(waiting) + 1}/{total}] {task.label}"
                _try(task, store, replace(context, label=place), outcome)
            if name in outcome.done or name in outcome.failed or name in outcome.skipped:
                del waiting[name]
                moved = True
        if not moved:
            time.sleep(POLL_SECONDS)  # another worker holds everything that is ready
    return outcome


def _try(task: Task, store: Store, context: Context, outcome: Outcome) -> None:
    """Note in the outcome what becomes of a task; nothing where another worker holds it."""
    try:
        done = do(task, store, context)
    except FailedError as error:
        outcome.failed[task.name] = str(error)
        context.reporter.finish()
        context.reporter.say(f"failed: {task.label}: {error}")
    except LeaseLostError as error:
        context.reporter.say(str(error))
    except OSError as error:  # a full disk, a folder that may not be written any more
        raise InputError(
            f"{task.label} stopped: {error.filename or store.root}: {error.strerror or error}. What is done stays; "
            "make room, or mend that, and run the same command again to go on."
        ) from error
    else:
        if done.run is not None:
            outcome.done[task.name] = done.run
            outcome.fresh += done.fresh


def task_records(tasks: Sequence[Task], store: Store, outcome: Outcome) -> list[TaskRecord]:
    """What became of each task so far, for the study's record."""
    records = []
    for task in in_order(tasks):
        state: Literal["done", "failed", "skipped", "pending"]
        if task.name in outcome.failed:
            state = "failed"
        elif task.name in outcome.skipped:
            state = "skipped"
        else:
            state = "done" if (store.root / task.name).is_dir() else "pending"
        inputs = tuple(parent.name for parent in task.inputs)
        reason = outcome.failed.get(task.name, "")
        records.append(TaskRecord(task.name, task.kind, task.section, task.label, inputs, state, reason))
    return records
