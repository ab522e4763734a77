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
from ..analysis.presentation.columns import columns
from ..analysis.presentation.lines import bound, pieces
from ..analysis.presentation.names import visible
from ..analysis.presentation.parts import Plot, Table
from . import claims, power
from .content import Content
from .facts import scale
from .front import front_table

FONTS = Path(mpl.get_data_path()) / "fonts" / "ttf"  # the figures' DejaVu Sans
HAT = "\u0302"  # of X̂, which is set well
FULL_WIDTH = 8.6  # inches of a figure as wide as the page
TEMPLATE = "report.typ"
BREAK = "\u200b"
BOX = "\u25af"  # ▯
STUDY = "study-again"  # where the whole study's command stands


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
                text = _drawn(content.drawn[plot.name], quotes=plot.quotes)
                (root / "figures" / f"{plot.name}.svg").write_text(text, encoding="utf-8")
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
    text = _with_glyphs("\n".join(bound(visible(line)) for line in value.split("\n")))
    return re.sub(r"\S{40,}", lambda word: BREAK.join(map(_breakable, pieces(word[0]))), text)


def _breakable(part: str) -> str:
    """A part of a word that no line can hold, with breaks that nobody sees."""
    return re.sub(r"\S{8}", f"\\g<0>{BREAK}", part) if len(part) >= 40 else part


def _drawn(svg: str, *, quotes: bool) -> str:
    """A figure, with marks and joiners as their code points: typst sets those of an SVG as PDF/UA does not allow.

    In one that quotes there is no room for that: these are left out, and a letter that the font lacks is a box.
    """

    def apart(c: str) -> str:
        if c == HAT or category(c) not in ("Mn", "Me", "Cf"):
            return c
        return "" if quotes else _code(c)

    return _with_glyphs("".join(map(apart, normalize("NFC", svg))), BOX if quotes else "")


def _with_glyphs(text: str, box: str = "") -> str:
    """Letters that the font lacks, such as emoji, as their code points, or each as a box."""
    return "".join(c if c == "\n" or ord(c) in _glyphs() else box or _code(c) for c in text)


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
        "warnings": [*content.failures]
        + [f"No installed package has the section {name}: its tables are not here." for name in content.missing],
        "front": _table(front_table(content.front), STUDY) if content.front.columns else None,
        "sentences": content.front.sentences,
        "forest": _plot(content, content.forest, STUDY) if content.forest else None,
        "claims": _claims(content) if content.claims else None,
        "untried": [judged.claim.text for judged in content.claims if judged.verdict == "not run"],
        "sections": [
            {
                "again": f"{section.name}-again",
                "question": section.about.question,
                "text": [
                    part if isinstance(part, str) else {"words": part.words, "typst": part.typst}
                    for part in section.about.text
                ],
                "caveats": list(section.about.caveats),
                "commands": [_command(command) for command in section.commands],
                "tables": [_table(table, f"{section.name}-again") for table in section.tables],
                "plots": [_plot(content, plot, f"{section.name}-again") for plot in section.plots],
            }
            for section in content.sections
        ],
        "run": f"Study {record.name}, started {content.started}; {content.duration} of computing in "
        f"{counts['done']} finished tasks ({counts['failed']} failed, {counts['skipped']} skipped), added up over "
        "workers. All rows are in rows.csv.",
        "again": STUDY,
        "appendix": [_table(table, "") for table in content.appendix],
        "command": _command(record.command),
    }


def _command(command: str) -> list[list[str]]:
    """Words, each as the parts that stay whole."""
    return [[part for whole in pieces(word) for part in re.findall(r".{1,60}", whole)] for word in command.split()]


def _table(table: Table, again: str) -> dict[str, Any]:
    laid = columns(table.header, table.rows)
    return {
        "title": table.title,
        "caption": table.caption,
        "again": again,
        "header": list(table.header),
        "numeric": [one.numeric for one in laid],
        "rows": [[{"lines": one.cells[place], "figure": ""} for one in laid] for place in range(len(table.rows))],
    }


def _plot(content: Content, plot: Plot, again: str) -> dict[str, Any]:
    wide, high = (float(size) for size in re.findall(r' (?:width|height)="([\d.]+)pt"', content.drawn[plot.name])[:2])
    width = min(100.0, 100 * plot.figure.get_figwidth() / FULL_WIDTH)  # no larger than drawn
    words = {"title": plot.title, "caption": plot.caption, "alt": plot.alt}
    return words | {"name": plot.name, "again": again, "width": width, "aspect": high / wide}


def _claims(content: Content) -> dict[str, Any]:
    drawn = {plot.name for plot in content.plots}
    rows = []
    for judged in (each for group in claims.by_verdict(content.claims).values() for each in group):
        where = f"{judged.claim.source}\nhere: {scale(content.record, judged)}"
        verdict = "\n".join(filter(None, (judged.verdict, power.in_words(judged))))
        evidence = "\n".join(filter(None, (*(one.line for one in judged.evidence), judged.note)))
        figures = ["", "", "", judged.figure if judged.figure in drawn else ""]
        texts = (judged.claim.text, where, verdict, evidence)
        rows.append([{"lines": [[text]], "figure": name} for text, name in zip(texts, figures, strict=True)])
    return {
        "title": "Claims",
        "caption": claims.CAPTION,
        "again": STUDY,
        "header": ["Claim", "In the paper", "Here", "Evidence"],
        "numeric": [False] * 4,
        "rows": rows,
    }
