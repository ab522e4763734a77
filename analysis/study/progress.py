"""How far a study is, from its record and its store: also while workers are at it, and from another machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

from ..errors import InputError
from ..store.lease import Lease
from ..store.record import StudyRecord, TaskRecord
from ..store.runs import FAILED, Run

State = Literal["done", "at work", "failed", "waiting"]


@dataclass(frozen=True)
class Standing:
    """Where one task stands."""

    task: TaskRecord
    state: State
    words: str = ""  # of what is at work: where and since when; of what failed: why


@dataclass(frozen=True)
class Progress:
    """Where every task of a study stands, and how long the rest may take."""

    tasks: tuple[Standing, ...]
    seconds_left: float | None  # by the mean of finished tasks of each kind; None where one has none, or nobody works

    def count(self, state: State, kind: str | None = None) -> int:
        return sum(one.state == state and kind in (None, one.task.kind) for one in self.tasks)


def progress(record: StudyRecord) -> Progress:
    """Read the store, and write nothing.

    Raises:
        InputError: a finished run is damaged.
    """
    found = tuple(_standing(record, task) for task in record.tasks)
    taken: dict[str, list[float]] = {}
    for one in found:
        if one.state == "done":
            taken.setdefault(one.task.kind, []).append(record.seconds(one.task))
    return Progress(found, _left(found, {kind: fmean(seconds) for kind, seconds in taken.items()}))


def _standing(record: StudyRecord, task: TaskRecord) -> Standing:
    if record.run(task.name).path.is_dir():
        return Standing(task, "done")
    if holder := Lease(record.runs, task.name).holder():
        return Standing(task, "at work", f"{holder['host']}, process {holder['pid']}, since {holder.get('since', '?')}")
    partial = Run(record.runs / f"{task.name}.partial")
    if (partial / FAILED).exists():
        try:
            return Standing(task, "failed", str(partial.read_json(FAILED)["reason"]))
        except (InputError, KeyError, TypeError):
            return Standing(task, "failed", f"see {partial / FAILED}")
    return Standing(task, "waiting")


def _left(found: tuple[Standing, ...], usual: Mapping[str, float]) -> float | None:
    left = [one.task.kind for one in found if one.state in ("at work", "waiting")]
    workers = sum(one.state == "at work" for one in found)
    if not left or not workers or not usual.keys() >= {*left}:
        return None
    return sum(usual[kind] for kind in left) / workers
