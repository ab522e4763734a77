"""Strips of masks and the words of two texts: what stands where, and that no mark is of colour alone."""

import numpy as np
import pytest

from mixlens.gallery.sequences import ACROSS, strip_plot, word_plot

TEXTS = (["a", "good", "film", "this"], ["not", "so", "bad", "that"])
TAKEN = {
    "taken:fmix": np.array([[1, 1, 0, 0]], np.float32),
    "taken:mixup": np.full((1, 4), 0.3, np.float32),
}


def words(plot, panel):
    return {text.get_text(): text for text in plot.figure.axes[panel].texts}


def test_a_word_that_is_taken_is_bold_and_framed_and_of_no_other_colour():
    shown = words(word_plot(TAKEN, TEXTS), 0)
    assert set(shown) == {*TEXTS[0], *TEXTS[1]}
    taken = {word for word, text in shown.items() if text.get_fontweight() == "bold" and text.get_bbox_patch()}
    assert taken == {"a", "good", "bad", "that"}
    assert {text.get_fontweight() for word, text in shown.items() if word not in taken} == {"normal"}
    assert len({text.get_color() for text in shown.values()}) == 1


def test_words_that_both_stay_are_in_italics():
    shown = words(word_plot(TAKEN, TEXTS), 1)
    assert {text.get_fontstyle() for text in shown.values()} == {"italic"}
    assert {text.get_fontstyle() for text in words(word_plot(TAKEN, TEXTS), 0).values()} == {"normal"}


def test_the_mixed_text_can_be_read_out():
    alt = word_plot(TAKEN, TEXTS).alt
    assert "FMix: a good [bad] [that]." in alt
    assert "MixUp: shares of both at every word" in alt


def test_both_words_of_a_place_stand_below_each_other_and_lines_are_broken():
    long = ([f"{'w' * 12}{i}" for i in range(9)], ["x"] * 9)
    texts = word_plot({"taken:fmix": np.ones((1, 9))}, long).figure.axes[0].texts
    places = [text.get_position() for text in texts]
    for (left, top), (below_left, below_top) in zip(places[::2], places[1::2], strict=True):
        assert (left, top + 1) == (below_left, below_top)
    assert len({top for _, top in places}) > 2
    assert max(left for left, _ in places) < ACROSS


@pytest.mark.parametrize("count", [1, 10, 40])
def test_a_strip_of_masks_has_the_share_of_each_beside_it(count):
    masks = (np.arange(50) < np.arange(count)[:, None]).astype(np.float32)
    (panel,) = strip_plot({"mask:fmix": masks}).figure.axes
    assert panel.get_title("left") == "FMix"
    labels = [text.get_text() for text in panel.get_yticklabels()]
    assert labels[0] == "λ = 0.00"
    assert len(labels) == min(count, 10)
    assert (panel.images[0].get_array() == masks).all()
