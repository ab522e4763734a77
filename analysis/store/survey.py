"""What a store holds, run by run: whole, damaged, begun, at work; which studies list it; and what was left over."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..errors import InputError
from .lease import Lease
from .record import RECORD, read_record
from .runs import FAILED, Run, UnreadError

PARTIAL, LEASE = ".partial", ".lease"
# Other tools have a folder called runs too: what is not named as we name it is not ours.
_RUN = re.compile(r".+-[0-9a-f]{16}(\.partial)?")
_ASIDE = re.compile(r"\..+-[0-9a-f]{16}\.tmp")


@dataclass(frozen=True)
class Surveyed:
    """A run, or a file that a killed worker left."""

    path: Path
    state: Literal["whole", "without checksums", "damaged", "unread", "begun", "at work", "left over"]
    reason: str = ""  # of what is damaged, failed or cannot be read
    listed: bool = True  # by a study


def runs_of(folder: Path) -> Path:
    """The folder of the runs, of a study's folder or of the output folder that holds both.

    Raises:
        InputError: it is neither.
    """
    if os.path.exists(folder / RECORD):
        runs = read_record(folder).runs
        if runs.name != "runs" or not os.path.isdir(runs):  # what is cleaned there must be ours
            raise InputError(f"{folder / RECORD} names {runs} as the folder of its runs, and no runs are there.")
        return runs
    found = next((path for path in (folder / "runs", folder) if os.path.isdir(path) and path.name == "runs"), None)
    if found is None:
        raise InputError(
            f"{folder} holds no runs and no study. Give the output folder, such as mixlens-runs, or a study's in it."
        )
    return found


def survey(runs: Path) -> Iterator[Surveyed]:
    """Every run of a store, each file of it read and compared with its checksum, by name; then what was left over.

    What else lies there is passed over.

    Raises:
        InputError: a study beside it has a record that cannot be read, so that what it lists is not known.
    """
    listed = _listed(runs)
    paths = sorted(runs.iterdir())
    folders = [path for path in paths if path.is_dir() and _RUN.fullmatch(path.name)]
    files = [path for path in paths if not path.is_dir()]
    for path in folders:
        name = path.name.removesuffix(PARTIAL)
        if path.name == name:
            yield _whole(path, listed=name in listed)
        elif Lease(runs, name).holder():
            yield Surveyed(path, "at work", listed=name in listed)
        else:
            yield Surveyed(path, "begun", _failure(Run(path)), listed=name in listed)
    for path in files:
        is_lease = path.suffix == LEASE and _RUN.fullmatch(path.stem)
        if (is_lease and not Lease(runs, path.stem).holder()) or _ASIDE.fullmatch(path.name):
            yield Surveyed(path, "left over")


def removable(found: Sequence[Surveyed]) -> list[Surveyed]:
    """What no study needs and nobody works on: begun, damaged and left over, and runs that no study lists."""
    return [
        one
        for one in found
        if one.state not in ("at work", "unread")
        and (one.state not in ("whole", "without checksums") or not one.listed)
    ]


def remove(found: Surveyed) -> None:
    """Raises InputError when it cannot be removed."""
    try:
        if found.path.is_dir():
            shutil.rmtree(found.path)
        else:
            found.path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{error.filename or found.path} cannot be removed: {error.strerror}.") from error


def _listed(runs: Path) -> set[str]:
    records = [read_record(path.parent) for path in sorted(runs.parent.glob(f"*/{RECORD}"))]
    here = runs.resolve()
    return {task.name for record in records if record.runs.resolve() == here for task in record.tasks}


def _whole(path: Path, *, listed: bool) -> Surveyed:
    run = Run(path)
    try:
        run.check()
        for name in run.files:
            run.checked(name)
    except UnreadError as error:
        return Surveyed(path, "unread", str(error), listed)
    except InputError as error:
        return Surveyed(path, "damaged", str(error), listed)
    return Surveyed(path, "whole" if run.files else "without checksums", listed=listed)


def _failure(run: Run) -> str:
    if not (run / FAILED).exists():
        return ""
    try:
        return f"failed: {run.read_json(FAILED)['reason']}"
    except (InputError, KeyError, TypeError):
        return "failed"
