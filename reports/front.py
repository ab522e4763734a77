"""The front page: what each augmentation does, one column a question, against the baseline. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ..analysis.interface import BASELINE, Arm
from ..analysis.presentation.names import listed
from ..analysis.presentation.numbers import change, column, extent, level
from ..analysis.presentation.parts import Table
from ..analysis.presentation.samples import called
from ..analysis.statistics.effect import Effect, Measured
from ..analysis.statistics.level import ENOUGH_SEEDS
from ..analysis.statistics.proportion import proportion
from ..analysis.statistics.seeds import student_mean
from ..analysis.store.record import StudyRecord
from . import paper


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
        rest = ["nothing else can be told from the baseline after correction"] if words[0] else []
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
    as_given: bool = False  # networks that were brought along, whose trainings are no question
    modality: str = "image"  # of what they were measured on

    @property
    def changes(self) -> list[Effect]:
        return [cell.change for column in self.columns for cell in column.cells if cell.change is not None]

    @property
    def over_images(self) -> bool:
        """Whether its intervals are over images alone, as of too few seeds."""
        return all(change.seeds < ENOUGH_SEEDS for change in self.changes)

    @property
    def sentences(self) -> list[str]:
        """What each question's answer is, and last of which questions there is none."""
        return called(self._sentences(), self.modality)

    @property
    def caption(self) -> str:
        """What stands in the cells, and how differences are judged: said once, for the whole report."""
        return called(self._caption(), self.modality)

    def _sentences(self) -> list[str]:
        if not self.changes:
            return []
        if not any(change.p is not None for change in self.changes):
            return [
                f"One cannot tell what augmentations do: that takes {ENOUGH_SEEDS} seeds or more. The differences "
                "here are between these networks, and their intervals over images alone."
            ]
        compared = [column for column in self.columns if any(cell.change is not None for cell in column.cells)]
        told = [column for column in compared if any(cell.change and cell.change.direction for cell in column.cells)]
        said = [column.sentence(self.names) for column in told]
        names = [column.question for column in compared if column not in told]
        open_ = [name if name.isupper() else name.lower() for name in names]
        rest = [f"After correction no difference to the baseline can be told in {listed(open_)}."] if open_ else []
        return [*said, *rest]

    def _caption(self) -> str:
        values = (
            "Mean ± standard deviation over training seeds; of a single network its 95% interval over images (of a "
            "share Wilson’s)."
        )
        if not self.changes:
            return f"{values} No baseline was measured, so nothing is compared."
        judged = [change for change in self.changes if change.p is not None]
        few = f"fewer than {ENOUGH_SEEDS} seeds"
        if not judged:
            over = f"over images alone: with {few} one cannot tell about trainings, and no difference is judged."
        elif self.over_images:
            over = "over images: the question is how these networks differ, not what other trainings would give."
        else:
            over = "over both (mixlens.analysis.statistics.effect)"
            over += "." if len(judged) == len(self.changes) else f"; with {few} over images alone, and not judged."
        how = (
            f"{values} How differences are judged: below each value the difference to the baseline, on the same "
            f"{'images' if self.over_images else 'seeds and images'}, with its 95% interval {over}"
        )
        if not judged:
            return how
        studies = {arm.study for arm in self.arms}
        joined = " Each study's own report has fewer, and so smaller p." if len(studies) > 1 else ""
        together = "This one is the family" if len(judged) == 1 else f"These {len(judged)} are one family"
        return (
            f"{how} {together}: p is corrected for their number (Holm), and ↑ or ↓ stands where p\u00a0<\u00a0.05. "
            "Wherever this report shows one of them it is the same difference, interval and p. All others (other "
            f"layers, ε or bounds) have an interval, each by itself, and no arrow.{joined}"
        )


def front_page(
    record: StudyRecord, measured: Mapping[str, Sequence[Measured]], setups: Mapping[str, paper.Setup] | None = None
) -> Front:
    """The front quantities of the sections, in their order, for the arms that any of them measured.

    Their differences are those of the record's family; ``setups`` of each study, where the paper's stand beside them.
    """
    fronts = [(section, one) for section, quantities in measured.items() for one in quantities if one.front]
    seen = {arm for _, one in fronts for arm, _ in one.terms}
    listed = record.arms
    arms = [arm for arm in listed if arm in seen] + sorted(seen - set(listed))
    columns = []
    for section, one in fronts:
        unit = f" ({one.unit})" if one.unit else ""
        changes = (record.family.of(section, one.quantity, arm) for arm in arms)
        cells = tuple(map(Cell, _values(one, arms), changes))
        known = [
            paper.difference(section, one.quantity, arm.augmentation, BASELINE, setups[arm.study])
            if setups and not arm.is_baseline
            else None
            for arm in arms
        ]
        printed = tuple(value.value if value else None for value in known)
        shown = "points" if one.unit == "%" else one.unit
        columns.append(Column(section, one.front, one.title + unit, shown, cells, printed))
    return Front(tuple(map(record.label, arms)), tuple(columns), tuple(arms), brought(record), record.modality)


def brought(record: StudyRecord) -> bool:
    """Whether its networks were brought along, trained elsewhere."""
    return any(task.kind == "classifier-load" for task in record.tasks)


def front_table(front: Front) -> Table:
    """The front page as a table of texts: a column's question above its quantity, a value above its change."""
    shown = [[_texts(column.cells[place]) for column in front.columns] for place in range(len(front.names))]
    heads = (f"{column.question}\n{column.quantity}" for column in front.columns)
    rows = tuple((name, *cells) for name, cells in zip(front.names, shown, strict=True))
    return Table("summary", "Summary", front.caption, ("Augmentation", *heads), rows if front.columns else ())


def _texts(cell: Cell) -> str:
    return (cell.value or "not measured") + (f"\n{change(cell.change)}" if cell.change else "")


def _size(change: Effect, unit: str) -> str:
    """How large a difference is, without sign."""
    return f"{extent(change).partition(' ')[0].lstrip('+−')} {unit}".rstrip()


def _values(one: Measured, arms: Sequence[Arm]) -> list[str]:
    """For each arm what its networks reached; empty where it was not measured."""
    networks = [[terms for (other, _), terms in one.terms.items() if other == arm] for arm in arms]
    means = column([pd.Series([one.factor * float(np.mean(terms)) for terms in own], dtype=float) for own in networks])
    return [
        _of_one(one, own[0]) if len(own) == 1 and len(own[0]) > 1 else mean if own else ""
        for own, mean in zip(networks, means, strict=True)
    ]


def _of_one(one: Measured, terms: np.ndarray[Any, Any]) -> str:
    """One network's mean with its interval over images: Wilson's where each image is right or wrong."""
    if terms.dtype == bool:
        share = proportion(int(terms.sum()), len(terms))
        assert share.interval is not None
        return level(*(one.factor * end for end in (share.value, share.interval.low, share.interval.high)))
    return level(*student_mean(one.factor * terms.astype(float)))
