"""Trainings' curves for other tools: one table, or TensorBoard's events. What they show is in each run's history."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from ..errors import InputError
from ..interface import Task
from ..store.runs import HISTORY, Store, replace_files
from ..training.progress import History
from .plan import in_order

LONGEST = 150  # letters of a folder's name


class Log(Protocol):
    path: Path  # of what it writes

    def epochs(self, task: Task, history: History) -> None:
        """A training has done another epoch: all so far."""
        ...

    def ended(self, task: Task) -> None:
        """It goes on no more, for now."""
        ...

    def finish(self, tasks: Sequence[Task], store: Store) -> None:
        """Write what is missing of a plan's trainings that are whole, such as those that another study did."""
        ...


def make_log(kind: str | None, folder: Path) -> Log | None:
    """The log that was asked for, of a study in ``folder``; nothing is written yet.

    Raises:
        InputError: ``tensorboard`` is not installed.
    """
    if kind == "tensorboard":
        return TensorBoardLog(folder)
    return CSVLog(folder) if kind == "csv" else None


class CSVLog:
    """``history.csv``: a line for each epoch of each training that is whole."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "history.csv"

    def epochs(self, task: Task, history: History) -> None:
        pass  # the run keeps them

    def ended(self, task: Task) -> None:
        pass

    def finish(self, tasks: Sequence[Task], store: Store) -> None:
        lines = []
        for task, history in _histories(tasks, store):
            network = task.network
            named = {"run": task.name, "task": task.kind, "label": task.label, "augmentation": network.augmentation}
            lines += [{**named, "model": network.model, "seed": network.seed, **epoch} for epoch in history]
        if lines:
            replace_files({self.path: pd.DataFrame(lines).to_csv(index=False).encode()})


class TensorBoardLog:
    """A folder of event files, one for each training, whose scalars are those of its history."""

    def __init__(self, folder: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise InputError(
                f"--log tensorboard needs the package tensorboard ({error}): pip install tensorboard. "
                "--log csv needs nothing."
            ) from error
        self.path = folder / "tensorboard"
        self._make: Any = SummaryWriter
        self._writers: dict[str, Any] = {}
        self._written: dict[str, int] = {}  # epochs of each run

    def epochs(self, task: Task, history: History) -> None:
        if task.name not in self._writers:
            self._writers[task.name] = self._make(str(self._emptied(task)))
        writer = self._writers[task.name]
        for record in history[self._written.get(task.name, 0) :]:
            for name, value in record.items():
                if name != "epoch":
                    writer.add_scalar(_tag(name), value, record["epoch"])
        self._written[task.name] = len(history)
        writer.flush()

    def ended(self, task: Task) -> None:
        if task.name in self._writers:
            self._writers.pop(task.name).close()

    def finish(self, tasks: Sequence[Task], store: Store) -> None:
        for task, history in _histories(tasks, store):
            if self._written.get(task.name) != len(history):
                self.epochs(task, history)
                self.ended(task)

    def _emptied(self, task: Task) -> Path:
        """The folder of a training's events, without those of an earlier time, which would stand beside these."""
        label = re.sub(r"[^\w .,=()+-]", "_", task.label)[:LONGEST]
        folder = self.path / f"{label} {task.name[-6:]}"  # two labels may look alike then
        for old in folder.glob("events.out.tfevents.*"):
            with suppress(FileNotFoundError):
                old.unlink()
        return folder


def _tag(column: str) -> str:
    """``train/loss`` of ``train_loss``: TensorBoard shows what is before the stroke as a group."""
    return re.sub("^(train|test)_", r"\1/", column)


def _histories(tasks: Sequence[Task], store: Store) -> list[tuple[Task, History]]:
    found: list[tuple[Task, History]] = []
    for task in in_order(tasks):
        run = store.find(task.name)
        if run is not None and (run / HISTORY).exists():
            found.append((task, run.read_history("epoch")))
    return found
