"""Figures as files and as elements of a page: the same bytes, text that is text, ids of their own."""

import re
import xml.etree.ElementTree as ET

import pytest
from matplotlib.figure import Figure

from mixlens.analysis.presentation.figures import FAINT, INK, drawing
from mixlens.analysis.presentation.parts import Plot
from mixlens.analysis.presentation.svg import figure_file, plain_svg, svg


def plot(name="a-plot", title="A <title>"):
    with drawing():
        figure = Figure(figsize=(3, 2))
        axis = figure.subplots()
        axis.plot([0, 1], [0, 1], color=INK, clip_on=True)
        axis.set_title("words & $x^2$")
    return Plot(name, title, "A caption.", "A line & no more.", figure)


def element(made):
    return svg(made, plain_svg(made))


def test_the_same_figure_gives_the_same_bytes():
    assert plain_svg(plot()) == plain_svg(plot())
    assert element(plot()) == element(plot())


@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_every_format_is_what_it_says(suffix, start):
    assert figure_file(plot(), suffix).startswith(start)


def test_in_a_page_it_has_the_pages_inks_and_says_what_it_shows():
    made = element(plot())
    assert INK not in made
    assert FAINT not in made
    assert "currentColor" in made
    root = ET.fromstring(made)  # our own
    named = {child.get("id"): child.text for child in root if child.tag.rpartition("}")[2] in ("title", "desc")}
    assert named == {"a-plot-title": "A <title>", "a-plot-described": "A line & no more."}
    assert root.get("aria-labelledby").split() == list(named)
    assert "words &amp; $x^2$" in made, "text stays text, and a dollar sign is one"


def test_two_figures_of_a_page_share_no_id():
    first, second = (set(re.findall(r'\bid="([^"]+)"', element(plot(name)))) for name in ("one", "two"))
    assert first
    assert second
    assert not first & second
    used = set(re.findall(r'(?:url\(|href=")#([^)"]+)', element(plot("one"))))
    assert used
    assert used <= first
