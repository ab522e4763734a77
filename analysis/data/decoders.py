"""Processes that decode image files for this one, as many as `use` says, shared by all that reads images here.

They are started when they are first needed, as plain programs and not by forking: of a daemon, as a worker of Dask is,
and beside CUDA and threads that is safe, and each has the memory of Python and PIL alone. Pixels come through pipes
straight into the batch that they are part of. A process ends when its pipe is closed, so that none outlives this one,
however it ends.
"""

from __future__ import annotations

import atexit
import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError
from .decoder import Box

PROGRAM = Path(__file__).with_name("decoder.py")
PIPE = 2**20  # bytes that a pipe holds, where the system lets it; a piece of a batch has about as many
MOST_PIECE = 32  # images
AHEAD = 3  # batches that are decoded before they are asked for


class Wanted(NamedTuple):
    """The pixels of some files: each crop or image of width × height."""

    paths: Sequence[str]
    width: int
    height: int
    how: Literal["training", "evaluation", "whole"]
    boxes: Sequence[Box] | None = None  # of training crops


class Pieces:
    """Pieces of work that are waited for together, in the order in which they are done.

    By a queue written in C: an interruption (Ctrl-C) in the locks of `concurrent.futures` leaves them held, or broken.
    """

    def __init__(self) -> None:
        self.dropped = False  # what is not begun yet need not be done
        self.left = 0
        self._landed: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def do(self, work: Callable[[], Any]) -> None:
        """In a thread of the decoders."""
        if self.dropped:
            return
        try:
            self._landed.put((work(), None))
        except Exception as error:  # it is raised where it is waited for
            self._landed.put((None, error))

    def next(self) -> Any:
        """What came of the next one that is done. Raises what it raised."""
        value, error = self._landed.get()
        self.left -= 1
        if error is not None:
            raise error
        return value


class Decoders:
    """``count`` threads, each with a process of its own that it asks and whose answers it reads."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._own = threading.local()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._asked: queue.SimpleQueue[tuple[Pieces, Callable[[], Any]] | None] = queue.SimpleQueue()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, name="decoder", daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def examine(self, paths: Sequence[str], pieces: Pieces, tag: Any) -> None:
        """Have it found out what `decoder.examine` says of each file; a piece is the tag and that."""
        self._ask_for(pieces, lambda: (tag, json.loads(self._ask({"paths": list(paths)})[0])))

    def decode(self, wanted: Wanted, into: Tensor) -> Pieces:
        """Have the pixels written into a tensor (B, H, W, 3) uint8, piece by piece."""
        size = wanted.width * wanted.height * 3
        step = max(1, min(MOST_PIECE, PIPE // size, -(-len(wanted.paths) // self.count)))
        flat, pieces = into.numpy().data.cast("B"), Pieces()
        for start in range(0, len(wanted.paths), step):
            part = wanted._replace(
                paths=wanted.paths[start : start + step],
                boxes=None if wanted.boxes is None else wanted.boxes[start : start + step],
            )
            self._ask_for(pieces, partial(self._piece, part, flat[start * size : (start + step) * size]))
        return pieces

    def _ask_for(self, pieces: Pieces, work: Callable[[], Any]) -> None:
        pieces.left += 1
        self._asked.put((pieces, work))

    def _work(self) -> None:
        while (asked := self._asked.get()) is not None:
            pieces, work = asked
            pieces.do(self._refused if self._closed else work)

    def _refused(self) -> None:
        raise RuntimeError("what decodes images was ended")

    def _piece(self, wanted: Wanted, into: memoryview) -> None:
        request: dict[str, Any] = {"as": wanted.how, "width": wanted.width, "height": wanted.height}
        request |= {"paths": list(wanted.paths), "boxes": wanted.boxes}
        line, answers = self._ask(request)
        failures = json.loads(line)
        done = 0
        while done < len(into):
            count = answers.readinto(into[done:])
            if not count:
                raise self._ended()
            done += count
        for place, problem in failures.items():
            raise InputError(
                f"{wanted.paths[int(place)]} cannot be read: {problem}. It could when the data were listed; mend it, "
                "or take it away and run the same command again."
            )

    def _ask(self, request: dict[str, Any]) -> tuple[bytes, Any]:
        process = self._process()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
        except OSError:  # it has gone
            line = b""
        if not line:
            raise self._ended()
        return line, process.stdout

    def _process(self) -> subprocess.Popen[bytes]:
        """This thread's."""
        if (process := getattr(self._own, "process", None)) is None:
            command = [sys.executable, "-P", str(PROGRAM)]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            _widen(process)
            self._own.process = process
            self._processes.append(process)
        return process

    def _ended(self) -> InputError:
        process, self._own.process = self._own.process, None
        _close(process)
        return InputError(
            f"a process that decodes images ended (status {process.returncode}), as it does where memory is too "
            "little. What is done stays; run the same command again, with fewer --decoders."
        )

    def close(self) -> None:
        """End the threads and the processes, whatever they are at."""
        self._closed = True
        for _ in self._threads:
            self._asked.put(None)
        for process in self._processes:
            process.kill()  # whose answer a thread waits for, gets none
            process.wait()


def _widen(process: subprocess.Popen[bytes]) -> None:
    with suppress(ImportError, AttributeError, OSError):  # of Linux alone
        import fcntl

        assert process.stdout is not None
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, PIPE)


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):
            assert pipe is not None
            pipe.close()
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# This process's

_lock = threading.Lock()
_count: int | None = None
_shared: tuple[int, Decoders] | None = None  # and the process that started them: a fork has none


def use(count: int | None) -> None:
    """How many decode from here on; None: one fewer than the cores that this process may use, at least one."""
    global _count
    _count = count


def decoders() -> Decoders:
    """The processes that decode for this one, started as they are needed."""
    global _shared
    beside = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # processes of torchrun
    count = _count or max(1, _cores() // beside - 1)
    with _lock:
        if _shared is not None and _shared[0] == os.getpid():
            if _shared[1].count == count:
                return _shared[1]
            _shared[1].close()
        _shared = (os.getpid(), Decoders(count))
        return _shared[1]


def decoded(wanted: Iterable[Wanted], *, pinned: bool = False) -> Iterator[Tensor]:
    """The pixels (B, 3, H, W) uint8 of each, in their order; the next few are decoded meanwhile.

    Channels lie last in memory. With ``pinned`` they can travel to a CUDA device while it computes.

    Raises:
        InputError: a file that cannot be read, named; a process that ended.
    """
    source, pool = iter(wanted), decoders()
    waiting: list[tuple[Tensor, Pieces]] = []
    try:
        while True:
            while len(waiting) < AHEAD and (one := next(source, None)) is not None:
                pixels = torch.empty(len(one.paths), one.height, one.width, 3, dtype=torch.uint8, pin_memory=pinned)
                waiting.append((pixels, pool.decode(one, pixels)))
            if not waiting:
                return
            pixels, pieces = waiting[0]
            while pieces.left:
                pieces.next()
            del waiting[0]
            yield pixels.permute(0, 3, 1, 2)
    finally:
        for _, pieces in waiting:
            pieces.dropped = True


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)  # not on macOS or Windows
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@atexit.register
def _end() -> None:
    if _shared is not None and _shared[0] == os.getpid():
        _shared[1].close()
