"""A report as a tagged PDF (PDF/UA-1), set by typst from the same tables and figures. Imports no torch."""

from __future__ import annotations

import json
import re
import tempfile
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import matplotlib as mpl
from matplotlib.ft2font import FT2Font

from ..analysis.errors import InputError
from ..analysis.presentation.names import visible
from ..analysis.presentation.numbers import change
from ..analysis.presentation.parts import Plot, Table
from . import claims, front, power
from .content import Content
from .facts import scale

FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"  # the figures' DejaVu Sans
HAT = "\u0302"  # of X̂, which is set well
FULL_WIDTH = 8.6  # inches of a figure as wide as the page
TEMPLATE = "report.typ"


class NoPDFError(InputError):
    """typst is missing, or could not set the document; the page does without it."""


def render_pdf(content: Content) -> bytes:
    """The document: the same bytes for the same content.

    Raises:
        NoPDFError: typst is not installed, or refuses.
    """
    try:
        import typst
    except ImportError as error:
        raise NoPDFError(f"no PDF without typst ({error}): pip install typst.") from error
    try:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            (root / TEMPLATE).write_bytes((files("mixlens.reports") / "templates" / TEMPLATE).read_bytes())
            (root / "data.json").write_text(json.dumps(_printed(_data(content)), ensure_ascii=False), encoding="utf-8")
            (root / "figures").mkdir()
            for plot in content.plots:
                (root / "figures" / f"{plot.name}.svg").write_text(_drawn(content.drawn[plot.name]), encoding="utf-8")
            made = typst.compile(
                root / TEMPLATE,
                root=root,
                font_paths=[FONTS],
                ignore_system_fonts=True,
                pdf_standards=["ua-1"],
                timestamp=0,
            )
    except RuntimeError as error:
        raise NoPDFError(f"typst could not set the report: {error}") from error
    except OSError as error:  # such as a full disk
        raise NoPDFError(f"no PDF: {error.filename or tempfile.gettempdir()}: {error.strerror}.") from error
    assert isinstance(made, bytes)
    return made


def _printed(value: Any) -> Any:
    """All texts so that they can be printed: no letter without a glyph, no word that no line can hold."""
    if isinstance(value, dict):
        return {key: _printed(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_printed(item) for item in value]
    if not isinstance(value, str):
        return value
    text = _with_glyphs("\n".join(map(visible, value.split("\n"))))
    return re.sub(r"\S{40,}", lambda word: re.sub(r"\S{8}", "\\g<0>\u200b", word[0]), text)  # where it may break


def _drawn(svg: str) -> str:
    """A figure, with marks and joiners as their code points: typst sets those of an SVG as PDF/UA does not allow."""
    apart = (c if c == HAT or category(c) not in ("Mn", "Me", "Cf") else _code(c) for c in normalize("NFC", svg))
    return _with_glyphs("".join(apart))


def _with_glyphs(text: str) -> str:
    """Letters that the font lacks, such as emoji, as their code points."""
    return "".join(c if c == "\n" or ord(c) in _glyphs() else _code(c) for c in text)


def _code(letter: str) -> str:
    return f"U+{ord(letter):04X}"


@cache
def _glyphs() -> frozenset[int]:
    return frozenset(FT2Font(str(FONTS / "DejaVuSans.ttf")).get_charmap())


def _data(content: Content) -> dict[str, Any]:
    record, counts = content.record, content.counts
    return {
        "title": content.title,
        "name": f"{record.name}: a mixlens report",
        "warning": content.warning,
        "facts": [list(fact) for fact in content.facts],
        "warnings": [f"{task.label}: {task.state} {task.reason}".rstrip() for task in content.failed]
        + [f"No installed package has the section {name}: its tables are not here." for name in content.missing],
        "front": _front(content) if content.front.columns else None,
        "sentences": content.front.sentences,
        "forest": _plot(content.forest) if content.forest else None,
        "claims": _claims(content) if content.claims else None,
        "untried": [judged.claim.text for judged in content.claims if judged.verdict == "not run"],
        "sections": [
            {
                "name": section.name,
                "question": section.about.question,
                "text": [
                    part if isinstance(part, str) else {"words": part.words, "typst": part.typst}
                    for part in section.about.text
                ],
                "caveats": list(section.about.caveats),
                "commands": list(section.commands),
                "tables": [_table(table) for table in section.tables],
                "plots": [_plot(plot) for plot in section.plots],
            }
            for section in content.sections
        ],
        "run": f"Study {record.name}, started {content.started}; {content.duration} of computing in "
        f"{counts['done']} finished tasks ({counts['failed']} failed, {counts['skipped']} skipped), added up over "
        "workers. All rows are in rows.csv.",
        "appendix": [_table(table) | {"left": True} for table in content.appendix],
        "command": record.command,
        "settings": content.settings,
    }


def _table(table: Table) -> dict[str, Any]:
    return {"title": table.title, "caption": table.caption, "header": list(table.header), "rows": list(table.rows)}


def _plot(plot: Plot) -> dict[str, Any]:
    width = min(100.0, 100 * plot.figure.get_figwidth() / FULL_WIDTH)  # no larger than drawn
    return {"name": plot.name, "title": plot.title, "caption": plot.caption, "alt": plot.alt, "width": width}


def _front(content: Content) -> dict[str, Any]:
    page = content.front
    rows = [[name, *(_cell(column.cells[place]) for column in page.columns)] for place, name in enumerate(page.names)]
    return {
        "title": "Summary",
        "caption": page.caption,
        "header": ["Augmentation", *(f"{column.question}\n{column.quantity}" for column in page.columns)],
        "rows": rows,
    }


def _cell(cell: front.Cell) -> str:
    return (cell.value or "not measured") + (f"\n{change(cell.change)}" if cell.change else "")


def _claims(content: Content) -> dict[str, Any]:
    drawn = {plot.name for plot in content.plots}
    return {
        "title": "Claims",
        "caption": claims.CAPTION,
        "header": ["Claim", "Where", "Here", "Evidence"],
        "rows": [
            [
                judged.claim.text,
                f"{judged.claim.source}\nhere: {scale(content.record, judged)}",
                "\n".join(filter(None, (judged.verdict, power.in_words(judged)))),
                {
                    "text": "\n".join(filter(None, (*(one.line for one in judged.evidence), judged.note))),
                    "figure": judged.figure if judged.figure in drawn else "",
                },
            ]
            for group in claims.by_verdict(content.claims).values()
            for judged in group
        ],
        "left": True,
        "widths": [2, 1.2, 0.8, 4],
    }
