"""How a classifier section's tables take their numbers from its rows. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from ..analysis.interface import Arm, PaperValues, printed_of
from ..analysis.presentation.numbers import column, level, number
from ..analysis.presentation.parts import Table


def columns_table(name: str, title: str, caption: str, columns: Mapping[str, Sequence[str]]) -> Table:
    return Table(name, title, caption, tuple(columns), tuple(zip(*columns.values(), strict=True)))


def shares(rows: pd.DataFrame, arms: Sequence[Arm], quantity: str) -> list[str]:
    """Each arm's percentage over seeds, or of one network with its interval; a dash where it was not measured."""
    values = {arm: 100 * values_of(rows, arm, quantity) for arm in arms}
    known = [arm for arm in arms if len(values[arm])]
    shown = dict(zip(known, column([values[arm] for arm in known]), strict=True))
    alone = {arm: of_one(rows, arm, quantity) for arm in known if len(values[arm]) == 1}
    return [(shown | alone).get(arm, "—") for arm in arms]


def printed_cells(printed: PaperValues, arms: Sequence[Arm], quantity: str) -> list[str]:
    known = [printed_of(printed, arm, quantity) for arm in arms]
    return [number(one.value, one.sd, one.decimals) if one is not None else "—" for one in known]


def told(rows: pd.DataFrame, name: str) -> list[Any]:
    """What rows are told apart by, in their order."""
    return list(dict.fromkeys(rows[name].dropna())) if name in rows else []


def of_head(head: str) -> str:
    """What a head's accuracy is called beside that of whole labels: the array of it, and what the paper prints."""
    return f"accuracy:{head}"


def of_one(rows: pd.DataFrame, arm: Arm, quantity: str) -> str:
    """The one network's share of images with its interval over them, where it has one."""
    row = rows[(rows["arm"] == arm) & (rows["quantity"] == quantity)].iloc[0]
    if pd.isna(row["ci_low"]):
        return number(100 * row["value"], decimals=1)
    return level(100 * row["value"], 100 * row["ci_low"], 100 * row["ci_high"])


def values_of(rows: pd.DataFrame, arm: Arm, quantity: str) -> pd.Series:
    """One value a seed."""
    chosen = rows[(rows["arm"] == arm) & (rows["quantity"] == quantity)]
    return chosen.set_index("seed")["value"]
