"""Tests of several differences at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .effect import Effect


def holm(effects: Sequence[Effect]) -> list[Effect]:
    """The same effects with `Effect.adjusted`, p corrected for their number: together they are wrong at 1 − LEVEL.

    The intervals stay each by itself.
    """
    known = [index for index, effect in enumerate(effects) if effect.p is not None]
    corrected = list(effects)
    for index, p in zip(known, adjusted([p for effect in effects if (p := effect.p) is not None]), strict=True):
        corrected[index] = replace(effects[index], adjusted=p)
    return corrected


def adjusted(chances: Sequence[float]) -> list[float]:
    """Each p corrected for their number (Holm 1979)."""
    found = [0.0] * len(chances)
    greatest = 0.0
    for rank, (p, index) in enumerate(sorted((p, index) for index, p in enumerate(chances))):
        greatest = max(greatest, min(1.0, (len(chances) - rank) * p))
        found[index] = greatest
    return found
