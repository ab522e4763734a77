"""What all figures have in common: whole epochs, readable logarithmic axes, names of columns that do not collide."""

from itertools import pairwise

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mixlens.analysis.presentation.figures import (
    drawing,
    log_axis,
    log_ticks,
    name_columns,
    over_epochs,
    picture_grid,
    text_width,
)


@pytest.fixture
def axis():
    return Figure(figsize=(4, 3), layout="constrained").subplots()


@pytest.mark.parametrize("epochs", [1, 2, 3, 12, 200])
def test_epochs_are_whole_numbers(axis, epochs):
    over_epochs(axis, range(1, epochs + 1), np.linspace(2, 1, epochs))
    axis.figure.canvas.draw()
    ticks = axis.get_xticks()
    assert len(ticks)
    assert (ticks == ticks.round()).all()


def test_one_epoch_is_a_mark_and_more_are_a_line(axis):
    over_epochs(axis, [1], [0.5])
    over_epochs(axis, [1, 2], [0.5, 0.4])
    assert [line.get_marker() for line in axis.get_lines()] == ["o", ""]


@pytest.mark.parametrize(
    ("low", "high"), [(0.9, 1.1), (1.0, 1.02), (0.7, 5.5), (1e-6, 1), (0.011, 0.019), (3, 4e4), (2.0, 2.0)]
)
def test_a_logarithmic_axis_has_two_plain_numbers_or_more(axis, low, high):
    axis.plot([1, 2], [low, high])
    log_axis(axis, "y")
    axis.figure.canvas.draw()
    bottom, top = axis.get_ylim()
    shown = [(at, text.get_text()) for at, text in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)]
    inside = [text for at, text in shown if bottom <= at <= top]
    assert 2 <= len(inside) <= 8
    assert [float(text) for text in inside] == [at for at, _ in shown if bottom <= at <= top]
    assert bottom <= low
    assert top >= high


def test_ticks_are_powers_of_ten_where_these_are_enough():
    assert log_ticks(0.001, 1) == [0.001, 0.01, 0.1, 1]
    assert log_ticks(0.003, 0.05) == [0.003, 0.01, 0.03]


@pytest.mark.parametrize(
    "names",
    [
        ["image", "Baseline", "FMix + MixUp", "CutMix + MixUp", "FMix"],
        ["image", "CutMix (mode='batch-mask')", "FMix (official code) (mode='elem')", "own:module_of_mine", "x" * 80],
    ],
)
def test_names_above_a_grid_do_not_overlap(names):
    with drawing():
        figure = Figure(figsize=(1.15 * len(names), 2))
        axes = figure.subplots(1, len(names))
        name_columns(figure, axes, names)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    titles = [next(text for text in (axis.title, axis._left_title) if text.get_text()) for axis in axes]
    if titles[0].get_rotation():
        gaps = [other.get_position()[0] for other in titles]
        assert all(text.get_rotation() == 35 for text in titles)
        assert len(set(gaps)) == 1, "each at the left of its own column"
    else:
        boxes = [text.get_window_extent(canvas.get_renderer()) for text in titles]
        assert all(one.x1 <= other.x0 for one, other in pairwise(boxes))


def test_names_that_are_slanted_later_stand_once():
    """A grid that becomes narrower, as a paper's column is."""
    figure = Figure(figsize=(4, 1))
    axes = figure.subplots(1, 4)
    names = ["reconstructed", "d16", "first", "last"]
    name_columns(figure, axes, names)
    figure.set_figwidth(1)
    name_columns(figure, axes, names)
    assert [axis.get_title("left") for axis in axes] == names
    assert [axis.get_title("center") for axis in axes] == [""] * 4


def test_a_grid_names_its_columns_and_takes_pictures_that_are_clear_in_part():
    seen = np.zeros((2, 4, 4, 4), np.uint8)
    figure = picture_grid([("solids", seen), ("masks", np.ones((2, 4, 4)))], ["d1", "d3"])
    assert [axis.get_title() for axis in figure.axes] == ["d1", "d3", "", ""]
    assert figure.axes[0].images[0].get_array().shape == (4, 4, 4)


def test_bold_words_are_wider():
    assert text_width("words", 8, bold=True) > text_width("words", 8) == pytest.approx(text_width("words", 4) * 2)
    assert text_width(" ", 8) == 0
