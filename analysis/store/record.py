"""The record of a study: ``study.json`` beside its report, naming every run that belongs to it.

Written after each execution, read by reports. It holds no numbers of its own: those stay in the runs.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..interface import Row
from .results import read_rows
from .runs import ENVIRONMENT, HISTORY, RESULT, Run

RECORD = "study.json"


@dataclass(frozen=True)
class TaskRecord:
    """What became of one task."""

    name: str  # its run directory
    kind: str
    label: str
    inputs: tuple[str, ...]
    state: str  # "done", "failed", "skipped" or "pending"
    reason: str = ""


@dataclass(frozen=True)
class StudyRecord:
    """A study as it was run: its settings, its tasks, and the way to their runs."""

    folder: Path
    name: str
    command: str
    settings: Mapping[str, Any]
    started: str  # ISO 8601, UTC
    runs: Path
    tasks: tuple[TaskRecord, ...]
    roots: Mapping[str, Path] = field(default_factory=dict)  # of tasks whose runs lie elsewhere
    shown_as: Mapping[str, str] = field(default_factory=dict)  # task → what its augmentation's name ends in
    parts: tuple[StudyRecord, ...] = ()  # the studies it was combined from

    def run(self, name: str) -> Run:
        return Run(self.roots.get(name, self.runs) / name)

    def done(self, kind: str) -> list[TaskRecord]:
        return [task for task in self.tasks if task.kind == kind and task.state == "done"]

    def rows(self) -> list[Row]:
        """All rows of the study's finished tasks, under this study's name."""
        found: list[Row] = []
        for task in self.tasks:
            if task.state == "done":
                end = self.shown_as.get(task.name, "")
                for row in read_rows(self.run(task.name)):
                    found.append(replace(row, study=self.name, augmentation=row.augmentation + end))
        return found

    def environments(self) -> list[dict[str, Any]]:
        """What each finished task was run with."""
        return [self.run(task.name).read_json(ENVIRONMENT) for task in self.tasks if task.state == "done"]

    def seconds(self, task: TaskRecord) -> float:
        """Time spent in a finished task itself, added up over interrupted tries."""
        run = self.run(task.name)
        last_try = float(run.read_json(RESULT)["seconds"])
        epochs = run.read_history("seconds") if (run / HISTORY).exists() else []
        return max(last_try, sum(float(epoch["seconds"]) for epoch in epochs))


def combine(records: Sequence[StudyRecord], *, mixed: bool = False) -> StudyRecord:
    """Several studies as one, for a report side by side: all their tasks, each once.

    Args:
        mixed: studies whose settings differ too; the augmentations of all but the first are then shown with the name
            of their study.

    Raises:
        InputError: other data; or another training set or other settings of a section that both ran, unless ``mixed``.
    """
    first, *others = records
    sections = list(first.settings["sections"])
    augmentations = list(first.settings["augmentations"])
    settings = dict(first.settings)
    tasks = {task.name: task for task in first.tasks}
    roots = {task.name: first.runs for task in first.tasks}
    shown_as: dict[str, str] = {}
    for other in others:
        if other.settings["data"] != first.settings["data"]:
            raise InputError(
                f"studies {first.name!r} and {other.name!r} cannot stand in one report: data is "
                f"{first.settings['data']!r} in one and {other.settings['data']!r} in the other."
            )
        different = [
            key
            for key in other.settings
            if key in settings and key not in _OWN and other.settings[key] != settings[key]
        ]
        if different and not mixed:
            raise InputError(
                f"studies {first.name!r} and {other.name!r} have other settings of {', '.join(different)}. Give "
                "--mixed to show the second one's augmentations by its name."
            )
        end = f"({other.name})" if different else ""
        for task in other.tasks:
            if task.name not in tasks or tasks[task.name].state != "done":
                tasks[task.name] = task
                roots[task.name] = other.runs
                if end:
                    shown_as[task.name] = end
        settings = {**other.settings, **settings}
        sections += [name for name in other.settings["sections"] if name not in sections]
        augmentations += [name + end for name in other.settings["augmentations"] if name + end not in augmentations]
    seeds = sorted({seed for record in records for seed in record.settings["seeds"]})
    settings |= {"sections": sections, "augmentations": augmentations, "seeds": seeds}
    return replace(
        first,
        name=" + ".join(dict.fromkeys(record.name for record in records)),
        command="\n".join(dict.fromkeys(record.command for record in records)),
        started=min(record.started for record in records),
        settings=settings,
        tasks=tuple(tasks.values()),
        roots=roots,
        shown_as=shown_as,
        parts=tuple(records),
    )


_OWN = ("name", "seeds", "augmentations", "sections")  # settings in which studies of one report may differ


def write_record(
    folder: Path,
    *,
    name: str,
    command: str,
    settings: Mapping[str, Any],
    started: str,
    runs: Path,
    tasks: Sequence[TaskRecord],
) -> None:
    """Write ``study.json``, with the way to the runs relative to it, so that both can be moved together.

    Raises:
        InputError: the folder cannot be made or written.
    """
    content = {
        "name": name,
        "command": command,
        "settings": dict(settings),
        "started": started,
        "runs": os.path.relpath(runs, folder),
        "tasks": [vars(task) for task in tasks],
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Run(folder).write_json(RECORD, content)
    except OSError as error:
        raise InputError(f"cannot write the study's record in {folder}: {error.strerror}.") from error


def read_record(folder: Path) -> StudyRecord:
    """Raises InputError when the folder is no study's or its record is damaged."""
    content = Run(folder).read_json(RECORD)
    try:
        tasks = tuple(TaskRecord(**{**task, "inputs": tuple(task["inputs"])}) for task in content["tasks"])
        if not (isinstance(content["tasks"], list) and isinstance(content["runs"], str)):
            raise TypeError("tasks or runs of another kind")
        for needed in ("data", "seeds", "augmentations", "sections", "train_size"):
            content["settings"][needed]
        return StudyRecord(
            folder=folder,
            name=content["name"],
            command=content["command"],
            settings=content["settings"],
            started=content["started"],
            runs=Path(os.path.normpath(folder / content["runs"])),
            tasks=tasks,
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{folder / RECORD} is not a mixlens study record ({error!r}). Run the study again."
        ) from error
