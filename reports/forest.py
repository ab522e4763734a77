"""The picture of a report's first page: every difference to the baseline with its interval. Imports no torch."""

from __future__ import annotations

from textwrap import fill

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis.presentation.figures import FAINT, drawing
from ..analysis.presentation.lines import bound
from ..analysis.presentation.names import colours, short
from ..analysis.presentation.parts import Plot
from .front import Column, Front

NAME = "summary-forest"
WIDTH = 8.6  # inches
PANELS, MOST = 3, 4  # a line, and where all stand in one
LETTERS = 15  # of a title in an inch


def forest_plot(front: Front) -> Plot | None:
    """One panel a question, one line an arm: the difference and its 95% interval, the paper's as a hollow mark.

    None where nothing is compared with a baseline.
    """
    columns = [column for column in front.columns if any(cell.change is not None for cell in column.cells)]
    if not columns:
        return None
    compared = [
        place for place in range(len(front.arms)) if any(column.cells[place].change is not None for column in columns)
    ]
    across = len(columns) if len(columns) <= MOST else PANELS
    lines = -(-len(columns) // across)
    with drawing():
        names = [short(front.names[place], line=28) for place in compared]
        line = 0.31 if any("\n" in name for name in names) else 0.26  # inches
        figure = Figure(figsize=(WIDTH, lines * (line * len(compared) + 0.95)), layout="constrained")
        axes = figure.subplots(lines, across, squeeze=False, sharey=True)
        for axis in axes.flat[len(columns) :]:
            axis.set_visible(False)
        palette = colours(front.arms)
        for axis, column in zip(axes.flat, columns, strict=False):
            axis.axvline(0, color=FAINT, lw=1)
            for y, place in enumerate(compared):
                _draw(axis, column, place, y, palette[front.arms[place]])
            quantity = fill(bound(column.quantity), int(LETTERS * (WIDTH - 1.3) / across))
            axis.set_title(f"{column.question}\n{quantity}", fontsize=8)
            axis.xaxis.set_major_locator(MaxNLocator(4))
            axis.set_xlabel(f"difference{f' ({column.unit})' if column.unit else ''}", fontsize=8)
            axis.grid(axis="x")
        for row in axes:
            row[0].set_yticks(range(len(compared)), names, fontsize=8)
            row[0].set_ylim(len(compared) - 0.5, -0.6)
    printed = any(value is not None for column in columns for value in column.printed)
    return Plot(
        NAME,
        "Every difference to the baseline",
        f"Dots: mean difference on the same seeds and images; bars: 95% intervals over "
        f"{'images alone' if front.over_images else 'both'}, each by itself; filled where the difference stands after "
        "Holm’s correction for all that are shown."
        + (" Diamonds: the paper’s differences, of its networks and schedules." if printed else ""),
        f"A forest plot with a panel for each of {', '.join(column.question for column in columns)}, and a line for "
        f"each of {', '.join(front.names[place] for place in compared)}; the numbers are those of the table below.",
        figure,
    )


def _draw(axis: Axes, column: Column, place: int, y: int, colour: str) -> None:
    change, printed = column.cells[place].change, column.printed[place]
    if printed is not None:
        axis.plot(printed, y - 0.22, "D", color=FAINT, mfc="none", ms=4)
    if change is None:
        return
    if change.low is not None and change.high is not None:
        axis.plot([change.low, change.high], [y, y], color=colour, lw=1.6)
    face = colour if change.direction else "none"
    axis.plot(change.value, y, "o", color=colour, mfc=face, ms=5)
