"""Rows in and out of run directories, and as a pandas table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import pandas as pd

from ..interface import Row
from ..schema import from_stored, shown
from .runs import RESULT, Run

FACTS = tuple(field.name for field in fields(Row) if field.name != "params")


@dataclass(frozen=True)
class Result:
    """What ``result.json`` holds."""

    rows: tuple[Row, ...]
    seconds: float


def write_rows(run: Run, rows: Sequence[Row], seconds: float) -> None:
    """Write ``result.json``: the rows a task measured and how long it took. Its presence makes a run whole."""
    run.write_result({"rows": [asdict(row) for row in rows], "seconds": round(seconds, 3)})


def read_rows(run: Run) -> list[Row]:
    """The rows of a run. Raises InputError when the file is damaged or holds something else; it names row and field."""
    return list(read_result(run).rows)


def read_result(run: Run) -> Result:
    """The rows and seconds of a run. Raises InputError as `read_rows`."""
    content = run.read_result()
    try:
        return from_stored(Result, content)
    except ValueError as error:
        raise run.damaged(RESULT, error) from error


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """One line a row: columns as in `Row`, then one for each param; what a row's params lack is NaN.

    Raises:
        ValueError: a param is called as a column of every row.
    """
    records: list[dict[str, Any]] = []
    params: dict[str, None] = {}
    for row in rows:
        record = dict(vars(row))
        extra = record.pop("params")
        if taken := extra.keys() & record.keys():
            raise ValueError(f"a param is called {shown(min(taken))}, as a column of every row is")
        params |= dict.fromkeys(extra)
        records.append(record | extra)
    made = pd.DataFrame(records, columns=[*FACTS, *params])
    return made.astype({"seed": "Int64"}) if made["seed"].isna().any() else made
