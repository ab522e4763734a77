"""A lease on a task: who works on it, kept alive by a heartbeat, taken over when its holder is gone."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import InputError

HEARTBEAT_SECONDS = 10.0
STALE_SECONDS = 60.0
LOCK_SECONDS = 60.0  # a decision takes a few milliseconds


class LeaseLostError(RuntimeError):
    """Another worker took the task over while this one was stalled; its unfinished work is left to that worker."""


class Lease:
    """``<name>.lease`` beside the run directory: JSON with a token, host and process id, touched every ten seconds.

    Decisions are made under one short file lock per store. A holder on this host that no longer runs, or one anywhere
    that has not been heard of for a minute, has lost its lease. The minute is by the file system's clock, which all
    who share it see alike, and a holder is looked for by its process id only among the processes that this one sees.
    """

    def __init__(self, root: Path, name: str) -> None:
        self.path = root / f"{name}.lease"
        self._lock = FileLock(root / ".leases.lock", timeout=LOCK_SECONDS)
        self._token = uuid.uuid4().hex
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def acquire(self) -> bool:
        """True if the lease is now ours; False if a living worker holds it.

        Raises:
            InputError: the file system does not lock files.
        """
        with self._decision():
            if self._held_by_other():
                return False
            content = {"token": self._token, "host": socket.gethostname(), "pid": os.getpid()}
            content |= {"space": _space(), "born": _born(os.getpid())}
            content["since"] = datetime.now(UTC).isoformat(timespec="seconds")
            self.path.write_text(json.dumps(content), encoding="utf-8")
        self._thread = threading.Thread(target=self._beat, daemon=True)
        self._thread.start()
        return True

    def check(self) -> None:
        """Raises LeaseLostError if another worker has taken over."""
        if self._read().get("token") != self._token:
            raise LeaseLostError(f"{self.path.stem}: another worker took this task over")

    def holder(self) -> dict[str, Any]:
        """Who works on the task: host, pid and since when (ISO 8601, UTC); empty if nobody does."""
        return self._read() if self.path.exists() and self._held_by_other() else {}

    def release(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with self._decision():
            if self._read().get("token") == self._token:
                self.path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _decision(self) -> Iterator[None]:
        try:
            self._lock.acquire()
        except (Timeout, NotImplementedError, OSError) as error:
            raise InputError(
                f"{self.path.parent}: {self._lock.lock_file} cannot be locked ({error}). Workers share a folder by "
                "file locks (flock), which its file system must have; on NFS they need a running lock service. Give "
                "another folder with --out."
            ) from error
        try:
            refresh(self.path.parent)
            yield
        finally:
            self._lock.release()

    def _held_by_other(self) -> bool:
        holder = self._read()
        if not holder:
            return False
        with contextlib.suppress(OSError):  # a reader may not touch it
            os.utime(self._lock.lock_file)
        with contextlib.suppress(OSError):
            if abs(os.stat(self._lock.lock_file).st_mtime - self.path.stat().st_mtime) > STALE_SECONDS:
                return False
        near = holder["host"] == socket.gethostname() and holder.get("space") == _space()
        return not (near and not _alive(holder["pid"], holder.get("born")))

    def _read(self) -> dict[str, Any]:
        """The lease as written; empty if there is none, or none of ours. One that may not be read is somebody's."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
        except PermissionError:
            return {"token": "", "host": "?", "pid": 0}
        except (OSError, ValueError):
            return {}
        ours = isinstance(content, dict) and {"token", "host"} <= set(content) and type(content.get("pid")) is int
        return content if ours else {}

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            if self._read().get("token") != self._token:
                return
            with contextlib.suppress(OSError):
                os.utime(self.path)


def refresh(folder: Path) -> None:
    """See what others have put into a folder: NFS remembers what was not there, until the folder is opened."""
    with contextlib.suppress(OSError):
        os.close(os.open(folder, os.O_RDONLY))


def _space() -> str | None:
    """The process ids that this process sees: containers of one host name each have their own. None but on Linux."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return None


def _born(pid: int) -> str | None:
    """What tells a process from a later one of its number: the boot and the tick it started at. None but on Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return f"{boot} {stat.rpartition(')')[2].split()[19]}"  # the name may hold spaces and brackets


def _alive(pid: int, born: str | None = None) -> bool:
    """Whether the process runs; and is the one born then, where that is known."""
    if pid <= 0 or (born is not None and _born(pid) not in (born, None)):
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
