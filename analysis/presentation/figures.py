"""One matplotlib style for every figure.

Figures are drawn in two placeholder inks that the HTML report replaces by the page's own colours, so that one SVG
serves light and dark.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .names import short

INK, FAINT = "#1b1f25", "#8a919b"  # text and lines; grids and what stands back


def name_lines(figure: Figure, axis: Axes) -> None:
    """A legend of the axis above all panels, of as many columns as its names leave room for."""
    handles, names = axis.get_legend_handles_labels()
    names = [short(name) for name in names]
    letters = 14 * figure.get_figwidth()  # at 9 pt; a line's sample takes the room of five
    columns = int(letters / max((len(name) + 5 for name in names), default=letters))
    figure.legend(handles, names, loc="outside upper center", ncols=min(max(columns, 1), 6))


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
