"""What commands print: tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.console import Group
from rich.table import Table

from ..analysis.errors import InputError
from ..analysis.interface import Estimate
from ..analysis.presentation.numbers import change, duration, number

if TYPE_CHECKING:
    from ..analysis.information.oracle import Comparison
    from ..analysis.masks.structure import Statistic
    from ..analysis.study.forecast import Planned
    from ..analysis.study.progress import Progress
    from ..reports.compare import Compared
    from ..reports.front import Front
    from ..reports.power import Needed

Unit = Literal["nats", "bits"]
DIRECTIONS = {"upper": "≤ upper", "lower": "≥ lower", "none": "no bound"}


def estimate_table(estimates: Mapping[str, Estimate | InputError], unit: Unit) -> Table:
    """One line per estimate: value, interval, direction, number of samples, flags; or why it cannot be had."""
    table = _table("estimate", unit, "95% interval", "direction", "n", "flags")
    for name, estimate in estimates.items():
        if isinstance(estimate, InputError):
            table.add_row(name, "—", "", "", "", f"not available: {estimate}")
            continue
        value, interval, direction, flags = _cells(estimate.to(unit))
        table.add_row(name, value, interval, direction, f"{estimate.n:,}", flags)
    return table


def comparison_table(found: Iterable[Comparison], unit: Unit) -> Table:
    """The same beside the truth, in one block for each quantity."""
    table = _table("quantity", "truth", "estimate", unit, "95% interval", "direction", "flags")
    before = None
    for comparison in found:
        quantity, name, estimate, truth = comparison
        first = quantity != before
        if first and before is not None:
            table.add_section()
        true = replace(estimate, value=truth).to(unit).value
        *cells, flags = _cells(estimate.to(unit))
        if not comparison.kept:
            flags = f"outside its direction by more than 4 errors; {flags}".rstrip("; ")
        table.add_row(*((quantity, number(true)) if first else ("", "")), name, *cells, flags)
        before = quantity
    return table


def effect_table(found: Iterable[Compared]) -> Table:
    """One line per difference: its interval and an arrow where it stands after Holm's correction for all lines."""
    table = _table("augmentation", "quantity", "second − first [95%]", "seeds", "images")
    for line in found:
        cells = (
            line.pair,
            line.quantity,
            change(line.effect),
            str(line.effect.seeds),
            f"{line.effect.images:,}" if line.effect.images > 1 else "—",
        )
        table.add_row(*cells)
    return table


def structure_table(told: Mapping[str, Sequence[Statistic]]) -> Table:
    """What tells masks apart: a statistic a line, an augmentation a column. Of several axes without the quantiles."""
    table = _table("mean ± standard error", *told, "unit", "masks")
    values = [{(one.name, one.axis): one for one in each} for each in told.values()]
    several = any(axis for each in values for _, axis in each)
    before = ""
    for name, axis in dict.fromkeys(key for each in values for key in each):
        if several and "quantile" in name:
            continue
        found = [each.get((name, axis)) for each in values]
        known = next(one for one in found if one is not None)
        if before not in ("", name.split()[0]):
            table.add_section()
        before = name.split()[0]
        cells = ["—" if one is None else number(one.value, one.stderr) for one in found]
        where = f"{name}, axis {axis + 1}" if several and axis is not None else name
        table.add_row(where, *cells, known.unit, f"{known.masks:,}")
    return table


def front_table(front: Front) -> Group:
    """A report's first page: an augmentation a line, a question a column, and the sentences that answer them."""
    table = Table("augmentation", box=box.SIMPLE)
    for column in front.columns:
        table.add_column(f"{column.question.lower()}\n{column.quantity}", justify="right")
    for place, name in enumerate(front.names):
        cells = (column.cells[place] for column in front.columns)
        shown = [(cell.value or "—") + (f"\n{change(cell.change)}" if cell.change else "") for cell in cells]
        table.add_row(name, *shown)
    return Group(table, *front.sentences)


