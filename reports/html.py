"""A report as one self-contained HTML file. Imports no torch."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from latex2mathml.converter import convert
from markupsafe import Markup

from ..analysis.store.results import COLUMNS
from ..analysis.style import Equation, Plot, label, svg
from . import claims, front
from .content import Content


def render_html(content: Content) -> str:
    """The page: no address in it leads anywhere but into it."""
    template = _environment().get_template("report.html.j2")
    made = {name: getattr(content, name) for name in ("settings", "started", "duration", "failed", "counts")}
    return template.render(
        **vars(content),
        **made,
        label=label,
        captions={"front": front.CAPTION, "claims": claims.CAPTION},
        figures={plot.name: plot.title for section in content.sections for plot in section.plots},
        drawn=_drawn,
        equation=_equation,
        rows_json=_rows_json(content),
        script=Markup((files("mixlens.reports") / "templates" / "report.js").read_text(encoding="utf-8")),
    )


def _rows_json(content: Content) -> Markup:
    """The rows for the page's own script: no text in it can end the element that holds it."""
    rows = [list(asdict(row).values()) for row in content.rows]
    text = json.dumps({"columns": list(COLUMNS), "rows": rows}, ensure_ascii=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c"))


def _drawn(plot: Plot) -> Markup:
    return Markup(svg(plot))


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
