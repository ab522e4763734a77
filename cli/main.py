"""The ``mixlens`` command: reads arguments, sets the exit status, and turns a user's mistake into one message.

Exit status 0: done; 1: some tasks failed, or a section of another package cannot be shown; 2: what was given cannot be
used, or the machine gives no room; 70: an error of mixlens itself; 130: interrupted, 143 and 129: told to end (SIGTERM,
SIGHUP), which ends alike; 141: nobody reads on.

Nothing ends of what cannot be said on standard error, and a stream that is closed is as good as /dev/null.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from importlib.metadata import PackageNotFoundError, version
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Any, TextIO, cast

from cyclopts import App, CycloptsError
from rich.console import Console

from ..analysis.errors import InputError, first_line, of_memory, of_the_machine
from ..analysis.schema import at_home
from ..analysis.study.sections import installed_sections
from .store import clean, status, verify
from .studies import add_commands
from .tools import compare, data, information, masks, oracle, report


def _version() -> str:
    try:
        return version("mixlens")
    except PackageNotFoundError:
        return "not installed"


def application(typed: Sequence[str] = ()) -> App:
    """The command line with every installed section's command. ``typed``: the arguments, which a record keeps.

    Raises:
        InputError: a section cannot be loaded, or is called as another command.
    """
    app = App(
        name="mixlens",
        suppress_keyboard_interrupt=False,
        help="What mixed-sample augmentation (MixUp, CutMix, FMix, your own) does to what a network learns.",
        version=_version,
        help_format="plaintext",
    )
    for command in (report, compare, status, verify, clean, information, oracle, data, masks):
        app.command(command)
    add_commands(app, installed_sections(), typed)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; a user's mistake is one message, never a traceback.

    Of several processes that torchrun started on this machine, the first alone speaks.
    """
    _open_streams()
    os.environ["MPLBACKEND"] = "agg"  # what a screen would draw with, which nothing here is drawn on, may not be there
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # an ascii or cp1252 console has no λ
            stream.reconfigure(errors="replace")
    if os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("LOCAL_RANK", "0") == "0":
        with redirect_stderr(cast(TextIO, _Spoken(sys.stderr))):
            return _main(arguments)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        return _main(arguments)


def _main(arguments: Sequence[str] | None) -> int:
    errors = Console(stderr=True, highlight=False, emoji=False)
    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        for argument in typed:
            if not argument.isascii() and argument != argument.encode(errors="ignore").decode():
                raise InputError(f"{argument!r} is not UTF-8, so that no record could hold it; rename it.")
        with _ended_by_signals():
            result = application(typed)(
                [_at_home(argument) for argument in typed],
                exit_on_error=False,
                print_error=False,
                result_action="return_value",
            )
        sys.stdout.flush()
    except (CycloptsError, InputError) as error:
        errors.print(f"mixlens: {error}".replace("\n", " "), markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt as interrupt:
        errors.print("mixlens: interrupted. Run the same command again to go on where it stopped.", markup=False)
        return 128 + (interrupt.number if isinstance(interrupt, _Ended) else signal.SIGINT)
    except BrokenPipeError:
        return _unread()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich's way of saying so
            return _unread()
        if end.__cause__ is None:  # of several processes, one that ends for a reason has said it
            return _ours(end, errors)
        raise
    except BaseException as error:
        if isinstance(error, OSError) and of_the_machine(error):
            return _unwritten(error, errors)
        if isinstance(error, PermissionError) and error.filename is not None:
            errors.print(f"mixlens: {error.filename}: {error.strerror}.", markup=False, soft_wrap=True)
            return 2
        if of_memory(error):
            errors.print(
                f"mixlens: there is too little memory ({type(error).__name__}: {first_line(error)}). Done tasks stay; "
                "lower --train-size, batch sizes, --at-once or --threads, or end what else has memory, and run the "
                "same command again.",
                markup=False,
                soft_wrap=True,
            )
            return 2
        return _ours(error, errors)
    return result if isinstance(result, int) else 0


def _ours(error: BaseException, errors: Console) -> int:
    traceback.print_exception(error)
    errors.print(
        "mixlens: this is an error of mixlens itself; what is done stays. Please report it with the lines above.",
        markup=False,
    )
    return 70


def _open_streams() -> None:
    """Stand-ins for standard streams that are closed: a file opened later would get the number of one, and with it
    whatever a library prints there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115  # until the end


class _Spoken:
    """Standard error, on a full disk or with nobody reading it as well: what cannot be said is left out."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Ended(KeyboardInterrupt):
    """Told to end by a signal."""

    def __init__(self, number: int) -> None:
        self.number = number


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end as Ctrl-C does: what was begun is left for the next time, nothing half-written."""

    def end(number: int, frame: FrameType | None) -> None:
        raise _Ended(number)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread has handlers
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]  # not all on Windows
    numbers = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]  # nohup ignores one
    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _at_home(argument: str) -> str:
    """~/… as a shell writes it out, where it is quoted or stands behind a flag's =."""
    flag, equals, value = argument.rpartition("=") if argument.startswith("--") else ("", "", argument)
    return f"{flag}{equals}{at_home(Path(value))}" if value == "~" or value.startswith("~/") else argument


def _unread() -> int:
    """Whoever read the output has gone, as `head` does: nothing more is written."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141


def _unwritten(error: OSError, errors: Console) -> int:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    place = f" ({error.filename})" if error.filename else ""
    errors.print(f"mixlens: the output cannot be written: {error.strerror or error}{place}.", markup=False)
    return 2
