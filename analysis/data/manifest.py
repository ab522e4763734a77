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
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from filelock import FileLock
from platformdirs import user_cache_path

from ..errors import InputError
from .class_folders import SHOWN, Array, Files
from .decoders import Pieces, decoders
from .files import data_root, one_time_bar, write_arrays
from .image_files import Listed

FOLDER = "manifests"
AT_ONCE = 32  # files a process is asked of
SAVE_EVERY = 60.0  # seconds


class Manifest(NamedTuple):
    """All files of a folder, and what is wrong with some, by their place."""

    files: Listed
    problems: Mapping[int, str]


class Kept(NamedTuple):
    """What is known of each file: arrays of one entry each; problems by name, since few have one."""

    arrays: dict[str, Array]  # name, size, time, sha256 (N, 32), width (−1: nothing is known), height
    problems: dict[bytes, str]


def make_manifest(folder: Path, files: Files, root: str | Path | None = None) -> Manifest:
    """The manifest of those files in the folder, from the one that is kept as far as it holds.

    Raises:
        InputError: it cannot be written.
    """
    folder = folder.absolute()
    path = _place(folder, root)
    try:
        with FileLock(path.with_suffix(".lock")):  # another process may be at it
            before = _read(path)
            kept = _known(files, before)
            missing = np.flatnonzero(kept.arrays["width"] == -1)
            if len(missing):
                _examine(folder, kept, missing, path)
            if len(missing) or before is None or not _same(kept, before):
                _write(path, kept)
    except OSError as error:
        raise InputError(
            f"what is known of the images of {folder} cannot be kept as {path}: {error.strerror or error}. Make room, "
            "or name another folder for data with --data-root; it is made anew there."
        ) from error
    arrays = kept.arrays
    wrong = np.flatnonzero(np.isin(arrays["name"], list(kept.problems))).tolist() if kept.problems else []
    listed = Listed(str(folder), arrays["name"], arrays["sha256"], arrays["width"], arrays["height"])
    return Manifest(listed, {place: kept.problems[bytes(arrays["name"][place])] for place in wrong})


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


def _known(files: Files, before: Kept | None) -> Kept:
    """What is known of each file, from before."""
    count = len(files.names)
    arrays = {
        "name": files.names,
        "size": files.sizes,
        "time": files.times,
        "sha256": np.zeros((count, 32), np.uint8),
        "width": np.full(count, -1, np.int32),
        "height": np.zeros(count, np.int32),
    }
    if before is None:
        return Kept(arrays, {})
    known = before.arrays
    if np.array_equal(known["name"], files.names):
        here = there = np.arange(count)
    else:
        places = {name: place for place, name in enumerate(known["name"].tolist())}
        found = np.array([places.get(name, -1) for name in files.names.tolist()], dtype=np.int64)
        here = np.flatnonzero(found >= 0)
        there = found[here]
    holds = (known["size"][there] == files.sizes[here]) & (known["time"][there] == files.times[here])
    for name in ("sha256", "width", "height"):
        arrays[name][here[holds]] = known[name][there[holds]]
    names = set(files.names[here[holds]].tolist()) if before.problems else set()
    return Kept(arrays, {name: words for name, words in before.problems.items() if name in names})


def _examine(folder: Path, kept: Kept, missing: Array, path: Path) -> None:
    """Fill in what is missing, with a bar where there is a terminal."""
    bar = one_time_bar()
    parts = [missing[start : start + AT_ONCE] for start in range(0, len(missing), AT_ONCE)]
    pool, saved, asked = decoders(), time.monotonic(), Pieces()
    try:
        with bar:
            shown = bar.add_task(f"reading the images of {folder.name}, once", total=len(missing))
            while parts or asked.left:
                while parts and asked.left < 4 * pool.count:
                    part, parts = parts[0], parts[1:]
                    paths = [os.path.join(folder, os.fsdecode(name)) for name in kept.arrays["name"][part]]
                    pool.examine(paths, asked, part)
                part, facts = asked.next()
                _fill(kept, part, facts)
                bar.advance(shown, len(part))
                if time.monotonic() - saved > SAVE_EVERY:
                    _write(path, kept)
                    saved = time.monotonic()
    except BaseException:
        asked.dropped = True
        with suppress(OSError):
            _write(path, kept)
        raise


def _fill(kept: Kept, part: Array, found: list[dict[str, Any]]) -> None:
    arrays = kept.arrays
    for place, facts in zip(part, found, strict=True):
        if facts["sha256"]:
            arrays["sha256"][place] = np.frombuffer(bytes.fromhex(facts["sha256"]), np.uint8)
        arrays["width"][place], arrays["height"][place] = facts["width"], facts["height"]
        if facts["problem"]:
            kept.problems[bytes(arrays["name"][place])] = facts["problem"]


def _same(kept: Kept, before: Kept) -> bool:
    return all(np.array_equal(kept.arrays[name], before.arrays[name]) for name in ("name", "size", "time"))


def _read(path: Path) -> Kept | None:
    """What is kept; None where nothing is, or it is damaged: it is made anew then."""
    names = ("name", "size", "time", "sha256", "width", "height")
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in names}
            words = [text.decode(errors="replace") for text in stored["words"].tolist()]
            problems = dict(zip(stored["damaged"].tolist(), words, strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    return Kept(arrays, problems) if len({len(values) for values in arrays.values()}) == 1 else None


def _write(path: Path, kept: Kept) -> None:
    """What could not be read for the moment, as a file without permission, is looked at again the next time."""
    unread = ~kept.arrays["sha256"].any(1)
    arrays = {**kept.arrays, "width": np.where(unread, -1, kept.arrays["width"]).astype(np.int32)}
    arrays["damaged"] = np.array(list(kept.problems), dtype=np.bytes_)
    arrays["words"] = np.array([words.encode() for words in kept.problems.values()], dtype=np.bytes_)
    write_arrays(path, arrays)
