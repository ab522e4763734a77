"""The front page: what each augmentation does, one column a question, against the baseline. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..analysis.interface import BASELINE, Arm
from ..analysis.presentation.numbers import change, interval, number
from ..analysis.presentation.parts import Table
from ..analysis.statistics.effect import Effect, Measured, effect
from ..analysis.statistics.holm import holm
from ..analysis.statistics.seeds import sd
from ..analysis.store.record import StudyRecord
from . import paper

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
    quantity: str  # as people know it, with its unit
    unit: str
    cells: tuple[Cell, ...]
    printed: tuple[float | None, ...] = ()  # the paper's difference to its baseline, for each arm

    def sentence(self, names: Sequence[str]) -> str:
        """The answer: which arms lie above or below the baseline, and by how much."""
        words: dict[int, list[str]] = {1: [], -1: [], 0: []}
        for name, cell in zip(names, self.cells, strict=True):
            if cell.change is not None:
                size = f" (by {_size(cell.change, self.unit)})" if cell.change.direction else ""
                words[cell.change.direction].append(f"{name}{size}")
        said = [f"{way} with {listed(words[sign])}" for sign, way in ((1, "higher"), (-1, "lower")) if words[sign]]
        rest = ["nothing else can be told from the baseline"] if words[0] else []
        return f"{self.question}: {'; '.join([*said, *rest])}."


@dataclass(frozen=True)
class Cell:
    """An arm's value with its spread over seeds, and the change against the baseline; empty: not measured."""

    value: str = ""
    change: Effect | None = None


@dataclass(frozen=True)
class Front:
    names: tuple[str, ...]  # of the arms, one line each
    columns: tuple[Column, ...]
    arms: tuple[Arm, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """What each question's answer is, and last of which questions there is none."""
        compared = [column for column in self.columns if any(cell.change is not None for cell in column.cells)]
        told = [column for column in compared if any(cell.change and cell.change.direction for cell in column.cells)]
        said = [column.sentence(self.names) for column in told]
        open_ = [column.question.lower() for column in compared if column not in told]
        return [*said, f"No difference to the baseline can be told in {listed(open_)}."] if open_ else said


def front_page(record: StudyRecord, measured: Mapping[str, Sequence[Measured]], *, papers_data: bool = False) -> Front:
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
        printed = tuple(_printed(section, one, arm) if papers_data else None for arm in arms)
        shown = "points" if one.unit == "%" else one.unit
        columns.append(Column(section, one.front, one.title + unit, shown, cells, printed))
    return Front(tuple(map(record.label, arms)), tuple(columns), tuple(arms))


def front_table(front: Front) -> Table:
    """The front page as a table of texts: a column's question above its quantity, a value above its change."""
    shown = [[_texts(column.cells[place]) for column in front.columns] for place in range(len(front.names))]
    heads = (f"{column.question}\n{column.quantity}" for column in front.columns)
    rows = tuple((name, *cells) for name, cells in zip(front.names, shown, strict=True))
    return Table("summary", "Summary", CAPTION, ("Augmentation", *heads), rows if front.columns else ())


def _texts(cell: Cell) -> str:
    return (cell.value or "not measured") + (f"\n{change(cell.change)}" if cell.change else "")


def _printed(section: str, one: Measured, arm: Arm) -> float | None:
    """What the paper's values differ by."""
    values = paper.VALUES.get(section, {})
    own, zero = (values.get(name, {}).get(one.quantity) for name in (arm.augmentation, BASELINE))
    return None if own is None or zero is None or arm.is_baseline else own.value - zero.value


def _size(change: Effect, unit: str) -> str:
    """How large a difference is, without sign."""
    text = interval(change.value, change.low, change.high) if change.low is not None and change.high is not None else ""
    return f"{text.partition(' ')[0].lstrip('+−')} {unit}".rstrip()


def _value(one: Measured, arm: Arm) -> str:
    means = pd.Series([one.factor * float(np.mean(terms)) for (other, _), terms in one.terms.items() if other == arm])
    return number(means.mean(), sd(means)) if len(means) else ""


def listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
