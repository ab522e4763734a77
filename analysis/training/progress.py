"""Progress on long work: a live bar on a terminal, plain lines elsewhere, silence when asked."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

LINE_SECONDS = 30.0


class Reporter:
    """Shows what is being worked on: `start` a piece of work, `advance` it, `finish` it; others have one `beside`."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False, bar: Progress | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, emoji=False)
        self.quiet = quiet
        self._live = not quiet and self.console.is_terminal
        self._bar = bar or Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("", total=None, detail="", visible=False)
        self._label = ""
        self._total = 0
        self._done = 0
        self._spoken = 0.0

    def __enter__(self) -> Reporter:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def beside(self) -> Reporter:
        """Another for work that goes on at the same time: a bar of its own on the same screen."""
        return Reporter(self.console, quiet=self.quiet, bar=self._bar)

    def say(self, text: str) -> None:
        """One line, kept on the screen."""
        if not self.quiet:
            self.console.print(text, markup=False, soft_wrap=True)

    def start(self, label: str, total: int, done: int = 0) -> None:
        self._label, self._total, self._done, self._spoken = label, total, done, time.monotonic()
        self._bar.reset(self._task, description=label, total=total, completed=done, detail="", visible=True)

    def advance(self, detail: str = "", steps: int = 1) -> None:
        self._done += steps
        self._bar.update(self._task, advance=steps, **({"detail": detail} if detail else {}))  # type: ignore[arg-type]
        now = time.monotonic()
        if not self._live and now - self._spoken > LINE_SECONDS:
            self._spoken = now
            self.say(f"  {self._label}: {self._done}/{self._total} {detail}".rstrip())

    def finish(self) -> None:
        self._bar.update(self._task, visible=False)
