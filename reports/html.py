"""A report as one self-contained HTML file. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files
from itertools import count
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup, escape

from ..analysis.presentation.columns import Column, columns
from ..analysis.presentation.lines import LONG, bound, pieces
from ..analysis.presentation.numbers import change
from ..analysis.presentation.parts import Equation, Table
from ..analysis.presentation.svg import svg
from ..analysis.store.results import table
from . import claims, power
from .content import Content
from .facts import scale
from .front import front_table

NO_BREAK = "\u00a0"
ENDLESS = 32  # letters of a part that has to break on a phone


def render_html(content: Content) -> str:
    """The page: no address in it leads anywhere but into it."""
    template = _environment().get_template("report.html.j2")
    shown = [*(field.name for field in fields(content)), "settings", "started", "duration", "failures", "counts"]
    return template.render(
        **{name: getattr(content, name) for name in shown},
        captions={"front": content.front.caption, "claims": claims.CAPTION},
        figures={plot.name: plot.title for plot in content.plots},
        numbers=content.numbers,
        summary=_Set(front_table(content.front)),
        change=change,
        chance=power.in_words,
        groups=claims.by_verdict(content.claims),
        scale=lambda judged: scale(content.record, judged),
        drawn=lambda plot: Markup(svg(plot, content.drawn[plot.name])),
        equation=_equation,
        rows_json=_rows_json(content),
        set=_Set,
        command=_command,
        script=Markup((files("mixlens.reports") / "templates" / "report.js").read_text(encoding="utf-8")),
    )


class _Set:
    """A table as the page sets it: its columns, each with whether it is of numbers, and its lines of cells."""

    def __init__(self, table: Table) -> None:
        laid = columns(table.header, table.rows)
        self.numeric = [one.numeric for one in laid]
        self.rows = [[_cell(one, place) for one in laid] for place in range(len(table.rows))]


def _cell(column: Column, place: int) -> Markup:
    """The first line in full size, others below it; what is unseen is written by the style alone."""
    lines = column.cells[place]
    if not column.numeric:
        return words(lines[0][0], head=True)
    first, *others = (Markup("").join(map(_part, count(), line)) for line in lines)
    return first + Markup("").join(Markup("<small>{}</small>").format(line) for line in others)


def _part(place: int, part: str) -> Markup:
    if place % 2 == 0:
        return escape(part)
    return Markup('<i data-room="{}"></i>').format(bound(part)) if part else Markup("")


def words(text: str, *, head: bool = False) -> Markup:
    """Text that breaks where it may (`lines`): flags and parts of specifications stay whole, if they are not endless.

    ``head``: in a table's narrow cells.
    """
    return Markup(" ").join(_word(word, 16 if head else ENDLESS) for word in bound(text).split(" "))


def _word(word: str, most: int) -> Markup:
    if NO_BREAK in word:
        return Markup(NO_BREAK).join(_word(part, most) for part in word.split(NO_BREAK))
    if not word.startswith("--") and len(word) < LONG and not ("(" in word and "=" in word):
        return escape(word)
    whole = Markup('<span class="whole">{}</span>')
    return Markup("<wbr>").join(whole.format(part) if len(part) <= most else escape(part) for part in pieces(word))


def _command(text: str) -> Markup:
    return Markup(" ").join(_word(word, ENDLESS) for word in text.split(" "))


def _rows_json(content: Content) -> Markup:
    """The rows for the page's own script, without empty cells at their ends: no text can end the element it is in."""
    rows = table(content.rows)
    lines = [
        _without_the_last_empty(line) for line in rows.astype(object).where(rows.notna(), None).to_numpy().tolist()
    ]
    text = json.dumps({"columns": list(rows.columns), "rows": lines}, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _without_the_last_empty(cells: list[Any]) -> list[Any]:
    end = max((place for place, cell in enumerate(cells, 1) if cell is not None), default=0)
    return cells[:end]


def _equation(equation: Equation) -> Markup:
    """As MathML."""
    return Markup(convert(equation.latex, display="block"))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("mixlens.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["words"] = words
    return environment
