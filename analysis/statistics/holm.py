"""Tests of several differences at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .effect import Effect


def holm(effects: Sequence[Effect]) -> list[Effect]:
    """The same effects with p corrected for their number (Holm 1979), so that together they are wrong at 1 − LEVEL.

    The intervals stay each by itself.
    """
    tested = sorted((effect.p, index) for index, effect in enumerate(effects) if effect.p is not None)
    corrected = list(effects)
    greatest = 0.0
    for rank, (p, index) in enumerate(tested):
        greatest = max(greatest, min(1.0, (len(tested) - rank) * p))
        corrected[index] = replace(effects[index], p=greatest)
    return corrected
