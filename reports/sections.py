"""Each section's answers: its ``figures`` module, wherever it is installed. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from ..analysis.comparison import Measured
from ..analysis.errors import InputError
from ..analysis.interface import PaperValues
from ..analysis.plugins import installed_sections
from ..analysis.store.record import StudyRecord, combine
from ..analysis.style import About, Plot, Table
from .foreign import check_terms, drawn_from


class Figures(Protocol):
    """What a section's ``figures`` module holds."""

    ABOUT: About

    def tables(self, record: StudyRecord, printed: PaperValues) -> Sequence[Table]:
        """Its tables; ``printed`` is empty unless the data are the paper's."""
        ...

    def plots(self, record: StudyRecord, printed: PaperValues) -> Sequence[Plot]: ...

    def measured(self, record: StudyRecord) -> Sequence[Measured]:
        """What the front page, the claims and ``mixlens compare`` set side by side."""
        ...


def figures_of(record: StudyRecord) -> dict[str, Figures]:
    """The ``figures`` module of every section that the study measured, in the study's order.

    Raises:
        InputError: a section's package cannot be loaded.
    """
    measured, found = {row.section for row in record.rows()}, {}
    for name, section in installed_sections().items():
        if name in measured:
            try:
                found[name] = cast(Figures, import_module(section.figures))
            except ImportError as error:
                raise InputError(f"the figures of the section {name!r} cannot be loaded: {error}.") from error
    return {name: found[name] for name in in_order(record) if name in found}


def in_order(record: StudyRecord) -> list[str]:
    """The study's sections, each after those whose settings it uses, which may have rows too."""
    uses = {name: section.uses for name, section in installed_sections().items()}
    listed = record.settings["sections"]
    return list(dict.fromkeys(name for own in listed for name in (*uses.get(own, ()), own)))


def not_installed(record: StudyRecord) -> list[str]:
    """Sections that the study measured and no installed package has: of them, a report shows the rows alone."""
    installed = installed_sections()
    return [name for name in record.settings["sections"] if name not in installed]


def measured_by_size(record: StudyRecord) -> dict[int | None, Mapping[str, Sequence[Measured]]]:
    """`measured` for each size of the training set, ascending, where there are several; else nothing."""
    parts: dict[int | None, list[StudyRecord]] = {}
    for part in record.parts:
        parts.setdefault(part.settings["train_size"], []).append(part)
    if len(parts) < 2:
        return {}
    ascending = sorted(parts, key=lambda size: math.inf if size is None else size)
    return {size: measured(combine(parts[size], mixed=True)) for size in ascending}


def measured(record: StudyRecord) -> Mapping[str, Sequence[Measured]]:
    """Section → its quantities, of those the study measured. Raises InputError for rows or arrays of another kind."""
    found = {}
    for name, figures in figures_of(record).items():
        with drawn_from(record, name):
            found[name] = figures.measured(record)
            check_terms(found[name])
    return found
