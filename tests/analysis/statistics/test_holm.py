"""Holm's correction by hand."""

import pytest

from mixlens.analysis.statistics.effect import Effect
from mixlens.analysis.statistics.holm import holm


def at(p, value=1.0):
    return Effect(value, 0.0, 0.0, p, 3, 100)


def test_holm_by_hand():
    """Sorted 0.01, 0.02, 0.04 become 3 · 0.01, 2 · 0.02, max(0.04, 1 · 0.04); unknown ones stay and do not count."""
    found = holm([at(0.04), at(None), at(0.01), at(0.02, -1.0)])
    assert [each.adjusted for each in found] == pytest.approx([0.04, None, 0.03, 0.04])
    assert [each.p for each in found] == [0.04, None, 0.01, 0.02], "what each is by itself stays"
    assert [each.direction for each in found] == [1, 0, 1, -1]
    assert holm([at(0.02), at(0.03)])[1].adjusted == pytest.approx(0.04), "never below a smaller one's"
    assert holm([at(0.6), at(0.7)])[0].adjusted == 1.0
    assert holm([]) == []
