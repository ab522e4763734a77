"""What a folder's image files are, found out once: SHA-256, width and height of each, and whether it can be decoded.

It is kept as ``manifests/NAME.npz`` (arrays alone, no pickles) in the folder of the data, or in the user's cache folder
where that may not be written, and holds as long as a file's name, size and time of change do. What was found out before
an interruption is kept too.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
import zipfile
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import InputError
from .class_folders import SHOWN, Array, Files
from .decoders import decoders
from .files import data_root
from .image_files import Listed

FOLDER = "manifests"
AT_ONCE = 32  # files a process is asked of
SAVE_EVERY = 60.0  # seconds
MOST_WORDS = 200  # bytes of a problem


class Manifest(NamedTuple):
    """All files of a folder, and what is wrong with some, by their place."""

    files: Listed
    problems: Mapping[int, str]


def make_manifest(folder: Path, files: Files, root: str | Path | None = None) -> Manifest:
    """The manifest of those files in the folder, from the one that is kept as far as it holds.

    Raises:
        InputError: it cannot be written.
    """
    folder = folder.absolute()
    path = _place(folder, root)
    try:
        with FileLock(path.with_suffix(".lock")):  # another process may be at it
            known = _read(path)
            arrays = _known(files, known)
            missing = np.flatnonzero(arrays["width"] == -1)
            if len(missing):
                _examine(folder, arrays, missing, path)
            if len(missing) or not _same(arrays, known):
                _write(path, arrays)
    except OSError as error:
        raise InputError(
            f"what is known of the images of {folder} cannot be kept as {path}: {error.strerror or error}. Make room, "
            "or name another folder for data with --data-root; it is made anew there."
        ) from error
    wrong = np.flatnonzero(arrays["problem"] != b"")
    problems = {int(place): arrays["problem"][place].decode(errors="replace") for place in wrong}
    listed = Listed(str(folder), arrays["name"], arrays["sha256"], arrays["width"], arrays["height"])
    return Manifest(listed, problems)


def problems_in_words(manifest: Manifest) -> str:
    """How many files cannot be read, and the first of them with what is wrong."""
    names = [
        f"{os.fsdecode(manifest.files.names[place])} ({problem.rstrip('.')})"
        for place, problem in list(manifest.problems.items())[:SHOWN]
    ]
    count = len(manifest.problems)
    more = f" and {count - SHOWN:,} more" if count > SHOWN else ""
    return (
        f"{count:,} of {len(manifest.files.names):,} image files in {manifest.files.folder} cannot be read: "
        f"{', '.join(names)}{more}"
    )


def _place(folder: Path, root: str | Path | None) -> Path:
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]
    name = "".join(letter if letter.isalnum() or letter in "-_" else "_" for letter in folder.name)[:60]
    for base in (data_root(root), user_cache_path("mixlens")):
        place = base / FOLDER
        try:
            place.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
                raise InputError(f"cannot make the folder {place}: {error.strerror or error}.") from error
            continue
        if os.access(place, os.W_OK):
            break
    return place / f"{name}-{digest}.npz"


def _known(files: Files, known: Mapping[str, Array]) -> dict[str, Array]:
    """One entry a file: what is known of it, or a width of −1."""
    count = len(files.names)
    arrays = {
        "name": files.names,
        "size": files.sizes,
        "time": files.times,
        "sha256": np.zeros((count, 32), np.uint8),
        "width": np.full(count, -1, np.int32),
        "height": np.zeros(count, np.int32),
        "problem": np.zeros(count, f"S{MOST_WORDS}"),
    }
    if not known:
        return arrays
    places = {name: place for place, name in enumerate(known["name"].tolist())}
    from_known = np.array([places.get(name, -1) for name in files.names.tolist()], dtype=np.int64)
    here = np.flatnonzero(from_known >= 0)
    there = from_known[here]
    holds = (known["size"][there] == files.sizes[here]) & (known["time"][there] == files.times[here])
    for name in ("sha256", "width", "height", "problem"):
        arrays[name][here[holds]] = known[name][there[holds]]
    return arrays


def _examine(folder: Path, arrays: dict[str, Array], missing: Array, path: Path) -> None:
    """Fill in what is missing, with a bar where there is a terminal."""
    screen = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    )
    parts = [missing[start : start + AT_ONCE] for start in range(0, len(missing), AT_ONCE)]
    pool, saved = decoders(), time.monotonic()
    asked: dict[Future[list[dict[str, Any]]], Array] = {}
    try:
        with bar:
            shown = bar.add_task(f"reading the images of {folder.name}, once", total=len(missing))
            while parts or asked:
                while parts and len(asked) < 4 * pool.count:
                    part, parts = parts[0], parts[1:]
                    paths = [os.path.join(folder, os.fsdecode(name)) for name in arrays["name"][part]]
                    asked[pool.examine(paths)] = part
                for done in wait(asked, return_when=FIRST_COMPLETED).done:
                    part = asked.pop(done)
                    _fill(arrays, part, done.result())
                    bar.advance(shown, len(part))
                if time.monotonic() - saved > SAVE_EVERY:
                    _write(path, arrays)
                    saved = time.monotonic()
    except BaseException:
        for future in asked:
            future.cancel()
        with suppress(OSError):
            _write(path, arrays)
        raise


def _fill(arrays: dict[str, Array], part: Array, found: list[dict[str, Any]]) -> None:
    for place, facts in zip(part, found, strict=True):
        if facts["sha256"]:
            arrays["sha256"][place] = np.frombuffer(bytes.fromhex(facts["sha256"]), np.uint8)
        arrays["width"][place], arrays["height"][place] = facts["width"], facts["height"]
        arrays["problem"][place] = facts["problem"].encode()[:MOST_WORDS]


def _same(arrays: Mapping[str, Array], known: Mapping[str, Array]) -> bool:
    return bool(known) and all(np.array_equal(arrays[name], known[name]) for name in ("name", "size", "time"))


def _read(path: Path) -> dict[str, Array]:
    """The arrays that are kept; none where there are none, or they are damaged: they are made anew then."""
    names = ("name", "size", "time", "sha256", "width", "height", "problem")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return {}
    return arrays if len({len(values) for values in arrays.values()}) == 1 else {}


def _write(path: Path, arrays: Mapping[str, Array]) -> None:
    """What could not be read for the moment, as a folder without permission, is asked for again."""
    unread = (arrays["problem"] != b"") & ~arrays["sha256"].any(1)
    kept = {**arrays, "width": np.where(unread, -1, arrays["width"]).astype(np.int32)}
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            np.savez(file, **kept)  # type: ignore[arg-type]
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
