"""Columns: what is unseen makes all cells of one length, point below point, and changes nothing that is read."""

import pytest

from mixlens.analysis.presentation.columns import WIDE, column, columns

SPREADS = ["67.7 ± 1.3", "58.64 ± 0.09", "1,061.4 ± 10.25 †", "1", "—"]
CHANGES = ["−3.1 [−6.1, −0.1] ↓", "+4.92 [+0.8, +19.04]", "0 (cannot tell)", "+12 [−1, +25] ↑"]
PLAIN = ["0.0005", "0.01", "1", "12"]


def seen(line):
    return "".join(line[::2])


def laid(line):
    """With a dot in the place of each letter that is not seen."""
    return "".join(part if place % 2 == 0 else "·" * len(part) for place, part in enumerate(line))


@pytest.mark.parametrize("cells", [SPREADS, CHANGES, PLAIN])
def test_what_is_read_is_what_was_given(cells):
    assert [seen(lines[0]) for lines in column(cells).cells] == cells


@pytest.mark.parametrize("cells", [SPREADS, CHANGES, PLAIN])
def test_points_stand_below_each_other(cells):
    """Set at its right edge, every number has its point, or its end, in the same place."""
    places = set()
    for cell, lines in zip(cells, column(cells).cells, strict=True):
        if cell != "—":
            text = laid(lines[0])
            whole = len(text.partition(" ")[0].partition(".")[0].partition("·")[0])
            places.add(len(text) - whole)
    assert len(places) == 1


def test_spreads_stand_below_each_other_too():
    texts = [laid(lines[0]) for lines in column(SPREADS[:3]).cells]
    assert texts == ["67.7· ± ·1.3···", "58.64 ± ·0.09··", "1,061.4· ± 10.25 †"]


def test_an_interval_is_not_torn_apart():
    for lines in column(CHANGES).cells:
        assert "[·" not in laid(lines[0])
        assert "·]" not in laid(lines[0])


@pytest.mark.parametrize("cells", [["stem", "stages.0"], ["Baseline", "3"], ["(mode='elem')", "—"], ["", "—"]])
def test_words_are_no_numbers(cells):
    shown = column(cells)
    assert not shown.numeric
    assert shown.cells == tuple(([cell],) for cell in cells)


@pytest.mark.parametrize("cells", [["∞ (100% of images)", "2.1 ± 0.1"], ["−3", "—", ""], ["> 4", "3"], ["+0.1; 2 up"]])
def test_numbers_are_known_by_their_beginning(cells):
    assert column(cells).numeric


def test_durations_of_other_units_are_left_as_they_are():
    assert [laid(lines[0]) for lines in column(["1 min 59 s", "25 s", "4 s"]).cells] == ["1 min 59 s", "25 s", "4 s"]


def test_a_remark_stands_below_its_value_and_has_its_own_alignment():
    first, second = column(["+9 [−2, +20]; 2 up", "+4.2 [+0.1, +8.4] ↑; 10 up"]).cells
    assert [len(first), len(second)] == [2, 2]
    assert seen(first[1]) == "2 up"
    assert laid(second[1]) == "10 up"


def test_a_table_that_is_too_wide_has_its_intervals_below_the_values():
    narrow = [("MixUp", *CHANGES[:1] * 3)]
    wide = [("MixUp", *CHANGES[:1] * (1 + WIDE // len(CHANGES[0])))]
    assert {len(one.cells[0]) for one in columns(["a"] * 4, narrow)} == {1}
    shown = columns(["a"] * len(wide[0]), wide)
    assert {len(one.cells[0]) for one in shown[1:]} == {2}
    assert shown[1].cells[0] == (["−3.1", "", "", ""], ["[−6.1, −0.1] ↓"])


def test_a_table_without_rows_has_its_columns():
    assert [(one.numeric, one.cells) for one in columns(["a", "b"], [])] == [(False, ()), (False, ())]
