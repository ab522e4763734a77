"""Figures at a paper's widths: as wide as asked, letters of 7 to 9 points, nothing beyond the edge or in the way."""

import io
import re
import zlib
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from mixlens.analysis.presentation.figures import drawing, name_lines, picture_grid
from mixlens.analysis.presentation.paper import LARGEST, SMALLEST, WIDTHS, fit
from mixlens.analysis.presentation.parts import Plot
from mixlens.analysis.presentation.svg import figure_file


def panels():
    """Five panels in two lines of three, with long titles, many ticks and a legend."""
    with drawing():
        figure = Figure(figsize=(8.6, 5.0), layout="constrained")
        axes = figure.subplots(2, 3, sharey=True)
        axes.flat[5].set_visible(False)
        for axis in axes.flat[:5]:
            for name in ("Baseline", "FMix (official code) (mode='batch')", "CutMix + MixUp"):
                axis.plot([0, 1], [0, 1], label=name)
            axis.set_title("Upper bound on information, mixture-marginal rate (nats)")
            axis.set_xlabel("difference to the baseline in nats")
            axis.set_xticks(np.arange(0, 1.01, 0.1))
        axes[0, 0].set_ylabel("accuracy")
        name_lines(figure, axes[0, 0])
    return figure


def pictures():
    rng = np.random.default_rng(0)
    names = ["Test image", "Baseline", *(f"FMix (official code) (mode='{letter}')" for letter in "abcd")]
    return picture_grid([(name, rng.random((6, 8, 8))) for name in names])


both = pytest.mark.parametrize(
    ("make", "width"),
    [
        (panels, "column"),
        (pictures, "page"),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ((panels, "page"), (pictures, "column"))),
    ],
)


@pytest.fixture(scope="module")
def fitted():
    """A figure laid out at a width and what of it to save, once for all tests."""

    @cache
    def run(make, width):
        figure = make()
        return figure, fit(figure, width)

    return run


@both
def test_it_is_as_wide_as_asked_and_nothing_is_cut_off(fitted, make, width):
    figure, box = fitted(make, width)
    assert box.width == pytest.approx(WIDTHS[width], abs=0.02)
    drawn = figure.get_tightbbox(FigureCanvasAgg(figure).get_renderer())
    assert box.x0 <= drawn.x0 < drawn.x1 <= box.x1
    assert box.y0 <= drawn.y0 < drawn.y1 <= box.y1


@both
def test_its_letters_are_those_of_a_paper(fitted, make, width):
    figure, _ = fitted(make, width)
    sizes = {text.get_fontsize() for text in figure.findobj(Text) if text.get_text() and text.get_visible()}
    assert min(sizes) >= SMALLEST
    assert max(sizes) <= LARGEST


@pytest.mark.parametrize("width", WIDTHS)
def test_no_words_run_into_each_other(fitted, width):
    figure, _ = fitted(panels, width)
    renderer = FigureCanvasAgg(figure).get_renderer()
    axes = [axis for axis in figure.axes if axis.get_visible()]
    for axis in axes:
        labels = [text.get_window_extent(renderer) for text in axis.get_xticklabels() if text.get_text()]
        assert len(labels) > 1
        assert all(one.x1 < other.x0 for one, other in pairwise(labels))
    for texts in ([axis._left_title for axis in axes], [axis.xaxis.label for axis in axes]):
        boxes = [text.get_window_extent(renderer) for text in texts]
        assert not any(one.overlaps(other) for place, one in enumerate(boxes) for other in boxes[:place])


def test_rows_names_of_two_lines_do_not_run_into_each_other(fitted):
    figure, _ = fitted(pictures, "column")
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [axis.yaxis.label.get_window_extent(renderer) for axis in figure.axes if axis.get_ylabel()]
    assert all(upper.y0 >= lower.y1 - 1 for upper, lower in pairwise(boxes))


def test_the_pdf_has_its_fonts_in_it_and_its_text_is_text(fitted):
    figure, box = fitted(panels, "column")
    made = figure_file(Plot("x", "x", "x", "x", figure), "pdf", bbox_inches=box)
    read = b"".join([made, *map(inflated, re.findall(rb"stream\r?\n(.*?)\r?\nendstream", made, re.DOTALL))])
    assert b"/FontFile2" in read
    assert b"/Type3" not in read
    assert re.search(rb"/MediaBox \[ ?0 0 237\.[56]", made)


def inflated(stream):
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_a_png_has_its_dots(fitted):
    figure, box = fitted(panels, "page")
    made = figure_file(Plot("x", "x", "x", "x", figure), "png", dpi=300, bbox_inches=box)
    assert Image.open(io.BytesIO(made)).width == pytest.approx(6.8 * 300, abs=6)
