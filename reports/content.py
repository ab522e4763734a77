"""What a report says, before it is a page or a PDF: tables, figures, the front page, verdicts. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from ..analysis.errors import InputError
from ..analysis.interface import PaperValues, Row
from ..analysis.presentation.numbers import duration
from ..analysis.presentation.parts import About, Plot, Table
from ..analysis.presentation.samples import called
from ..analysis.presentation.svg import plain_svg
from ..analysis.statistics.effect import Measured
from ..analysis.statistics.family import family_of
from ..analysis.store.record import StudyRecord
from ..analysis.study.sections import package_of
from . import by_scale, paper
from .appendix import appendix
from .axes import axis_plots
from .claims import Answers, Judged, claims_of, judge
from .commands import commands_of
from .facts import facts, heading, warning
from .foreign import SectionError, drawn_from
from .forest import forest_plot
from .front import Front, brought, front_page
from .sections import Figures, figures_of, measured, not_installed

NAMED = 4  # tasks that failed for one reason, in full


@dataclass(frozen=True)
class SectionContent:
    """One section's answer."""

    name: str
    about: About
    commands: Sequence[str]  # that make it again
    tables: Sequence[Table]
    plots: Sequence[Plot]


@dataclass(frozen=True)
class Content:
    """Everything a report shows."""

    record: StudyRecord
    rows: Sequence[Row]
    title: str
    facts: Sequence[tuple[str, str]]  # the scale it was made at: name and value
    warning: str  # what to hold against all of it; empty: nothing
    sections: Sequence[SectionContent]
    front: Front
    forest: Plot | None  # the front page's differences
    claims: Sequence[Judged]  # of the paper's data sets alone, where networks were trained with seeds enough
    appendix: Sequence[Table]
    missing: Sequence[str]  # sections whose package is not installed
    broken: Sequence[str] = ()  # why sections of other packages are not shown

    @cached_property
    def drawn(self) -> dict[str, str]:
        """Each figure as an SVG file, by its name: drawn once for the page and the PDF."""
        return {plot.name: plain_svg(plot) for plot in self.plots}

    @property
    def plots(self) -> list[Plot]:
        """All figures, as they follow each other."""
        first = [self.forest] if self.forest else []
        return [*first, *(plot for section in self.sections for plot in section.plots)]

    @property
    def settings(self) -> str:
        return json.dumps(self.record.settings, indent=2, ensure_ascii=False)

    @property
    def started(self) -> str:
        return self.record.started.replace("T", " ", 1).replace("+00:00", " UTC")

    @property
    def duration(self) -> str:
        return duration(sum(self.record.seconds(task) for task in self.record.tasks if task.state == "done"))

    @property
    def failures(self) -> list[str]:
        """What did not finish: a line for each reason, with the tasks that it kept from it."""
        by_reason: dict[tuple[str, str], list[str]] = {}
        for task in self.record.tasks:
            if task.state != "done":
                by_reason.setdefault((task.state, task.reason), []).append(task.label)
        return [f"{_several(labels)}: {': '.join(filter(None, why))}" for why, labels in by_reason.items()]

    @property
    def numbers(self) -> dict[str, int]:
        """The number of each figure and of each table, as they follow each other."""
        tables = [
            *(["summary"] if self.front.columns else []),
            *(["claims"] if self.claims else []),
            *(table.name for section in self.sections for table in section.tables),
            *(table.name for table in self.appendix),
        ]
        figures = {f"figure:{plot.name}": place for place, plot in enumerate(self.plots, 1)}
        return figures | {f"table:{name}": place for place, name in enumerate(tables, 1)}

    @property
    def counts(self) -> dict[str, int]:
        return {state: sum(t.state == state for t in self.record.tasks) for state in ("done", "failed", "skipped")}


def has_content(record: StudyRecord) -> bool:
    """Whether there is anything to report: a row, or a section that the study lists and that makes none."""
    return bool(record.rows()) or not figures_of(record).keys().isdisjoint(record.settings["sections"])


def collect(record: StudyRecord) -> Content:
    """Draw every table and figure of a study.

    Raises:
        InputError: nothing was measured yet, or a run is damaged or foreign.
    """
    rows = record.rows()
    if not has_content(record):
        raise InputError(
            f"study {record.name!r} in {record.folder} has no finished measurement to report yet. Run it; the same "
            "command goes on where it stopped."
        )
    broken: dict[str, str] = {}
    sections, answers, given = [], measured(record, broken), brought(record)
    record = replace(record, family=family_of(answers, as_given=given))
    setups = paper.setups_of(record)
    claimed = any(map(claims_of, setups.values()))
    for name, figures in figures_of(record).items():
        printed = paper.values_of(name, setups, record.arms)
        try:
            section = _section(record, name, figures, printed, answers[name])
        except SectionError as error:
            broken.setdefault(name, str(error))
        if name in broken:
            about = About(f"The section {name}", (f"{broken[name][:1].upper()}{broken[name][1:]}",))
            section = SectionContent(name, about, commands_of(record, name), (), ())
        sections.append(section)
    scales = by_scale.scales_of(record) if claimed else []
    if verdicts := by_scale.scale_tables(scales):
        commands = record.command.splitlines()
        drawn = by_scale.scale_plots(scales)
        sections.insert(0, SectionContent(by_scale.NAME, by_scale.ABOUT, commands, verdicts, drawn))
    front, kind = front_page(record, answers, setups), record.modality
    return Content(
        record=record,
        rows=rows,
        title=heading(record),
        facts=called(facts(record), kind),
        warning=called(warning(record), kind),
        sections=called(sections, kind),
        front=front,
        forest=called(forest_plot(front), kind),
        claims=_claims(record, answers, scales) if claimed and not given else [],
        appendix=appendix(record),
        missing=not_installed(record),
        broken=tuple(broken.values()),
    )


def _section(
    record: StudyRecord, name: str, figures: Figures, printed: PaperValues, answers: Sequence[Measured]
) -> SectionContent:
    """Raises SectionError for one of another package that fails, or is no content."""
    with drawn_from(record, name):
        about, tables, plots = figures.ABOUT, figures.tables(record, printed), figures.plots(record, printed)
        if package_of(name):
            for kind, parts in ((About, [about]), (Table, tables), (Plot, plots)):
                if wrong := [part for part in parts if not isinstance(part, kind)]:
                    raise TypeError(f"expected {kind.__name__}, got {wrong[0]!r:.100}")
            for plot in plots:
                plain_svg(plot)  # what fails while it is drawn fails here
        plots = [*plots, *axis_plots(record, name, answers, printed)]
        return SectionContent(name, about, commands_of(record, name), tables, plots)


def _claims(
    record: StudyRecord, answers: Mapping[str, Sequence[Measured]], scales: Sequence[by_scale.Scale]
) -> list[Judged]:
    """The verdicts on what is claimed of each data set and network; none where there are too few seeds for any."""
    judged: list[Judged] = []
    firsts = paper.first_studies(record)
    for setup, study in firsts.items():
        sizes = by_scale.sizes_of(scales) if study == record.study else None
        where = f"{', '.join(filter(None, setup))}: " if len(firsts) > 1 else ""
        for one in judge(Answers(study, answers), sizes, record.family, setup):
            judged.append(replace(one, claim=replace(one.claim, text=where + one.claim.text)))
    return judged if any(one.change.p is not None for each in judged for one in each.evidence) else []


def _several(labels: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(labels) - NAMED
    return ", ".join(labels[:NAMED]) + (f" and {more} more" if more > 0 else "")
