"""How results look: one colour and one name per augmentation, one way to write a number, one matplotlib style.

Imports no torch. Figures are drawn in two placeholder inks that the HTML report replaces by the page's own colours, so
that one SVG serves light and dark.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from textwrap import fill
from typing import Any
from warnings import catch_warnings, filterwarnings

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, FAINT = "#1b1f25", "#8a919b"  # text and lines; grids and what stands back
# Okabe and Ito (2008): told apart by colour-blind readers, on white and on black.
_PALETTE = {
    "baseline": "#7f8790",
    "mixup": "#e69f00",
    "cutmix": "#56b4e9",
    "fmix": "#009e73",
    "fmix-official": "#cc79a7",
    "fmix+mixup": "#d55e00",
    "cutmix+mixup": "#0072b2",
    "fmix+cutmix": "#b5a900",
}
_OTHERS = ("#9b6dd7", "#5f9e3a", "#c0504d", "#3aa6a0", "#a0642d", "#6f7bd0")  # none of the above
_UNSEEN = "[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
LONGEST = 44  # letters of a name in a figure; tables and rows have them all
_NAMES = {
    "baseline": "Baseline",
    "mixup": "MixUp",
    "cutmix": "CutMix",
    "fmix": "FMix",
    "fmix-official": "FMix (official code)",
    "fmix+mixup": "FMix + MixUp",
    "cutmix+mixup": "CutMix + MixUp",
    "fmix+cutmix": "FMix + CutMix",
}


@dataclass(frozen=True)
class Plot:
    """A figure with the words that go with it."""

    name: str  # for file names and links
    title: str
    caption: str
    alt: str  # what a reader who cannot see it needs to know
    figure: Figure


@dataclass(frozen=True)
class Table:
    """A table as text: a header row, body rows whose first cell is their header, and a caption."""

    name: str
    title: str
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Equation:
    """A displayed equation: LaTeX for the page, typst's notation for the PDF, and in words for who cannot see it."""

    words: str
    latex: str
    typst: str


@dataclass(frozen=True)
class About:
    """What a report says of a section before its tables, in plain text."""

    question: str
    text: tuple[str | Equation, ...]  # paragraphs
    caveats: tuple[str, ...] = ()  # what its numbers do not say


def label(augmentation: str) -> str:
    """The name people know: ``fmix`` → FMix. A user's own augmentation keeps the name it was given.

    Letters that cannot be seen, or turn the text around them, are written as their escapes.
    """
    name = visible(augmentation)
    cut = name.rfind(" [") if name.endswith("]") else len(name)  # before the study it is of
    head, _, rest = name[:cut].partition("(")
    return _NAMES.get(head, head) + (f" ({rest}" if rest else "") + name[cut:]


def visible(text: str) -> str:
    """Line breaks, control characters and changes of direction as their escapes."""
    return re.sub(_UNSEEN, lambda found: found[0].encode("unicode_escape").decode(), text)


def short(name: str, line: int = LONGEST) -> str:
    """A name as a figure has room for it: the middle left out beyond `LONGEST` letters, in lines of so many."""
    half = (LONGEST - 1) // 2
    return fill(name if len(name) <= LONGEST else f"{name[:half]}…{name[-half:]}", line)


def name_lines(figure: Figure, axis: Axes) -> None:
    """A legend of the axis above all panels, of as many columns as its names leave room for."""
    handles, names = axis.get_legend_handles_labels()
    names = [short(name) for name in names]
    letters = 14 * figure.get_figwidth()  # at 9 pt; a line's sample takes the room of five
    columns = int(letters / max((len(name) + 5 for name in names), default=letters))
    figure.legend(handles, names, loc="outside upper center", ncols=min(max(columns, 1), 6))


