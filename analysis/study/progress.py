"""How far a study is, from its record and its store: also while workers are at it, and from another machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
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
    seconds: float = 0.0  # for which it has been at work


@dataclass(frozen=True)
class Progress:
    """Where every task of a study stands, and how long the rest may take."""

    tasks: tuple[Standing, ...]
    seconds_left: float | None  # by the mean of finished tasks of each kind; None where nobody works or none is known
    unknown: tuple[str, ...] = ()  # the kinds that are left of which none has finished: they come on top

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
    usual = {kind: fmean(seconds) for kind, seconds in taken.items()}
    left = [one for one in found if one.state in ("at work", "waiting")]
    unknown = dict.fromkeys(one.task.kind for one in left if one.task.kind not in usual)
    return Progress(found, _left([one for one in left if one.task.kind in usual], found, usual), tuple(unknown))


def _standing(record: StudyRecord, task: TaskRecord) -> Standing:
    if record.run(task.name).path.is_dir():
        return Standing(task, "done")
    if holder := Lease(record.runs, task.name).holder():
        since = holder.get("since", "?")
        return Standing(task, "at work", f"{holder['host']}, process {holder['pid']}, since {since}", _ago(since))
    partial = Run(record.runs / f"{task.name}.partial")
    if (partial / FAILED).exists():
        try:
            return Standing(task, "failed", str(partial.read_json(FAILED)["reason"]))
        except (InputError, KeyError, TypeError):
            return Standing(task, "failed", f"see {partial / FAILED}")
    if task.state == "failed":  # its workers died of it
        return Standing(task, "failed", task.reason)
    return Standing(task, "waiting")


def _ago(since: str) -> float:
    """Seconds; 0 where it is not known."""
    try:
        return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(since)).total_seconds())
    except (TypeError, ValueError):
        return 0.0


def _left(left: Sequence[Standing], found: Sequence[Standing], usual: Mapping[str, float]) -> float | None:
    """As many go on working as do now, with nothing to wait for."""
    rest = [max(0.0, usual[one.task.kind] - one.seconds) for one in left]
    workers = sum(one.state == "at work" for one in found)
    return max(sum(rest) / workers, *rest) if workers and rest else None
