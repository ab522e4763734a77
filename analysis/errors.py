"""The one error a user's mistake raises, and the helper that suggests the nearest name. Imports nothing of ours."""

import errno
import linecache
import sys
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from traceback import walk_tb

LONGEST = 300  # letters of another's message within ours
_LIBRARIES = {__name__.partition(".")[0], "torch", "torchvision", "timm", "numpy", *sys.stdlib_module_names}

_MACHINE = {
    getattr(errno, name)
    for name in ("ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EIO", "EBADF", "ENOMEM", "EMFILE", "ENFILE", "ESTALE")
    if hasattr(errno, name)  # not all on Windows
}

_NO_MEMORY = (
    "DefaultCPUAllocator",
    "out of memory",
    "ALLOC_FAILED",  # of cuDNN and cuBLAS
    "Cannot allocate memory",
    "failed to map segment",  # of a library that is loaded
)


class InputError(ValueError):
    """Something the user gave cannot be used: says what was given, what was expected, what to do.

    The command line prints it as one message and exits with status 2.
    """


def of_the_machine(error: OSError) -> bool:
    """Whether it is no matter of what was asked for: a full disk or quota, a stream that cannot be written."""
    return error.errno in _MACHINE


def of_memory(error: BaseException | None) -> bool:
    """Whether it is that memory was too little, or came of that: Python's, or PyTorch's on any device."""
    while error is not None:
        told = any(word in str(error) for word in _NO_MEMORY)
        if told or isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        error = error.__cause__
    return False


def first_line(error: BaseException) -> str:
    """What an error says in one line, not too long; its type where it says nothing.

    A library may repeat a whole damaged file.
    """
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def own_line(error: BaseException) -> str:
    """Where in a user's own code it arose, such as `` (mixes.py, line 7: return x / 0)``; empty where in none."""
    where = ""
    for frame, number in walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _LIBRARIES:
            file = frame.f_code.co_filename
            text = linecache.getline(file, number, frame.f_globals).strip()
            where = f" ({Path(file).name}, line {number}{text and f': {text}'})"
    return where


def unknown(kind: str, given: object, known: Iterable[str], more: Iterable[str] = ()) -> InputError:
    """An `InputError` for a name that is not among ``known``, with the nearest spelling if there is one.

    ``more`` are names too many to list, which may be meant as well.
    """
    names = sorted(known)
    meant = [*names, *more]
    nearest = [name for name in meant if name.lower() == str(given).lower()]
    nearest = nearest or get_close_matches(str(given), meant, n=1, cutoff=0.5)
    hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
    return InputError(f"unknown {kind} {given!r}.{hint} Known: {', '.join(names) or 'none'}.")
