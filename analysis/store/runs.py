"""Run directories: one folder per task, named by the hash of what determines its output.

While a task works its folder is ``<name>.partial/``, held by a lease; it is renamed to ``<name>/`` when whole. So a
folder without a suffix is complete, a killed task leaves a partial one that the next worker takes over, and nothing
half-written is ever taken for a result. Everything in it is JSON, JSON lines, safetensors or npz: nothing is unpickled.

``result.json`` makes a run whole. It holds the size and SHA-256 of every other file, and its own; ``config.json`` is
known by the folder's name. Readers check what they read, so that a bit which flipped is noticed.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from errno import EISDIR
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import numpy as np

from ..archives import check_size
from ..errors import InputError, first_line
from ..schema import finite, from_stored, key_of
from .lease import Lease

CONFIG, RESULT, HISTORY, ENVIRONMENT, FAILED = (
    "config.json",
    "result.json",
    "history.jsonl",
    "environment.json",
    "failed.json",
)
MODEL, ARRAYS, CHECKPOINT = "model.safetensors", "arrays.npz", "checkpoint.safetensors"
FILES, DIGEST = "files", "sha256"  # in a result: of the other files, and of what it holds itself


@dataclass(frozen=True)
class Stored:
    """A file as it was when its run became whole."""

    bytes: int
    sha256: str


def sha256_of(path: Path) -> str:
    """Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Write each file aside, then put all in place: one that cannot be written leaves all as they were.

    Raises:
        OSError: with the file's name; nothing is left aside.
    """
    mark = secrets.token_hex(8)  # of this writer: others may write the same file at the same time
    asides = {path: path.with_name(f".{path.name[:100]}-{mark}.tmp") for path in contents}
    try:
        for path, aside in asides.items():
            if path.is_dir():  # known now, before another is put in place
                raise IsADirectoryError(EISDIR, os.strerror(EISDIR), str(path))
            aside.write_bytes(contents[path])
        for path, aside in asides.items():
            os.replace(aside, path)
    finally:
        for aside in asides.values():
            with suppress(OSError):
                aside.unlink(missing_ok=True)


def is_left_over(path: Path) -> bool:
    """Whether it is a file that a writer had aside when it was killed; those begin with a dot or end in .tmp."""
    return path.name.startswith(".") or path.suffix == ".tmp"


def _text(content: Any) -> str:
    return json.dumps(content, indent=1, allow_nan=False, sort_keys=True) + "\n"


def parse_json(content: bytes) -> Any:
    """JSON as we write it: UTF-8, of numbers that are finite, no key twice.

    Raises:
        ValueError: it is anything else.
    """
    try:
        found = json.loads(content.decode(), object_pairs_hook=_once, parse_constant=_not_finite)
        if b"\\ud" in content.lower():  # may be half of a pair, which no file can hold
            json.dumps(found, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("too many levels of brackets") from None
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return content


def _not_finite(name: str) -> Any:
    raise ValueError(f"{name} is no number")


class UnreadError(InputError):
    """A file is there and cannot be read, for want of permission or as the disk does not answer: it may be whole."""


class Run:
    """One run directory, whole or partial: named files, read and written in one way."""

    def __init__(self, path: Path, lease: Lease | None = None) -> None:
        self.path = path
        self._lease = lease

    def check_lease(self) -> None:
        """Raises LeaseLostError if another worker has taken this folder over, before anything more is written to it."""
        if self._lease is not None:
            self._lease.check()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_json(self, name: str, content: Any) -> None:
        """Write atomically, so that a reader or a crash never sees half a file."""
        replace_files({self.path / name: _text(content).encode()})

    def read_json(self, name: str) -> Any:
        """Raises InputError when the file is missing, or no JSON as we write it (see `parse_json`)."""
        return self._parsed(name, self._read(name))

    def _parsed(self, name: str, content: bytes) -> Any:
        try:
            return parse_json(content)
        except ValueError as error:
            raise self.damaged(name, error) from error

    def write_result(self, content: Mapping[str, Any]) -> None:
        """Write ``result.json`` with the checksums of all files that are here, once they are on the disk."""
        files = {}
        for path in sorted(self.path.iterdir()):
            if path.is_file() and path.name not in (RESULT, CHECKPOINT) and not is_left_over(path):
                _sync(path)
                files[path.name] = asdict(Stored(path.stat().st_size, sha256_of(path)))
        content = {**content, FILES: files}
        self.write_json(RESULT, content | {DIGEST: hashlib.sha256(_text(content).encode()).hexdigest()})
        _sync(self.path / RESULT)
        _sync(self.path)

    def read_result(self) -> dict[str, Any]:
        """What `write_result` was given, of a whole run. Raises InputError when the file is missing or damaged."""
        return {name: value for name, value in self._result().items() if name not in (FILES, DIGEST)}

    def _result(self) -> dict[str, Any]:
        read = self._read(RESULT)
        content = self._parsed(RESULT, read)
        if not isinstance(content, dict):
            raise self.damaged(RESULT, ValueError("it must be an object"))
        if (digest := content.get(DIGEST)) is not None:  # older runs have none
            rest = read.replace(f',\n "{DIGEST}": "{digest}"'.encode(), b"", 1)
            if digest != hashlib.sha256(rest).hexdigest():  # then it may be the same content, set otherwise
                rest = _text({name: value for name, value in content.items() if name != DIGEST}).encode()
                if digest != hashlib.sha256(rest).hexdigest():
                    raise self.damaged(RESULT, ValueError("its checksum is another"))
        return content

    @cached_property
    def files(self) -> dict[str, Stored]:
        """The files of a whole run, as they were; empty for one made before checksums were kept, or not yet whole.

        Raises:
            InputError: ``result.json`` is damaged.
        """
        if not (self.path / RESULT).exists():
            return {}
        listed = self._result().get(FILES, {})
        try:
            return {name: from_stored(Stored, stored) for name, stored in dict(listed).items()}
        except (TypeError, ValueError) as error:
            raise self.damaged(RESULT, error) from error

    def checked(self, name: str) -> Path:
        """A file's path, once its content has been found to be what it was.

        Raises:
            InputError: it is missing, or another.
        """
        path, stored = self.path / name, self.files.get(name)
        if stored is not None:
            try:
                if sha256_of(path) != stored.sha256:
                    raise self.damaged(name, ValueError("its checksum is another"))
            except OSError as error:
                raise self._unread(name, error) from error
        return path

    def check(self) -> None:
        """Raises InputError unless the run is what its name says and its files are there, of their size."""
        config = self.read_json(CONFIG)
        if not isinstance(config, dict) or not self.path.name.endswith(key_of(config)[:16]):
            raise InputError(
                f"{self.path} holds a config that does not belong to its name: it was edited or copied. "
                f"Delete the folder and run the study again; only this task is repeated."
            )
        self.read_result()
        for name, stored in self.files.items():
            try:
                if (found := (self.path / name).stat().st_size) != stored.bytes:
                    raise self.damaged(name, ValueError(f"{found} bytes, {stored.bytes} when it was written"))
            except OSError as error:
                raise self._unread(name, error) from error

    def _read(self, name: str) -> bytes:
        """A file's content, found to be what it was when the run became whole."""
        try:
            content = (self.path / name).read_bytes()
        except OSError as error:
            raise self._unread(name, error) from error
        stored = self.files.get(name) if name != RESULT else None
        if stored is not None and hashlib.sha256(content).hexdigest() != stored.sha256:
            raise self.damaged(name, ValueError("its checksum is another"))
        return content

    def _unread(self, name: str, error: OSError) -> InputError:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return InputError(
                f"{self.path} is no folder of a mixlens run or study: it has no {name}. If it was deleted or emptied, "
                "delete what is left of it and run the study again; only this task is repeated."
            )
        return UnreadError(f"{self.path / name} cannot be read: {error.strerror or error}.")

    def read_history(self, *columns: str) -> list[dict[str, Any]]:
        """One record per epoch. Raises InputError: the file is missing or damaged, or no numbers are in the columns."""
        content = self._read(HISTORY)
        try:
            records = [parse_json(line) for line in content.splitlines()]
        except ValueError as error:
            raise self.damaged(HISTORY, error) from error
        if not (records and all(isinstance(record, dict) for record in records)):
            raise self.damaged(HISTORY, ValueError("it holds other things than epochs"))
        for column in columns:
            if not all(finite(record.get(column)) for record in records):
                raise self.damaged(HISTORY, ValueError(f"an epoch has no number {column}"))
        return records

    def write_history(self, records: list[dict[str, Any]]) -> None:
        replace_files({self.path / HISTORY: "".join(json.dumps(record) + "\n" for record in records).encode()})

    def write_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        assert all(array.dtype != object for array in arrays.values())  # these would be pickled
        np.savez_compressed(self.path / ARRAYS, **arrays)  # type: ignore[arg-type]

    def read_arrays(self, *names: str) -> dict[str, np.ndarray]:
        """The named arrays, or all. Raises InputError when the file is missing, damaged or lacks one of them."""
        content = self._read(ARRAYS)
        try:
            check_size(io.BytesIO(content))
            with np.load(io.BytesIO(content), allow_pickle=False) as archive:
                if missing := set(names) - set(archive.files):
                    raise ValueError(f"it has no array {min(missing)!r}")
                arrays = {name: archive[name] for name in names or archive.files}
        except Exception as error:  # zipfile, zlib and numpy each have their own
            raise self.damaged(ARRAYS, error) from error
        for name, array in arrays.items():
            if array.dtype.kind not in "biuf":
                raise self.damaged(ARRAYS, ValueError(f"array {name!r} holds {array.dtype}, not numbers"))
        return arrays

    def damaged(self, name: str, error: Exception) -> InputError:
        return InputError(
            f"{self.path / name} is damaged or not ours ({first_line(error)}). Delete the folder {self.path} and run "
            "the study again; only this task is repeated."
        )


