"""Each section's answers: its ``figures`` module, wherever it is installed. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

from ..analysis.errors import InputError
from ..analysis.interface import PaperValues
from ..analysis.presentation.parts import About, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.store.record import StudyRecord
from ..analysis.study.sections import installed_sections, package_of, with_used
from .foreign import SectionError, check_terms, drawn_from


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
    """The ``figures`` module of every section that has something to show, in the study's order.

    That is one with rows, or with a finished task that no other builds on.

    Raises:
        InputError: a section's package cannot be loaded.
    """
    sections, modules = installed_sections(), {}
    inputs = {name for task in record.tasks for name in task.inputs}
    ends = {task.section for task in record.tasks if task.state == "done" and task.name not in inputs}
    shown = ends | {row.section for row in record.rows()}
    for name in sections_of(record):
        if name in shown and name in sections:
            try:
                modules[name] = cast(Figures, import_module(sections[name].figures))
            except (Exception, SystemExit) as error:  # whatever a package raises while it is imported
                if package_of(name):
                    modules[name] = cast(Figures, _Unloadable(error))
                    continue
                if not isinstance(error, ImportError):
                    raise
                raise InputError(f"the figures of the section {name!r} cannot be loaded: {error}.") from error
    return modules


class _Unloadable:
    """In place of a module: the error that it raised, once anything of it is asked for."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __getattr__(self, name: str) -> NoReturn:
        raise self._error


def sections_of(record: StudyRecord) -> list[str]:
    """The study's sections, each after those that it uses, which may have rows too; last those of every study."""
    return with_used(record.settings["sections"], installed_sections())


def not_installed(record: StudyRecord) -> list[str]:
    """Sections that the study measured and no installed package has: of them, a report shows the rows alone."""
    installed = installed_sections()
    return [name for name in record.settings["sections"] if name not in installed]


def measured(record: StudyRecord, broken: dict[str, str] | None = None) -> Mapping[str, Sequence[Measured]]:
    """Section → its quantities, of those the study measured.

    Args:
        broken: gets the message of each section of another package that fails, which then has no quantities.

    Raises:
        InputError: rows or arrays of another kind; a section of another package fails, unless ``broken`` is given.
    """
    quantities: dict[str, Sequence[Measured]] = {}
    for name, figures in figures_of(record).items():
        try:
            with drawn_from(record, name):
                found = figures.measured(record)
                check_terms(found)
        except SectionError as error:
            if broken is None:
                raise
            found, broken[name] = (), str(error)
        quantities[name] = found
    return quantities
