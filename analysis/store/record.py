"""The record of a study: ``study.json`` beside its report, naming every run that belongs to it.

Written after each execution, read by reports. It holds no numbers of its own: those stay in the runs.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from ..errors import InputError
from ..interface import Arm, Row, Study
from ..presentation.axes import differing as differing_names
from ..presentation.axes import point_words, settings_of
from ..presentation.names import label
from ..schema import from_stored, shown
from ..statistics.effect import Terms
from ..statistics.family import Family
from .results import read_result, read_rows, table
from .runs import ENVIRONMENT, HISTORY, RESULT, Run, parse_json

RECORD = "study.json"
_PLAIN = re.compile(r"[\w+-][^/\\\0]*")  # of a folder in a folder


@dataclass(frozen=True)
class TaskRecord:
    """What became of one task."""

    name: str  # its run directory
    kind: str
    section: str
    label: str
    inputs: tuple[str, ...]
    state: Literal["done", "failed", "skipped", "pending"]
    reason: str = ""

    def __post_init__(self) -> None:
        for name in (self.name, *self.inputs):
            if not _PLAIN.fullmatch(name):  # it could lead out of the folder of the runs
                raise ValueError(f"{shown(name)} is no name of a run's folder")


@dataclass(frozen=True)
class StudyRecord:
    """A study as it was run, or several side by side: settings, tasks, and the way to their runs."""

    folder: Path
    name: str
    command: str
    settings: Mapping[str, Any]
    started: str  # ISO 8601, UTC
    runs: Path
    tasks: tuple[TaskRecord, ...]
    roots: Mapping[str, Path] = field(default_factory=dict)  # of tasks whose runs lie elsewhere
    studies: Mapping[str, str] = field(default_factory=dict)  # task → the study that it belongs to, if not the first
    parts: tuple[StudyRecord, ...] = ()  # the studies it was combined from
    family: Family = Family()  # the differences that its report shows; none before there is one
    train_images: int | None = None  # in its training set; None where its record does not say
    classes: int | None = None  # of its data; likewise
    modality: str = "image"  # of its data; empty: of several studies, and not the same

    @property
    def study(self) -> str:
        """The name of the first study: it stands in rows, and is left out where an augmentation is named."""
        return self.parts[0].name if self.parts else self.name

    def arm(self, augmentation: str) -> Arm:
        """An augmentation of the first study."""
        return Arm(self.study, augmentation)

    @cached_property
    def designs(self) -> dict[str, list[StudyRecord]]:
        """The studies it was combined from, those of one design together, under the name that their rows have."""
        parts = self.parts or (self,)
        designs: dict[str, list[StudyRecord]] = {}
        for name, part in zip(_designs(parts), parts, strict=True):
            designs.setdefault(name, []).append(part)
        return designs

    @property
    def arms(self) -> list[Arm]:
        """Every augmentation that the studies list, in their order, and whatever else was measured."""
        listed = [
            Arm(design, name)
            for design, parts in self.designs.items()
            for part in parts
            for name in part.settings["augmentations"]
        ]
        measured = [Arm(row.study, row.augmentation) for row in self._rows if row.augmentation]
        return list(dict.fromkeys([*listed, *measured]))

    @property
    def compared(self) -> tuple[list[Arm], list[int]]:
        """The augmentations and training seeds that were measured; before there is any, those that are listed."""
        arms = {Arm(row.study, row.augmentation) for row in self._rows if row.augmentation}
        seeds = {row.seed for row in self._rows if row.augmentation and row.seed is not None}
        return [arm for arm in self.arms if arm in arms] or self.arms, sorted(seeds) or list(self.settings["seeds"])

    def label(self, arm: Arm) -> str:
        """An arm's name as people know it; of a sweep's point with its values, of another study with that study's."""
        return label(self.alias(arm), self.told_apart.get(arm.study, arm.study))

    def alias(self, arm: Arm) -> str:
        """The name that its study gave the augmentation, or the augmentation."""
        named = (part.settings.get("aliases", {}) for part in self.designs.get(arm.study, ()))
        return next((str(names[arm.augmentation]) for names in named if arm.augmentation in names), arm.augmentation)

    @cached_property
    def told_apart(self) -> dict[str, str]:
        """What tells each design from the others: its name, none for the first; of a sweep its values.

        Studies of which only one setting differs are a sweep, however they were run.
        """
        settings = {name: parts[0].settings for name, parts in self.designs.items()}
        sweep = settings[self.study].get("sweep", "")
        designs = {name: settings_of(own) for name, own in settings.items()}
        names = differing_names(list(designs.values()))
        if len(names) != 1:
            designs = {name: own for name, own in designs.items() if sweep and settings[name].get("sweep") == sweep}
            names = differing_names(list(designs.values()))
        points = {name: point_words(design, names) for name, design in designs.items()}
        return {name: "" if name == self.study else name for name in settings} | points

    def run(self, name: str) -> Run:
        return Run(self.roots.get(name, self.runs) / name)

    def done(self, kind: str) -> list[TaskRecord]:
        return [task for task in self.tasks if task.kind == kind and task.state == "done"]

    def rows(self) -> list[Row]:
        """All rows of the finished tasks, each under the study that it belongs to.

        Raises:
            InputError: a run is missing or damaged, or holds rows of another one.
        """
        return list(self._rows)

    @cached_property
    def _rows(self) -> list[Row]:
        rows: list[Row] = []
        for task in self.tasks:
            if task.state == "done":
                study, run = self.studies.get(task.name, self.study), self.run(task.name)
                for number, row in enumerate(read_rows(run), 1):
                    if row.run != task.name:
                        raise run.damaged(RESULT, ValueError(f"rows, number {number}: of the run {shown(row.run)}"))
                    # A run may have been made for another study, and on the same data by another name.
                    data = row.dataset and str(self.designs[study][0].settings["data"])
                    rows.append(replace(row, study=study, dataset=data))
        return rows

    def table(self, section: str) -> pd.DataFrame:
        """A section's rows as a table: columns as in `Row`, one for each of their params, and ``arm``.

        Arms follow each other as the study lists them. What a row's params lack is NaN. Raises InputError as `rows`.
        """
        rows = self._measured(section)
        return table(rows).assign(arm=pd.Series([Arm(row.study, row.augmentation) for row in rows], dtype=object))

    def terms(self, section: str, array: str, **columns: Any) -> Terms:
        """(arm, seed) → an array that the section's runs keep, such as one number an image; of rows with these values.

        Raises:
            InputError: as `rows`; a run has no such array.
        """
        runs = {
            row.run: (Arm(row.study, row.augmentation), row.seed)
            for row in self._measured(section)
            if row.seed is not None and columns.items() <= (vars(row) | dict(row.params)).items()
        }
        return {place: self.run(run).read_arrays(array)[array] for run, place in runs.items()}

    def _measured(self, section: str) -> list[Row]:
        """A section's rows, arm by arm."""
        place = {arm: number for number, arm in enumerate(self.arms)}
        rows = [row for row in self._rows if row.section == section]
        return sorted(rows, key=lambda row: place.get(Arm(row.study, row.augmentation), len(place)))

    def environments(self) -> list[dict[str, Any]]:
        """What each finished task was run with."""
        found = []
        for run in (self.run(task.name) for task in self.tasks if task.state == "done"):
            content = run.read_json(ENVIRONMENT)
            if not isinstance(content, dict):
                raise run.damaged(ENVIRONMENT, ValueError(f"it must be an object, found {shown(content)}"))
            found.append(content)
        return found

    def seconds(self, task: TaskRecord) -> float:
        """Time spent in a finished task itself, added up over interrupted tries."""
        run = self.run(task.name)
        last_try = read_result(run).seconds
        epochs = run.read_history("seconds") if (run / HISTORY).exists() else []
        return max(last_try, sum(float(epoch["seconds"]) for epoch in epochs))


