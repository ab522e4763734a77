"""Where data lie on a machine, and the state of their files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import InputError


class DataFile(NamedTuple):
    """One file of a data set: whether it is there, and whether it is the published one, by its checksum."""

    path: Path
    present: bool
    ok: bool


def data_root(root: str | Path | None = None) -> Path:
    """The folder that holds all data sets: as given, else $MIXLENS_DATA, else the user's cache folder."""
    chosen = root or os.environ.get("MIXLENS_DATA") or user_cache_path("mixlens") / "data"
    return Path(chosen).expanduser()


@contextmanager
def fetching(title: str, to: Path, remedy: str) -> Iterator[None]:
    """A download, of which no network, another checksum or a full disk is an InputError that ends in the remedy."""
    try:
        yield
    except (OSError, RuntimeError, HTTPException) as error:  # no network is a URLError, which is an OSError
        raise InputError(f"{title} could not be fetched to {to}: {error}. {remedy}") from error


def write_arrays(path: Path, arrays: dict[str, Any], *, compressed: bool = False) -> None:
    """An .npz file, put in an older one's place when it is whole. Raises OSError when it cannot be written."""
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            (np.savez_compressed if compressed else np.savez)(file, **arrays)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def one_time_bar() -> Progress:
    """Of what is done once with a data set's files; drawn where there is a terminal."""
    screen = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    )
