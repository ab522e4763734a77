"""Work through a plan in this process, one task at a time or several in turn.

Several processes may work on the same plan and store at once: each takes what is ready and not taken, and waits for
what another is doing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from ...errors import InputError
from ...interface import Task
from ...store.lease import LeaseLostError
from ...store.record import TaskRecord
from ...store.runs import Run, Store
from ...training.turns import Turns
from ..plan import in_order
from ..worker import Context, FailedError, NoMemoryError, in_turns

POLL_SECONDS = 2.0


@dataclass
class Outcome:
    """What became of a plan: whole runs by name, failures with their reason, tasks that waited on a failure."""

    done: dict[str, Run] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    skipped: list[str] = field(default_factory=list)
    fresh: int = 0
    at_once: int = 1  # so many tasks took turns in the end


def execute(
    tasks: Sequence[Task], store: Store, context: Context, outcome: Outcome | None = None, *, at_once: int = 1
) -> Outcome:
    """Run every task that is not in the store yet. A task that fails for its own reason fails alone: the rest goes on.

    Args:
        outcome: filled as tasks end, for a caller that wants to know of them even when this raises.
        at_once: how many tasks take turns, those first whose output others wait for; results do not depend on it. Fewer
            do once the device's memory does not hold them; what it did not hold beside others is then tried again.

    Raises:
        InputError: a run directory or checkpoint in the store is damaged or foreign, or cannot be written.
    """
    outcome = Outcome() if outcome is None else outcome
    outcome.at_once = at_once
    waiting = {task.name: task for task in in_order(tasks)}
    total = len(waiting)
    if at_once > 1:
        awaited = {parent.name for task in waiting.values() for parent in task.inputs}
        waiting = {name: waiting[name] for name in sorted(waiting, key=lambda name: name not in awaited)}
    active: dict[str, Turns[None]] = {}

    def turns(room: int) -> bool:
        """A turn of each active task, again and again until no more than ``room`` are; whether any came to an end."""
        moved = False
        while len(active) > room:
            for name, work in list(active.items()):
                if next(work, work) is work:
                    del active[name]
                    if name in outcome.done or name in outcome.failed:  # else another worker holds it
                        del waiting[name]
                        moved = True
        return moved

    try:
        while waiting:
            moved = False
            for name, task in list(waiting.items()):
                parents = [parent.name for parent in task.inputs]
                if any(parent in outcome.failed or parent in outcome.skipped for parent in parents):
                    outcome.skipped.append(name)
                    context.reporter.say(f"skipped: {task.label} (an input failed)")
                    del waiting[name]
                    moved = True
                elif name not in active and all(parent in outcome.done for parent in parents):
                    place = f"[{total - len(waiting) + len(active) + 1}/{total}] {task.label}"
                    here = replace(
                        context, label=place, reporter=context.reporter.beside() if at_once > 1 else context.reporter
                    )
                    moved |= turns(room=outcome.at_once - 1)  # fewer may have been found to fit
                    active[name] = _try(task, store, here, outcome, lambda: len(active) - 1)
                    moved |= turns(room=outcome.at_once - 1)
            if active:
                moved |= turns(room=len(active) - 1)
            elif not moved:
                time.sleep(POLL_SECONDS)  # another worker holds everything that is ready
    finally:
        for work in active.values():
            work.close()
    return outcome


def _try(task: Task, store: Store, context: Context, outcome: Outcome, beside: Callable[[], int]) -> Turns[None]:
    """Note in the outcome what becomes of a task; nothing where another worker holds it, or it was one too many."""
    try:
        done = yield from in_turns(task, store, context)
    except FailedError as error:
        if isinstance(error, NoMemoryError) and (others := beside()):
            outcome.at_once = others
            context.reporter.finish()
            context.reporter.say(
                f"{task.label}: the device's memory does not hold it now; {others} at once from here on"
            )
            return
        outcome.failed[task.name] = str(error)
        context.reporter.finish()
        context.reporter.say(f"failed: {task.label}: {error}")
    except LeaseLostError as error:
        context.reporter.finish()
        context.reporter.say(str(error))
    except OSError as error:  # a full disk, a folder that may not be written any more
        raise InputError(stopped(task, store, error)) from error
    else:
        if done.run is not None:
            outcome.done[task.name] = done.run
            outcome.fresh += done.fresh


def stopped(task: Task, store: Store, error: OSError) -> str:
    """What is said of a study that the machine keeps from going on."""
    return (
        f"{task.label} stopped: {error.filename or store.root}: {error.strerror or error}. What is done stays; "
        "make room, or mend that, and run the same command again to go on."
    )


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
