"""A figure as a file, or as an element of a page."""

from __future__ import annotations

import io
import re
from html import escape
from typing import Any
from warnings import catch_warnings, filterwarnings

import matplotlib as mpl

from .figures import FAINT, INK
from .parts import Plot


def plain_svg(plot: Plot) -> str:
    """A figure as an SVG file of its own: the same bytes for the same figure."""
    return figure_file(plot, "svg").decode()


def figure_file(plot: Plot, suffix: str, **options: Any) -> bytes:
    """A figure as svg, pdf or png: text stays text, and no date is in it. ``options`` are matplotlib's."""
    metadata = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}, "png": {}}[suffix]
    buffer = io.BytesIO()
    with mpl.rc_context(), catch_warnings():
        mpl.rcdefaults()
        mpl.rcParams.update({"svg.hashsalt": plot.name, "svg.fonttype": "none", "pdf.fonttype": 42})
        filterwarnings("ignore", "Glyph")  # a letter that the font lacks, such as an emoji, is a box
        plot.figure.savefig(buffer, format=suffix, metadata=metadata, **{"bbox_inches": "tight"} | options)
    return buffer.getvalue()


def svg(plot: Plot, drawn: str) -> str:
    """A figure's `plain_svg` as an element of a page: the page's colours, its own ids, a title and a description."""
    text = re.sub(r"<metadata>.*?</metadata>", "", drawn[drawn.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r' id="image[^"]*"', "", text)  # the same picture twice has the same one; nothing leads to it
    text = re.sub(r'\bid="([^"]+)"', rf'id="{plot.name}-\1"', text)
    text = re.sub(r"url\(#([^)]+)\)", rf"url(#{plot.name}-\1)", text)
    text = re.sub(r'href="#([^"]+)"', rf'href="#{plot.name}-\1"', text)
    text = text.replace(INK, "currentColor").replace(FAINT, "var(--faint)")
    title, described = f"{plot.name}-title", f"{plot.name}-described"
    words = f'<title id="{title}">{escape(plot.title)}</title><desc id="{described}">{escape(plot.alt)}</desc>'
    opening, _, body = text.partition(">")
    width = re.search(r' width="([\d.]+)pt"', opening)
    assert width is not None  # matplotlib writes it
    size = f"{float(width[1]) / 12:.1f}rem"  # no larger than drawn, at the page's text size
    opening = re.sub(r' (?:width|height)="[^"]*pt"', "", opening)
    style = f'style="max-width: {size}; min-width: min(34rem, {size})"'
    return f'{opening} {style} role="img" aria-labelledby="{title} {described}">{words}{body}'
