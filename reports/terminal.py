"""Estimates as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from rich import box
from rich.table import Table

from ..analysis.interface import Estimate
from ..analysis.style import number

if TYPE_CHECKING:
    from ..analysis.information.oracle import Comparison

Unit = Literal["nats", "bits"]
DIRECTIONS = {"upper": "≤ upper", "lower": "≥ lower", "none": "no bound"}


def estimate_table(estimates: Mapping[str, Estimate], unit: Unit) -> Table:
    """One line per estimate: value, interval, direction, number of samples, flags."""
    table = _table("estimate", unit, "95% interval", "direction", "n", "flags")
    for name, estimate in estimates.items():
        value, interval, direction, flags = _cells(estimate.to(unit))
        table.add_row(name, value, interval, direction, f"{estimate.n:,}", flags)
    return table


def comparison_table(found: Iterable[Comparison], unit: Unit) -> Table:
    """The same beside the truth, in one block for each quantity."""
    table = _table("quantity", "truth", "estimate", unit, "95% interval", "direction", "flags")
    before = None
    for quantity, name, estimate, truth in found:
        first = quantity != before
        if first and before is not None:
            table.add_section()
        true = replace(estimate, value=truth).to(unit).value
        table.add_row(*((quantity, number(true)) if first else ("", "")), name, *_cells(estimate.to(unit)))
        before = quantity
    return table


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE)
    for column in columns:
        right = column in ("nats", "bits", "n", "truth", "95% interval")
        table.add_column(column, justify="right" if right else "left", no_wrap=True)
    return table


def _cells(estimate: Estimate) -> tuple[str, str, str, str]:
    value, interval = number(estimate.value), "none"
    if estimate.interval is not None:
        half = (estimate.interval.high - estimate.interval.low) / 2
        value, low, high = (
            number(part, half).partition(" ")[0]
            for part in (estimate.value, estimate.interval.low, estimate.interval.high)
        )
        interval = f"[{low}, {high}]"
    flags = []
    if estimate.ceiling is not None:
        flags.append(f"ceiling {number(estimate.ceiling)}")
    if estimate.saturated:
        flags.append("saturated: set by n, not by the truth")
    elif estimate.interval is None:
        flags.append("error unknown: a few samples dominate")
    return value, interval, DIRECTIONS[estimate.bound], "; ".join(flags)
