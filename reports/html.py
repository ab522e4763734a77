"""A report as one self-contained HTML file. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import fields
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup

from ..analysis.presentation.numbers import change
from ..analysis.presentation.parts import Equation
from ..analysis.presentation.svg import svg
from ..analysis.store.results import table
from . import claims, power
from .content import Content
from .facts import scale


def render_html(content: Content) -> str:
    """The page: no address in it leads anywhere but into it."""
    template = _environment().get_template("report.html.j2")
    shown = [*(field.name for field in fields(content)), "settings", "started", "duration", "failed", "counts"]
    return template.render(
        **{name: getattr(content, name) for name in shown},
        captions={"front": content.front.caption, "claims": claims.CAPTION},
        figures={plot.name: plot.title for plot in content.plots},
        change=change,
        chance=power.in_words,
        groups=claims.by_verdict(content.claims),
        scale=lambda judged: scale(content.record, judged),
        drawn=lambda plot: Markup(svg(plot, content.drawn[plot.name])),
        equation=_equation,
        rows_json=_rows_json(content),
        script=Markup((files("mixlens.reports") / "templates" / "report.js").read_text(encoding="utf-8")),
    )


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
    return Environment(
        loader=PackageLoader("mixlens.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
