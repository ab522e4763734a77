"""Several studies that were run by one command: ``parts.json`` beside their common report names their folders."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..schema import from_stored
from .record import RECORD, StudyRecord, read_record
from .runs import Run, parse_json

PARTS = "parts.json"


@dataclass(frozen=True)
class _Content:
    """What ``parts.json`` holds."""

    parts: tuple[str, ...]  # folders, relative to its own


def write_parts(folder: Path, parts: Sequence[Path]) -> None:
    """Note in ``folder`` which studies' folders stand in its report; of a single study, which is its own, nothing.

    Raises:
        InputError: the folder cannot be made or written.
    """
    try:
        if len(parts) == 1 and parts[0] == folder:
            with suppress(FileNotFoundError):
                (folder / PARTS).unlink()
            return
        folder.mkdir(parents=True, exist_ok=True)
        Run(folder).write_json(PARTS, {"parts": [os.path.relpath(part, folder) for part in parts]})
    except OSError as error:
        raise InputError(f"cannot write {folder / PARTS}: {error.strerror}.") from error


def part_folders(folder: Path) -> list[Path]:
    """The studies' folders of which a folder has the report; itself, if it is a study's alone.

    Raises:
        InputError: its list is damaged.
    """
    path = folder / PARTS
    try:
        content = from_stored(_Content, parse_json(path.read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return [folder]
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(
            f"{path} is damaged ({error}). Run the study again, which writes it anew, or name the folders of its parts."
        ) from error
    return [Path(os.path.normpath(folder / part)) for part in content.parts]


def read_records(folder: Path) -> list[StudyRecord]:
    """The record of a study, or those of several that one command ran. Raises InputError as `read_record`."""
    return [read_record(part) for part in part_folders(folder)]


def one_record(folder: Path) -> StudyRecord:
    """The record of a single study.

    Raises:
        InputError: as `read_record`; the folder has the report of several, which are named.
    """
    if not os.path.exists(folder / RECORD) and os.path.exists(folder / PARTS):
        listed = ", ".join(repr(str(part)) for part in part_folders(folder))
        raise InputError(f"{folder} holds the report of several studies; name one of them: {listed}.")
    return read_record(folder)