def combine(records: Sequence[StudyRecord], *, mixed: bool = False) -> StudyRecord:
    """Several studies as one, for a report side by side: all their tasks, each once.

    Studies of one design count as one: their seeds and augmentations are put together.

    Args:
        mixed: studies of other designs too, also of other data; each is compared with its own baseline.

    Raises:
        InputError: other data, another training set or other settings of a section that both ran, unless ``mixed``.
    """
    first, *others = records
    designs = _designs(records)
    settings = dict(first.settings)
    tasks = {task.name: task for task in first.tasks}
    roots = {task.name: first.runs for task in first.tasks}
    studies: dict[str, str] = {}
    for other, study in zip(others, designs[1:], strict=True):
        if study != designs[0] and not mixed:
            raise InputError(
                f"studies {first.name!r} and {other.name!r} have other settings of "
                f"{', '.join(_differing(settings, other.settings))}. Give --mixed to show the second one's "
                "augmentations by its name."
            )
        for task in other.tasks:
            if task.name not in tasks or tasks[task.name].state != "done":
                tasks[task.name] = task
                roots[task.name] = other.runs
                studies[task.name] = study
        settings = {**other.settings, **settings}
    for name in ("sections", "augmentations"):
        settings[name] = list(dict.fromkeys(value for record in records for value in record.settings[name]))
    settings["seeds"] = sorted({seed for record in records for seed in record.settings["seeds"]})
    return replace(
        first,
        name=" + ".join(dict.fromkeys(record.settings.get("sweep") or record.name for record in records)),
        command="\n".join(dict.fromkeys(record.command for record in records)),
        started=min(record.started for record in records),
        settings=settings,
        tasks=tuple(tasks.values()),
        roots=roots,
        studies=studies,
        parts=tuple(records),
        modality=first.modality if len({record.modality for record in records}) == 1 else "",
    )


