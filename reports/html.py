"""A report as one self-contained HTML file. Imports no torch."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..analysis.style import Plot, label, svg
from .claims import MARGIN
from .content import Content


def render_html(content: Content) -> str:
    """The page: no address in it leads anywhere but into it."""
    template = _environment().get_template("report.html.j2")
    made = {name: getattr(content, name) for name in ("settings", "duration", "failed", "counts")}
    return template.render(**vars(content), **made, label=label, margin=MARGIN, drawn=_drawn)


def _drawn(plot: Plot) -> Markup:
    return Markup(svg(plot))


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("mixlens.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
