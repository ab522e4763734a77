"""Progress on long work: a live bar on a terminal, plain lines with the time elsewhere, silence when asked."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..presentation.numbers import duration

EPOCH_SECONDS = 10.0  # at least, from one line of an epoch to the next
LINE_SECONDS = 30.0  # the same of work that has no epochs, or long ones

History = Sequence[Mapping[str, Any]]  # a training's epochs so far


class _Bars(Progress):
    """What is being worked on, and on the line below how far it is: both together are too long for most terminals."""

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            if task.visible:
                yield Text(task.description, no_wrap=True, overflow="ellipsis")
                yield self.make_tasks_table([task])


class Reporter:
    """Shows what is being worked on. Work that goes on at the same time has one `beside`.

    For each task `begin` and `end`; for a piece of work in it `start`, `advance` and `finish`, and for each epoch of a
    training `epoch`.
    """

    def __init__(self, console: Console | None = None, *, quiet: bool = False, bar: Progress | None = None) -> None:
        # By the stream alone: in a log, FORCE_COLOR is no reason to draw.
        self.console = console or Console(stderr=True, highlight=False, emoji=False, force_terminal=sys.stderr.isatty())
        self.quiet = quiet
        self._live = not quiet and self.console.is_terminal and not self.console.is_dumb_terminal
        self._bar = bar or _Bars(
            TextColumn(" "),
            BarColumn(bar_width=8),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self.console,
            transient=True,
            disable=not self._live,
        )
        self._task = self._bar.add_task("", total=None, detail="", visible=False)
        self._title = self._label = self._detail = ""
        self._log: Callable[[History], None] | None = None
        self._total = self._before = self._done = 0
        self._images = 0.0
        self._begun = self._started = self._spoken = time.monotonic()

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
        """One line, kept on the screen; with the time where it is no terminal."""
        if not self.quiet:
            at = "" if self._live else time.strftime("%H:%M:%S ")
            self.console.print(f"{at}{text}", markup=False, soft_wrap=True)

    def begin(self, title: str, log: Callable[[History], None] | None = None) -> None:
        """A task. ``log`` is told its history after each epoch, if it is a training."""
        self._title, self._detail, self._log, self._begun = title, "", log, time.monotonic()
        self._bar.remove_task(self._task)  # a reset would keep its total
        self._task = self._bar.add_task(title, total=None, detail="")
        if not self._live:
            self.say(title)

    def end(self) -> None:
        """The task is done: one line that stays."""
        self.finish()
        self.say(f"{self._title}: {self.summary()}")

    def summary(self) -> str:
        """How long the task took, and the last that was said of it."""
        took = duration(time.monotonic() - self._begun)
        return f"done in {took}{', ' * bool(self._detail)}{self._detail}"

    def start(self, label: str, total: int, done: int = 0, *, images: float = 0) -> None:
        """Work of ``total`` steps, of which some may be done; ``images``: how many each takes, where that is known."""
        self._label, self._total, self._before, self._done, self._images = label, total, done, done, images
        self._detail, self._started = "", time.monotonic()
        self._spoken = self._started
        shown = self._title or label
        self._bar.reset(self._task, description=shown, total=total, completed=done, detail="", visible=True)

    def advance(self, detail: str = "", steps: int = 1) -> None:
        self._done += steps
        if detail:
            self._detail = self._with_speed(detail)
        self._bar.update(self._task, advance=steps, **({"detail": self._detail} if detail else {}))  # type: ignore[arg-type]
        self._speak(LINE_SECONDS)

    def epoch(self, detail: str, history: History) -> None:
        """A training has done another epoch, the last of its history."""
        self._detail = self._with_speed(detail)
        self._bar.update(self._task, detail=self._detail)
        self._speak(EPOCH_SECONDS)
        if self._log is not None:
            self._log(history)

    def finish(self) -> None:
        self._bar.update(self._task, visible=False)

    def _with_speed(self, detail: str) -> str:
        seconds = time.monotonic() - self._started
        if not self._images or seconds <= 0:
            return detail
        return f"{detail}, {self._images * (self._done - self._before) / seconds:,.0f} samples/s"

    def _speak(self, apart: float) -> None:
        """A line where no bar is drawn, unless one was said a moment ago."""
        now = time.monotonic()
        if self._live or now - self._spoken <= apart:
            return
        self._spoken = now
        line = f"  {self._label}: {self._done}/{self._total}{', ' * bool(self._detail)}{self._detail}"
        if new := self._done - self._before:
            line += f", {duration((now - self._started) / new * (self._total - self._done))} left"
        self.say(line)