def _designs(records: Sequence[StudyRecord]) -> list[str]:
    """For each study the name under which its networks stand: that of the first study of its design.

    Two designs whose studies have one name are numbered.
    """
    designs: dict[str, dict[str, Any]] = {}
    names = []
    for record in records:
        name = next((name for name, known in designs.items() if not _differing(known, record.settings)), "")
        if not name:
            same = sum(re.fullmatch(rf"{re.escape(record.name)}( \(\d+\))?", other) is not None for other in designs)
            name = f"{record.name} ({same + 1})" if same else record.name
        designs[name] = {**record.settings, **designs.get(name, {})}
        names.append(name)
    return names


def _differing(settings: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """The settings that both have, each otherwise, but those in which studies of one design may differ."""
    return [
        key for key, value in others.items() if key in settings and key not in Study.FREE and value != settings[key]
    ]


def differing(settings: Mapping[str, Any], others: Mapping[str, Any]) -> list[tuple[str, Any, Any]]:
    """What both have otherwise, but for that in which studies of one design may differ: name and both values."""
    found = []
    for key in _differing(settings, others):
        mine, theirs = settings[key], others[key]
        if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
            both = [name for name in theirs if name in mine and mine[name] != theirs[name]]
            found += [(f"{key}.{name}", mine[name], theirs[name]) for name in both]
        else:
            found.append((key, mine, theirs))
    return found


def write_record(
    folder: Path,
    *,
    name: str,
    command: str,
    settings: Mapping[str, Any],
    started: str,
    runs: Path,
    tasks: Sequence[TaskRecord],
    train_images: int | None = None,
    classes: int | None = None,
    modality: str = "image",
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
        "train_images": train_images,
        "classes": classes,
    } | ({} if modality == "image" else {"modality": modality})
    try:
        folder.mkdir(parents=True, exist_ok=True)
        Run(folder).write_json(RECORD, content)
    except OSError as error:
        raise InputError(f"cannot write the study's record in {folder}: {error.strerror}.") from error


def read_record(folder: Path) -> StudyRecord:
    """Raises InputError when the folder is no study's or its record is damaged."""
    path = folder / RECORD
    try:
        content = from_stored(_Content, parse_json(path.read_bytes()))
        known = {f.name: content.settings[f.name] for f in fields(Study) if f.name in content.settings}
        if missing := _READ - known.keys():
            raise ValueError(f"its settings have no {', '.join(sorted(missing))}")
        from_stored(Study, known)
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{folder} is no folder of a mixlens run or study: it has no {RECORD}. Give a study's, such as "
            "mixlens-runs/demo."
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(
            f"{path} is not a mixlens study record, or damaged ({error}). Run the study again: that writes it anew "
            "and takes what is done from its runs."
        ) from error
    return StudyRecord(**vars(content) | {"folder": folder, "runs": Path(os.path.normpath(folder / content.runs))})


_READ = {"data", "train_size", "augmentations", "seeds", "sections"}  # of a study's settings, by reports


@dataclass(frozen=True)
class _Content:
    """What ``study.json`` holds."""

    name: str
    command: str
    settings: Mapping[str, Any]
    started: str
    runs: str
    tasks: tuple[TaskRecord, ...]
    train_images: int | None = None
    classes: int | None = None
    modality: str = "image"
