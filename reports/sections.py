"""Each section's answers: its ``figures`` module, wherever it is installed. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast

from ..analysis.comparison import Measured
from ..analysis.errors import InputError
from ..analysis.interface import PaperValues
from ..analysis.plugins import installed_sections
from ..analysis.store.record import StudyRecord
from ..analysis.style import About, Plot, Table


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
    order = list(record.settings["sections"])
    return dict(sorted(found.items(), key=lambda pair: order.index(pair[0]) if pair[0] in order else len(order)))


def not_installed(record: StudyRecord) -> list[str]:
    """Sections that the study measured and no installed package has: of them, a report shows the rows alone."""
    return [name for name in record.settings["sections"] if name not in installed_sections()]


def measured(record: StudyRecord) -> Mapping[str, Sequence[Measured]]:
    """Section → its quantities, of those the study measured."""
    return {name: figures.measured(record) for name, figures in figures_of(record).items()}
