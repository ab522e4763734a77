"""What a plan will take: which tasks are done, and how long the others took before."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..interface import Task
from ..schema import canonical
from ..store.runs import CONFIG, RESULT, Run, Store
from .plan import in_order

REPLICATES = ("seed", "augmentation", "replicate")  # settings that do not change how long a task takes


@dataclass(frozen=True)
class Planned:
    """One task of a plan, and the median time of whole runs that differ at most in seed and augmentation."""

    label: str
    state: Literal["done", "begun", "to do"]
    seconds: float | None  # None: no such run to go by


def forecast(tasks: Sequence[Task], store: Store) -> list[Planned]:
    """Every task of the plan, in the order of execution."""
    taken: dict[str, list[float]] = {}
    for folder in sorted(store.root.iterdir() if store.root.is_dir() else ()):
        if folder.is_dir() and not folder.suffix:
            try:
                content, result = (json.loads((folder / name).read_text(encoding="utf-8")) for name in (CONFIG, RESULT))
                taken.setdefault(_alike(content), []).append(_seconds(Run(folder), float(result["seconds"])))
            except (OSError, ValueError, KeyError, TypeError):
                continue  # of another version: nothing to go by
    planned = []
    for task in in_order(tasks):
        begun = "begun" if store.partial(task.name).path.is_dir() else "to do"
        known = taken.get(_alike(task.settings))
        planned.append(
            Planned(
                task.label,
                "done" if store.find(task.name) is not None else begun,  # type: ignore[arg-type]
                statistics.median(known) if known else None,
            )
        )
    return planned


def _alike(config: Mapping[str, Any]) -> str:
    shared = {name: value for name, value in config["config"].items() if name not in REPLICATES}
    return canonical({"kind": config["kind"], "version": config["version"], "config": shared})


def _seconds(run: Run, last_try: float) -> float:
    """Over all tries: a resumed training's history has every epoch's."""
    try:
        return max(last_try, sum(float(epoch["seconds"]) for epoch in run.read_history("seconds")))
    except ValueError:  # no history
        return last_try
