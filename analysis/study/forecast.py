"""What a plan will take: which tasks are done, how long others like them took, or a step of them takes."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ..interface import Task
from ..schema import canonical
from ..store.runs import CONFIG, RESULT, Run, Store
from .plan import in_order
from .stopwatch import Measured, time_training
from .worker import Context

REPLICATES = ("seed", "augmentation", "replicate")  # settings that do not change how long a task takes
PAST, STEP, PASSES = "past runs", "measured step", "measured step × passes"


@dataclass(frozen=True)
class Planned:
    """One task of a plan, and what it is expected to take."""

    label: str
    kind: str
    state: Literal["done", "begun", "to do"]
    seconds: float | None = None  # None: unknown
    source: str = ""  # of that number, or in words why there is none
    memory: int | None = None  # bytes, of a measured step


def forecast(tasks: Sequence[Task], store: Store, context: Context | None = None) -> list[Planned]:
    """Every task of the plan, in the order of execution.

    A task takes the median of whole runs that differ at most in seed and augmentation. Where there is none, a few steps
    of its training are done with ``context``, once for each training that differs in more than that; what measures a
    network takes so many passes of its images (`Task.images`).
    """
    past, ordered = _past_seconds(store), in_order(tasks)
    watch = _Watch(context, ordered) if context else None
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
    timed: dict[tuple[str, str], Measured | str] = field(default_factory=dict)

    def expected(self, task: Task) -> tuple[float | None, str, int | None]:
        training = task.inputs[0] if task.inputs else task
        if not task.images or not training.images or training.inputs:
            return None, "not estimated", None
        precision = task.precision or "fp32"
        kind = _alike(training.settings), precision
        if kind not in self.timed:
            # The last such training: its augmentation costs something, where the first is the baseline.
            example = [one for one in self.tasks if _alike(one.settings) == kind[0]][-1]
            self.context.reporter.say(f"timing the first steps: {example.label}, {precision}")
            self.timed[kind] = time_training(example, self.context, precision)
        measured = self.timed[kind]
        if isinstance(measured, str):
            return None, f"not estimated: {measured}", None
        if task is training:
            return measured.seconds * measured.images, STEP, measured.memory
        return measured.seconds * task.images, PASSES, None


def _past_seconds(store: Store) -> dict[str, list[float]]:
    """How long each whole run took, by what it has in common with those that take as long."""
    taken: dict[str, list[float]] = {}
    for folder in sorted(store.root.iterdir() if store.root.is_dir() else ()):
        if folder.is_dir() and not folder.suffix:
            try:
                content, result = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (CONFIG, RESULT))
                taken.setdefault(_alike(content), []).append(_seconds(Run(folder), float(result["seconds"])))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # of another version: nothing to go by
    return taken


def _alike(config: Mapping[str, Any]) -> str:
    shared = {name: value for name, value in config["config"].items() if name not in REPLICATES}
    return canonical({"kind": config["kind"], "version": config["version"], "config": shared})


def _seconds(run: Run, last_try: float) -> float:
    """Over all tries: a resumed training's history has every epoch's."""
    try:
        return max(last_try, sum(float(epoch["seconds"]) for epoch in run.read_history("seconds")))
    except ValueError:  # no history
        return last_try