class Store:
    """All run directories under one folder, shared by any number of workers and studies."""

    def __init__(self, root: Path, *, looking: bool = False) -> None:
        self.root = root
        if looking:  # makes no folder
            return
        try:
            root.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=root).close()  # it has no name that could be left over
        except OSError as error:
            raise InputError(
                f"cannot write to the output folder {root}: {error.strerror}. Give another with --out."
            ) from error

    def find(self, name: str) -> Run | None:
        """The whole run of that name, checked to be what its name says; None if there is none yet.

        Raises:
            InputError: the folder is damaged, or its config does not hash to its name.
        """
        run = Run(self.root / name)
        if not run.path.is_dir():
            return None
        run.check()
        return run

    def partial(self, name: str) -> Run:
        return Run(self.root / f"{name}.partial")

    @contextmanager
    def claim(self, name: str, config: Mapping[str, Any]) -> Iterator[Run | None]:
        """Work on a task: yields its partial folder, renamed when the block leaves a result in it.

        Yields None when another worker holds the task, or has finished it in the meantime. Without a result, or when
        the block raises, the folder stays as it is for the next try.
        """
        lease = Lease(self.root, name)
        if not lease.acquire():
            yield None
            return
        try:
            if (self.root / name).is_dir():
                yield None
                return
            run = Run(self.partial(name).path, lease)
            run.path.mkdir(exist_ok=True)
            for path in run.path.iterdir():
                if is_left_over(path):
                    path.unlink(missing_ok=True)
            if _is_whole(Run(run.path), config):  # whoever made it was killed just before the end
                yield None
            else:
                for left_over in (FAILED, RESULT):
                    (run / left_over).unlink(missing_ok=True)
                run.write_json(CONFIG, config)
                yield run
            if not (run / RESULT).exists():
                return
            lease.check()
            (run / CHECKPOINT).unlink(missing_ok=True)
            self._place(run, name)
        finally:
            lease.release()

    def _place(self, run: Run, name: str) -> None:
        """Rename a run that is whole; where another worker's stands by now, that is kept, which is the same."""
        try:
            os.replace(run.path, self.root / name)
        except OSError:
            if not (self.root / name / RESULT).exists():
                raise
            shutil.rmtree(run.path)
        _sync(self.root)


def _is_whole(run: Run, config: Mapping[str, Any]) -> bool:
    try:
        for name in run.files:
            run.checked(name)
        return run.files.keys() >= {CONFIG} and run.read_json(CONFIG) == config
    except InputError:
        return False


def _sync(path: Path) -> None:
    """Until the file, or what a folder lists, is on the disk: a power loss leaves no renamed folder of empty files."""
    with suppress(OSError):  # a file system that does not sync, such as some of the shared ones
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
