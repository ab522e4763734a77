"""One matplotlib style for every figure.

Figures are drawn in two placeholder inks that the HTML report replaces by the page's own colours, so that one SVG
serves light and dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from .names import LONGEST, short

INK, FAINT = "#1b1f25", "#8a919b"  # text and lines; grids and what stands back


LETTERS = 14  # of a name in an inch, at 9 pt
MULTIPLES = ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), tuple(np.arange(1, 10, 0.1).round(1)))
SMALL = 8  # points, of the names of a grid's columns


def name_lines(figure: Figure, axis: Axes) -> None:
    """A legend of the axis above all panels, of as many columns as its names leave room for."""
    handles, names = axis.get_legend_handles_labels()
    add_legend(figure, handles, [short(name) for name in names], LETTERS * figure.get_figwidth())


def add_legend(figure: Figure, handles: Sequence[Any], names: Sequence[str], letters: float) -> None:
    """A legend above all panels, which are so many letters wide."""
    columns = int(letters / max((len(name) + 5 for name in names), default=letters))  # a sample takes the room of five
    figure.legend(handles, names, loc="outside upper center", ncols=min(max(columns, 1), 6))


def over_epochs(axis: Axes, epochs: ArrayLike, values: ArrayLike, **style: Any) -> None:
    """A line over epochs, which are whole numbers; a mark where there is but one."""
    each = np.asarray(epochs)
    alone = len(each) == 1
    axis.plot(each, values, **{"lw": 1.1, "marker": "o" if alone else "", "ms": 4} | style)
    axis.set_xlabel("epoch")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6, min_n_ticks=1))
    if alone:
        axis.set_xlim(each[0] - 0.5, each[0] + 0.5)


def log_ticks(low: float, high: float, least: int = 3) -> list[float]:
    """Few round numbers from low to high, powers of ten if there are enough of them."""
    found: list[float] = []
    for multiples in MULTIPLES:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        found = [float(f"{one * 10.0**k:.3g}") for k in decades for one in multiples]
        found = [tick for tick in found if low <= tick <= high]
        if len(found) >= least:
            break
    return found[:: max(1, -(-len(found) // 8))]


def log_axis(axis: Axes, which: Literal["x", "y"]) -> None:
    """Make an axis logarithmic, once everything is drawn: plain numbers at its ticks, two or more."""
    one = axis.xaxis if which == "x" else axis.yaxis
    (axis.set_xscale if which == "x" else axis.set_yscale)("log")
    low, high = sorted(one.get_view_interval())
    while len(ticks := log_ticks(low, high)) < 2:
        low, high = low / 1.1, high * 1.1
    one.set_view_interval(low, high, ignore=True)
    one.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def name_columns(figure: Figure, axes: Sequence[Axes], names: Sequence[str], size: float = SMALL) -> None:
    """Names above the columns of a grid: broken between words, or slanted where a word is wider than its column."""
    room = 72 * figure.get_figwidth() * axes[0].get_position().width  # points
    broken = [
        fill(short(name, LONGEST), max(4, int(room / text_width("n", size))), break_long_words=False) for name in names
    ]
    slanted = any(text_width(line, size) > room for name in broken for line in name.split("\n"))
    for axis, name, lines in zip(axes, names, broken, strict=True):
        for place in ("left", "center"):  # of an earlier width
            axis.set_title("", loc=place)
        style: dict[str, Any] = {"fontsize": size, "color": INK, "loc": "left" if slanted else "center"}
        title = axis.set_title(short(name, LONGEST) if slanted else lines, **style)
        if slanted:
            title.set(rotation=35, rotation_mode="anchor")


def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """In points."""
    font = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text, size=size, prop=font).get_extents().width) if text.strip() else 0.0


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
    with mpl.rc_context():
        mpl.rcdefaults()  # a matplotlibrc, or what a user's code has set, is no part of a report
        mpl.rcParams.update(settings)
        yield


def picture_grid(strips: Sequence[tuple[str, np.ndarray]], names: Sequence[str] = ()) -> Figure:
    """Rows of small pictures, each named at its left: arrays (N, H, W) in [0, 1] or (N, H, W, 1, 3 or 4) uint8.

    ``names`` of the columns stand above them; of four channels the last says how much of a picture covers the page.
    """
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
        if names:
            name_columns(figure, axes[0], names)
    return figure
