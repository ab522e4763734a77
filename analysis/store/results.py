"""Rows in and out of run directories, and as a pandas table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

from ..interface import Estimate, Row
from .checked import checked
from .runs import RESULT, Run

COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Result:
    """What ``result.json`` holds."""

    rows: tuple[Row, ...]
    seconds: float


def row_of(estimate: Estimate, **facts: Any) -> Row:
    """An estimate as a row; ``facts`` are the row's other fields."""
    low, high = (estimate.interval.low, estimate.interval.high) if estimate.interval else (None, None)
    return Row(
        value=estimate.value,
        unit=estimate.unit,
        n=estimate.n,
        stderr=estimate.stderr,
        ci_low=low,
        ci_high=high,
        bound=estimate.bound,
        ceiling=estimate.ceiling,
        saturated=estimate.saturated,
        **facts,
    )


def write_rows(run: Run, rows: Sequence[Row], seconds: float) -> None:
    """Write ``result.json``: the rows a task measured and how long it took. Its presence makes a run whole."""
    run.write_json(RESULT, {"rows": [asdict(row) for row in rows], "seconds": round(seconds, 3)})


def read_rows(run: Run) -> list[Row]:
    """The rows of a run. Raises InputError when the file is damaged or holds something else; it names row and field."""
    return list(read_result(run).rows)


def read_result(run: Run) -> Result:
    """The rows and seconds of a run. Raises InputError as `read_rows`."""
    content = run.read_json(RESULT)
    try:
        return checked(Result, content)
    except ValueError as error:
        raise run.damaged(RESULT, error) from error


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """One line a row, columns as in `Row`; ``params`` as JSON text, so that it groups and writes to CSV."""
    records: list[dict[str, Any]] = []
    for row in rows:
        record = asdict(row)
        record["params"] = json.dumps(record["params"], sort_keys=True)
        records.append(record)
    return pd.DataFrame(records, columns=list(COLUMNS))