def colours(augmentations: list[str]) -> dict[str, str]:
    """A colour for each; known augmentations always have the same, others follow in order."""
    rest = iter(_OTHERS * (len(augmentations) // len(_OTHERS) + 1))
    return {name: _PALETTE.get(name) or next(rest) for name in augmentations}


def number(value: float, spread: float | None = None, decimals: int | None = None) -> str:
    """``value ± spread`` with two significant digits of the spread, or as many ``decimals`` as a source printed.

    Without a spread, four significant digits.
    """
    if not math.isfinite(value):
        return "∞" if value == math.inf else "−∞" if value == -math.inf else "not a number"
    if spread is None or not math.isfinite(spread):
        return _signed(f"{value:.4g}")
    spread = _without_rounding(spread, value)
    if decimals is None:
        decimals = max(0, 1 - math.floor(math.log10(spread))) if spread > 0 else 4
    return f"{_signed(f'{value:.{decimals}f}')} ± {spread:.{decimals}f}"


def interval(value: float, low: float, high: float) -> str:
    """A difference with its interval, all with their sign: ``+1.2 [+0.5, +1.9]``; digits by the interval's width."""
    half = _without_rounding((high - low) / 2, value)
    digits = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 2
    shown = [_signed(f"{number:+.{digits}f}") for number in (value, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def duration(seconds: float) -> str:
    """``3 h 07 min``, ``12 min 05 s`` or ``4 s``."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def _without_rounding(spread: float, value: float) -> float:
    """Zero for a spread that is nothing but the last digits of equal numbers."""
    return 0.0 if spread < 1e-12 * abs(value) else spread


def _signed(text: str) -> str:
    return text.replace("-", "−") if float(text) else text.replace("-", "")  # no minus zero


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib's settings for every figure of ours."""
    settings: dict[Any, Any] = {
        "axes.edgecolor": FAINT,
        "axes.facecolor": "none",
        "axes.grid": False,
        "axes.labelcolor": INK,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlesize": 10,
        "axes.titlelocation": "left",
        "figure.facecolor": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
        "font.size": 9,
        "grid.color": FAINT,
        "grid.alpha": 0.3,
        "legend.frameon": False,
        "savefig.facecolor": "none",
        "svg.fonttype": "none",  # text stays text
        "text.color": INK,
        "text.parse_math": False,  # a name may hold a dollar sign
        "xtick.color": INK,
        "ytick.color": INK,
    }
    with mpl.rc_context(settings):
        yield


def picture_grid(strips: Sequence[tuple[str, np.ndarray]]) -> Figure:
    """Rows of small pictures, each named at its left: arrays (N, H, W) in [0, 1] or (N, H, W, 1 or 3) uint8."""
    for name, pictures in strips:
        if pictures.ndim not in (3, 4):
            raise ValueError(f"{name}: {pictures.shape} are no pictures (N, H, W) or (N, H, W, channels)")
    columns = len(strips[0][1])
    with drawing():
        figure = Figure(figsize=(0.72 * columns + 1.6, 0.74 * len(strips)))
        axes = figure.subplots(len(strips), columns, squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
        for row, (name, pictures) in zip(axes, strips, strict=True):
            for axis, picture in zip(row, pictures, strict=True):
                axis.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.ndim == 2 else 255, interpolation="nearest")
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set(visible=True, color=FAINT, linewidth=0.5)
            row[0].set_ylabel(short(name, line=24), rotation=0, ha="right", va="center")
    return figure


def plain_svg(plot: Plot) -> str:
    """A figure as an SVG file of its own: the same bytes for the same figure."""
    return figure_file(plot, "svg").decode()


def figure_file(plot: Plot, suffix: str, **options: Any) -> bytes:
    """A figure as svg, pdf or png: text stays text, and no date is in it. ``options`` are matplotlib's."""
    metadata = {"svg": {"Date": None, "Creator": None}, "pdf": {"CreationDate": None}, "png": {}}[suffix]
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": plot.name, "svg.fonttype": "none", "pdf.fonttype": 42}), catch_warnings():
        filterwarnings("ignore", "Glyph")  # a letter that the font lacks, such as an emoji, is a box
        plot.figure.savefig(buffer, format=suffix, metadata=metadata, bbox_inches="tight", **options)
    return buffer.getvalue()


def svg(plot: Plot) -> str:
    """A figure as an SVG element for a page: the page's colours, ids of its own, a title and a description."""
    text = plain_svg(plot)
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
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
