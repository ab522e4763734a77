"""The ``mixlens`` command: reads arguments, sets the exit status, and turns a user's mistake into one message.

Exit status 0: done; 1: some tasks failed; 2: something given cannot be used; 130: interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from cyclopts import App, CycloptsError
from rich.console import Console

from ..analysis.errors import InputError
from ..analysis.study.sections import installed_sections
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
    for command in (report, compare, information, oracle, data, masks):
        app.command(command)
    add_commands(app, installed_sections(), typed)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status; a user's mistake is one message, never a traceback."""
    errors = Console(stderr=True, highlight=False, emoji=False)
    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        for argument in typed:
            if not argument.isascii() and argument != argument.encode(errors="ignore").decode():
                raise InputError(f"{argument!r} is not UTF-8, so that no record could hold it; rename it.")
        result = application(typed)(typed, exit_on_error=False, print_error=False, result_action="return_value")
    except (CycloptsError, InputError) as error:
        errors.print(f"mixlens: {error}".replace("\n", " "), markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        errors.print("mixlens: interrupted. Run the same command again to go on where it stopped.", markup=False)
        return 130
    return result if isinstance(result, int) else 0
