"""A figure as a paper prints it: as wide as a column or a page, its letters between 7 and 9 points."""

from __future__ import annotations

from itertools import pairwise
from textwrap import fill
from typing import Literal
from warnings import catch_warnings, filterwarnings

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from .figures import LETTERS, add_legend, drawing, name_columns

Width = Literal["column", "page"]
WIDTHS: dict[Width, float] = {"column": 3.3, "page": 6.8}  # inches
SMALLEST, LARGEST = 7.0, 9.0  # points
SHRINK = 0.85  # of letters and panels' heights, from the report's figures to a paper's
NARROWEST = 1.0  # inches of a panel's axes; where more would stand in a line, fewer do
EDGE = 0.02  # inches around everything
LINE = 0.13  # inches of a line of letters
ROOM = 0.75  # of a figure's height, of the pictures in it


def fit(figure: Figure, width: Width) -> Bbox:
    """Lay a figure out anew at a width, and give what of it to save, in inches: as wide to the point, nothing cut off.

    Panels that would become too narrow are set below each other.
    """
    target, canvas = WIDTHS[width], FigureCanvasAgg(figure)
    _shrink_letters(figure)
    with catch_warnings():
        filterwarnings("ignore", "constrained_layout not applied")  # in a try with too many panels in a line
        if figure.get_layout_engine() is None:  # a grid of pictures
            drawn = _scale(figure, canvas, target)
        else:
            _set_panels(figure, canvas, target)
            drawn = figure.get_tightbbox(canvas.get_renderer())
    left = min(drawn.x0 - EDGE, (drawn.x0 + drawn.x1 - target) / 2)
    return Bbox.from_extents(left, drawn.y0 - EDGE, max(left + target, drawn.x1 + EDGE), drawn.y1 + EDGE)


def _shrink_letters(figure: Figure) -> None:
    figure.canvas.draw()  # ticks have their labels then
    for axis in figure.axes:
        for one in (axis.xaxis, axis.yaxis):
            if labels := one.get_ticklabels():
                one.set_tick_params(labelsize=_size(labels[0]))
    told = {id(label) for axis in figure.axes for label in (*axis.get_xticklabels(), *axis.get_yticklabels())}
    for text in figure.findobj(Text):
        if id(text) not in told:
            text.set_fontsize(_size(text))


def _size(text: Text) -> float:
    return min(LARGEST, max(SMALLEST, SHRINK * float(text.get_fontsize())))


def _resize(figure: Figure, factor: float) -> None:
    figure.set_size_inches(figure.get_figwidth() * factor, figure.get_figheight() * factor)


def _scale(figure: Figure, canvas: FigureCanvasAgg, target: float) -> Bbox:
    """Pictures and the names beside them, which keep their size, together as wide as asked, if they are not less."""
    _resize(figure, min(1.0, target / figure.get_figwidth()))
    rows = [axis.get_ylabel().count("\n") + 1 for axis in figure.axes if axis.get_ylabel()]
    lowest = len(rows) * max(rows, default=0) * LINE / ROOM  # names of two lines need more room than small pictures
    for _ in range(8):
        figure.set_figheight(max(lowest, figure.get_figheight()))
        canvas.draw()
        beside = figure.get_tightbbox(canvas.get_renderer()).width - figure.get_figwidth()
        if figure.get_figwidth() + beside + 2 * EDGE <= target:
            break
        _resize(figure, (target - 2 * EDGE - beside) / figure.get_figwidth())
    columns = {axis: axis.get_title() or axis.get_title("left") for axis in figure.axes}
    titled = [axis for axis, title in columns.items() if title]
    if titled:
        name_columns(figure, titled, [columns[axis].replace("\n", " ") for axis in titled], SMALLEST)
    canvas.draw()
    return figure.get_tightbbox(canvas.get_renderer())