def plan_table(name: str, planned: Sequence[Planned], workers: int | None = None) -> Group:
    """Each kind of task: how many, how many are done, what one and all that are left take; below, the sum."""
    table = _table("task", "number", "done", "begun", "each takes", "left", "known from", "memory")
    kinds: dict[str, list[Planned]] = {}
    for task in planned:
        kinds.setdefault(task.kind, []).append(task)
    for kind, tasks in kinds.items():
        left = [task for task in tasks if task.state != "done"]
        each = [task.seconds for task in tasks if task.seconds is not None]
        rest = [task.seconds for task in left if task.seconds is not None]
        memory = max((task.memory for task in tasks if task.memory is not None), default=None)
        table.add_row(
            kind,
            str(len(tasks)),
            str(len(tasks) - len(left)),
            str(sum(task.state == "begun" for task in tasks)),
            _between(each),
            duration(sum(rest)) if rest else "",
            "; ".join(dict.fromkeys(task.source for task in tasks if task.source)),
            "" if memory is None else f"{memory / 1e9:.2g} GB" if memory < 1e10 else f"{memory / 1e9:.0f} GB",
        )
    left = [task for task in planned if task.state != "done"]
    known = [task.seconds for task in left if task.seconds is not None]
    words = f"{name}: {len(planned)} tasks, {len(planned) - len(left)} done, {len(left)} left"
    if known:
        words += f"; about {for_workers(sum(known), workers)}"
    if len(known) < len(left):
        words += f", without {len(left) - len(known)} of which no time is known" if known else "; no time is known"
    return Group(table, f"{words}.")


def for_workers(seconds: float, workers: int | None) -> str:
    """How long one worker takes, and several of whom none ever waits for another's output."""
    several = f", at least {duration(seconds / workers)} for {workers}" if workers and workers > 1 else ""
    return f"{duration(seconds)} for one worker{several}"


def _between(seconds: Sequence[float]) -> str:
    """One duration, or from which to which."""
    ends = list(dict.fromkeys(duration(end) for end in (min(seconds), max(seconds)))) if seconds else []
    return " to ".join(ends)


def power_words(needed: Sequence[Needed], seeds: int) -> str:
    """Which of the paper's claims so many seeds are too few for, by the paper's own means and deviations."""
    short = [one for one in needed if one.seeds is None or one.seeds > seeds]
    claims = f"of the paper's {len(needed)} claims on this"
    if not short:
        return f"{seeds} seeds are enough to agree with each {claims}, if its numbers are true."
    lines = (f"  {one.claim.text}: {one.seeds or 'more than 50'}" for one in short)
    return "\n".join(
        [
            f"{seeds} seeds are too few to agree, at 80% power, with these {claims}, even if it is right; needed:",
            *lines,
        ]
    )


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE)
    for column in columns:
        right = column in ("nats", "bits", "n", "truth", "95% interval")
        long = column in ("flags", "augmentation")
        table.add_column(column, justify="right" if right else "left", no_wrap=not long, overflow="fold")
    return table


def _cells(estimate: Estimate) -> tuple[str, str, str, str]:
    value, interval = number(estimate.value), "none"
    if estimate.interval is not None:
        low, high = estimate.interval.low, estimate.interval.high
        half = (high - low) / 2
        shown = [number(part) for part in (estimate.value, low, high)]
        if 1e-6 < half < 1e6:  # digits by the error; beyond that, powers of ten
            shown = [number(part, half).partition(" ")[0] for part in (estimate.value, low, high)]
        value, interval = shown[0], f"[{shown[1]}, {shown[2]}]"
    flags = []
    if estimate.ceiling is not None:
        flags.append(f"ceiling {number(estimate.ceiling)}")
    if estimate.saturated:
        flags.append("saturated: set by n, not by the truth")
    elif estimate.interval is None:
        flags.append("no error known")
    return value, interval, DIRECTIONS[estimate.bound], "; ".join(flags)


def progress_table(name: str, found: Progress) -> Table:
    """One line a kind of task: how many are done, at work, failed and left."""
    table = _table(name, "done", "at work", "failed", "left")
    for kind in dict.fromkeys(one.task.kind for one in found.tasks):
        counts = (found.count(state, kind) for state in ("done", "at work", "failed", "waiting"))
        table.add_row(kind, *(f"{count:,}" for count in counts))
    return table


def progress_words(found: Progress) -> list[str]:
    """What is at work and what failed, a line each; then how long the rest may take."""
    lines = [f"{one.state}: {one.task.label}: {one.words}" for one in found.tasks if one.words]
    if found.seconds_left is not None:
        end = datetime.now().astimezone() + timedelta(seconds=found.seconds_left)
        known = f"{duration(found.seconds_left)} left, until {end:%Y-%m-%d %H:%M}, by the tasks that are done"
        more = ", ".join(found.unknown)
        lines.append(f"at least {known}; {more}: none is done" if more else f"about {known}")
    elif found.count("at work") and found.unknown:
        lines.append(f"no end is known: {', '.join(found.unknown)}: none is done")
    elif found.count("waiting") and not found.count("at work"):
        lines.append("nobody works on it; the command that began it goes on")
    return lines
