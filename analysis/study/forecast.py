"""What a plan will take: which tasks are done, how long others like them took, or a step of them takes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from ..interface import Task
from ..schema import canonical
from ..store.runs import CONFIG, RESULT, Run, Store
from .plan import in_order
from .stopwatch import Measured, time_training
from .worker import Context

REPLICATES = ("seed", "augmentation", "replicate")  # settings that do not change how long a task takes
# Nor do these a step: of images of one shape.
OF_ALL = ("data", "epochs", "learning_rate", "milestones", "schedule", "warm_up", "warm_up_rate")
PAST, STEP, PASSES = "past runs", "measured step", "measured step × passes"


Timed = dict[tuple[str, str], tuple[Measured, float] | str]  # a kind of training, and a precision → what was measured


@dataclass(frozen=True)
class Planned:
    """One task of a plan, and what it is expected to take."""

    label: str
    kind: str
    state: Literal["done", "begun", "to do"]
    seconds: float | None = None  # None: unknown
    source: str = ""  # of that number, or in words why there is none
    memory: int | None = None  # bytes, of a measured step


def forecast(
    tasks: Sequence[Task], store: Store, context: Context | None = None, timed: Timed | None = None
) -> list[Planned]:
    """Every task of the plan, in the order of execution.

    A task takes the median of whole runs that differ at most in seed and augmentation. Where there is none, a few steps
    of its training are done with ``context``, once for each network; what measures a network takes so many passes of
    its images (`Task.images`). ``timed``: those of other studies of the same data, to which this one's are added.
    """
    ordered = in_order(tasks)
    past = _past_seconds(store, {task.kind for task in ordered})
    watch = _Watch(context, ordered, {} if timed is None else timed) if context else None
    planned = []
    for task in ordered:
        begun = "begun" if store.partial(task.name).path.is_dir() else "to do"
        state = "done" if store.find(task.name) is not None else begun
        known = past.get(_alike(task.settings))
        if known:
            expected: tuple[float | None, str, int | None] = statistics.median(known), PAST, None
        elif state == "done" or watch is None:
            expected = None, "", None
        else:
            expected = watch.expected(task)
        planned.append(Planned(task.label, task.kind, state, *expected))  # type: ignore[arg-type]
    return planned


@dataclass
class _Watch:
    """Times the trainings of a plan, each kind of them once in each precision."""

    context: Context
    tasks: Sequence[Task]
    timed: Timed

    def expected(self, task: Task) -> tuple[float | None, str, int | None]:
        training = task.inputs[0] if task.inputs else task
        if not task.images or not training.images or training.inputs:
            return None, "not estimated", None
        precision = task.precision or "fp32"
        kind = _alike(training.settings, OF_ALL), precision
        if kind not in self.timed:
            # The last such training: its augmentation costs something, where the first is the baseline.
            example = [one for one in self.tasks if _alike(one.settings, OF_ALL) == kind[0]][-1]
            self.context.reporter.say(f"timing the first steps: {example.label}, {precision}")
            found = time_training(example, self.context, precision)
            # A recipe may train for longer than the task says.
            self.timed[kind] = found if isinstance(found, str) else (found, found.images / example.images)
        if isinstance(known := self.timed[kind], str):
            return None, f"not estimated: {known}", None
        measured, longer = known
        if task is training:
            return measured.seconds * task.images * longer, STEP, measured.memory
        return measured.seconds * task.images, PASSES, None


def _past_seconds(store: Store, kinds: Set[str]) -> dict[str, list[float]]:
    """How long each whole run of these kinds took, by what it has in common with those that take as long."""
    taken: dict[str, list[float]] = {}
    for folder in sorted(store.root.iterdir() if store.root.is_dir() else ()):
        if folder.name.rpartition("-")[0] in kinds and not folder.suffix:
            try:
                content, result = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (CONFIG, RESULT))
                taken.setdefault(_alike(content), []).append(_seconds(Run(folder), float(result["seconds"])))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # of another version: nothing to go by
    return taken


def _alike(config: Mapping[str, Any], free: tuple[str, ...] = ()) -> str:
    """What tasks have in common that differ in their replicate, and in what else is ``free``."""
    shared = {name: value for name, value in config["config"].items() if name not in (*REPLICATES, *free)}
    return canonical({"kind": config["kind"], "version": config["version"], "config": shared})


def _seconds(run: Run, last_try: float) -> float:
    """Over all tries: a resumed training's history has every epoch's."""
    try:
        return max(last_try, sum(float(epoch["seconds"]) for epoch in run.read_history("seconds")))
    except ValueError:  # no history
        return last_try
