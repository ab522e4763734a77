"""The front page: what each augmentation does, one column a question, against the baseline. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..analysis.comparison import Effect, Measured, baseline_of, effect, holm, sd
from ..analysis.style import label, number

CAPTION = (
    "Mean ± standard deviation over training seeds; below, the difference to the baseline on the same seeds and images "
    "with its 95% interval over both (mixlens.analysis.comparison.effect). An arrow where it stands after Holm’s "
    "correction for all differences of this table; with fewer than three seeds one cannot tell."
)


@dataclass(frozen=True)
class Column:
    """One question: its section, the quantity that answers it, and a cell for each augmentation."""

    section: str
    question: str
    quantity: str  # with its unit
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Cell:
    """An augmentation's value with its spread over seeds, and the change against the baseline; empty: not measured."""

    value: str = ""
    change: Effect | None = None


@dataclass(frozen=True)
class Front:
    augmentations: tuple[str, ...]
    columns: tuple[Column, ...]

    def sentence(self, index: int) -> str:
        """What is known of one augmentation against the baseline, in words."""
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
        return f"{label(self.augmentations[index])}: {'; '.join(said)}." if said else ""


def front_page(measured: Mapping[str, Sequence[Measured]], augmentations: Sequence[str]) -> Front:
    """The front quantities of the sections, in their order, for the augmentations that any of them measured."""
    fronts = [(section, one) for section, own in measured.items() for one in own if one.front]
    seen = {name for _, one in fronts for name, _ in one.terms}
    names = [name for name in augmentations if name in seen] + sorted(seen - set(augmentations))
    changes = {
        (place, name): found
        for place, (_, one) in enumerate(fronts)
        for name in names
        if name != baseline_of(name) and (found := effect(one, name, baseline_of(name))) is not None
    }
    corrected = dict(zip(changes, holm(list(changes.values())), strict=True))
    columns = []
    for place, (section, one) in enumerate(fronts):
        unit = f" ({one.unit})" if one.unit else ""
        cells = tuple(Cell(_value(one, name), corrected.get((place, name))) for name in names)
        columns.append(Column(section, one.front, one.title + unit, cells))
    return Front(tuple(names), tuple(columns))


def _value(one: Measured, name: str) -> str:
    means = pd.Series([one.factor * float(np.mean(terms)) for (own, _), terms in one.terms.items() if own == name])
    return number(means.mean(), sd(means)) if len(means) else ""


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