def _set_panels(figure: Figure, canvas: FigureCanvasAgg, target: float) -> None:
    panels = [axis for axis in figure.axes if axis.get_visible()]
    specs = [axis.get_subplotspec() for axis in panels]
    grids = {id(spec.get_gridspec()): spec.get_gridspec() for spec in specs if spec is not None}
    before = next(iter(grids.values()))
    height, words = SHRINK * figure.get_figheight(), [(_title(axis).get_text(), axis.get_xlabel()) for axis in panels]
    height -= _legends(figure, canvas)
    movable = len(grids) == 1 and None not in specs
    _set_legends(figure, target)
    for across in range(before.ncols, 0, -1) if movable else [before.ncols]:
        lines = -(-len(panels) // across) if movable else before.nrows
        if across < before.ncols:
            _regrid(figure, panels, lines, across)
        figure.set_size_inches(target, height * lines / before.nrows + _legends(figure, canvas))
        _break_words(panels, words, 0.8 * target / across)
        canvas.draw()
        _break_words(panels, words, None)
        canvas.draw()
        if min(axis.get_window_extent().width / figure.dpi for axis in panels) >= NARROWEST:
            break
    for axis in panels:
        _thin(axis.xaxis, canvas)
    canvas.draw()


def _title(axis: Axes) -> Text:
    said = axis.get_title("left") or axis.get_title()
    return next(text for text in axis.get_children() if isinstance(text, Text) and text.get_text() == said)


def _break_words(panels: list[Axes], words: list[tuple[str, str]], room: float | None) -> None:
    """Titles and names of axes in lines as wide as their panel, or as so many inches."""
    for axis, texts in zip(panels, words, strict=True):
        inches = room or axis.get_window_extent().width / axis.figure.dpi
        for text, said in zip((_title(axis), axis.xaxis.label), texts, strict=True):
            letters = max(8, int(72 * inches / (0.55 * float(text.get_fontsize()))))
            text.set_text("\n".join(fill(line, letters, break_long_words=False) for line in said.split("\n")))


def _set_legends(figure: Figure, target: float) -> None:
    """Those above all panels, with as many columns as there is room for now."""
    for legend in list(figure.legends):
        handles, names = list(legend.legend_handles), [text.get_text() for text in legend.get_texts()]
        legend.remove()
        with drawing():
            add_legend(figure, handles, names, LETTERS / SHRINK * target)
        for text in figure.legends[-1].get_texts():
            text.set_fontsize(SHRINK * LARGEST)


def _legends(figure: Figure, canvas: FigureCanvasAgg) -> float:
    """Inches that the legends above all panels take."""
    heights = [legend.get_window_extent(canvas.get_renderer()).height for legend in figure.legends]
    return sum(heights) / figure.dpi


def _regrid(figure: Figure, panels: list[Axes], lines: int, across: int) -> None:
    """The same panels in fewer columns: the first of a line names what is at its left, each what is below it."""
    grid = GridSpec(lines, across, figure=figure)
    for place, axis in enumerate(panels):
        axis.set_subplotspec(grid[place // across, place % across])
        axis.tick_params(labelbottom=True)
        if place % across == 0:
            axis.tick_params(labelleft=True)
            if not axis.get_ylabel():
                axis.set_ylabel(panels[0].get_ylabel(), fontsize=panels[0].yaxis.label.get_fontsize())


def _thin(axis: Axis, canvas: FigureCanvasAgg) -> None:
    """Numbers that run into each other: every second one, from the first; words are slanted."""
    for _ in range(3):
        low, high = sorted(axis.get_view_interval())
        both = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
        shown = [(at, text) for at, text in both if low <= at <= high and text.get_text()]
        if any(text.get_rotation() for _, text in shown):
            return
        boxes = [text.get_window_extent(canvas.get_renderer()) for _, text in shown]
        if all(one.x1 + 2 < other.x0 for one, other in pairwise(boxes)):
            return
        if any(letter.isalpha() for _, text in shown for letter in text.get_text()):
            for _, text in shown:
                text.set(rotation=30, ha="right", rotation_mode="anchor")
            return
        axis.set_ticks([at for at, _ in shown[::2]], [text.get_text() for _, text in shown[::2]])
        canvas.draw()
