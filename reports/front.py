"""The front page: what each augmentation does, one column a question, against the baseline. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..analysis.interface import Arm
from ..analysis.presentation.numbers import number
from ..analysis.statistics.effect import Effect, Measured, effect
from ..analysis.statistics.holm import holm
from ..analysis.statistics.seeds import sd
from ..analysis.store.record import StudyRecord

CAPTION = (
    "Mean ± standard deviation over training seeds; below, the difference to the baseline on the same seeds and images "
    "with its 95% interval over both (mixlens.analysis.statistics.effect). An arrow where it stands after Holm’s "
    "correction for all differences of this table; with fewer than three seeds one cannot tell."
)


@dataclass(frozen=True)
class Column:
    """One question: its section, the quantity that answers it, and a cell for each arm."""

    section: str
    question: str
    quantity: str  # with its unit
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Cell:
    """An arm's value with its spread over seeds, and the change against the baseline; empty: not measured."""

    value: str = ""
    change: Effect | None = None


@dataclass(frozen=True)
class Front:
    names: tuple[str, ...]  # of the arms, one line each
    columns: tuple[Column, ...]

    def sentence(self, index: int) -> str:
        """What is known of one arm against its baseline, in words."""
        words: dict[int, list[str]] = {1: [], -1: [], 0: []}
        for column in self.columns:
            change = column.cells[index].change
            if change is not None:
                words[change.direction].append(column.question.lower())
        said = [
            f"{text} {_listed(words[direction])}"
            for direction, text in ((1, "raises"), (-1, "lowers"))
            if words[direction]
        ]
        if words[0]:
            said.append(f"one cannot tell for {_listed(words[0])}")
        return f"{self.names[index]}: {'; '.join(said)}." if said else ""


def front_page(record: StudyRecord, measured: Mapping[str, Sequence[Measured]]) -> Front:
    """The front quantities of the sections, in their order, for the arms that any of them measured."""
    fronts = [(section, one) for section, quantities in measured.items() for one in quantities if one.front]
    seen = {arm for _, one in fronts for arm, _ in one.terms}
    listed = record.arms
    arms = [arm for arm in listed if arm in seen] + sorted(seen - set(listed))
    changes = {
        (place, arm): change
        for place, (_, one) in enumerate(fronts)
        for arm in arms
        if not arm.is_baseline and (change := effect(one, arm, arm.baseline)) is not None
    }
    corrected = dict(zip(changes, holm(list(changes.values())), strict=True))
    columns = []
    for place, (section, one) in enumerate(fronts):
        unit = f" ({one.unit})" if one.unit else ""
        cells = tuple(Cell(_value(one, arm), corrected.get((place, arm))) for arm in arms)
        columns.append(Column(section, one.front, one.title + unit, cells))
    return Front(tuple(map(record.label, arms)), tuple(columns))


def _value(one: Measured, arm: Arm) -> str:
    means = pd.Series([one.factor * float(np.mean(terms)) for (other, _), terms in one.terms.items() if other == arm])
    return number(means.mean(), sd(means)) if len(means) else ""


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
