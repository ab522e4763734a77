"""How numbers, differences and durations are written."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ..statistics.effect import Effect
from ..statistics.level import ENOUGH_SEEDS
from ..statistics.seeds import sd, student_mean

ARROWS = {1: " ↑", -1: " ↓", 0: ""}


def number(value: float, spread: float | None = None, decimals: int | None = None) -> str:
    """``value ± spread``, to the digits that the spread leaves (`_decimals`) or as many as a source printed.

    Without a spread, four significant digits, or as many decimals as a source printed.
    """
    if not math.isfinite(value):
        return "∞" if value == math.inf else "−∞" if value == -math.inf else "not a number"
    if spread is None or not math.isfinite(spread):
        return _signed(f"{value:.4g}" if decimals is None else f"{value:.{decimals}f}")
    spread = _without_rounding(spread, value)
    if decimals is None:
        if spread == 0:
            return f"{_signed(f'{value:.4g}')} ± 0"
        decimals = _decimals(spread)
    return f"{_signed(f'{value:.{decimals}f}')} ± {spread:.{decimals}f}"


def interval(value: float, low: float, high: float) -> str:
    """A difference with its interval, all with their sign: ``+1.2 [+0.5, +1.9]``; digits by the interval's width."""
    half = _without_rounding((high - low) / 2, value)
    if half == 0:
        text = _signed(f"{value:+.4g}") if value else "0"
        return f"{text} [{text}, {text}]"
    digits = max(0, 1 - math.floor(math.log10(half)))
    shown = [_signed(f"{number:+.{digits}f}") for number in (value, low, high)]
    return f"{shown[0]} [{shown[1]}, {shown[2]}]"


def duration(seconds: float) -> str:
    """``3 h 07 min``, ``12 min 05 s`` or ``4 s``."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {whole % 60:02d} s" if minutes else f"{whole} s"


def _decimals(spread: float) -> int:
    """Places after the point that a spread leaves: two of its digits below 3.55, one above (Particle Data Group)."""
    place = math.floor(math.log10(spread))
    return max(0, (1 if spread < 3.55 * 10.0**place else 0) - place)


def _without_rounding(spread: float, value: float) -> float:
    """Zero for a spread that is nothing but the last digits of equal numbers."""
    return 0.0 if spread < 1e-12 * abs(value) else spread


def _signed(text: str) -> str:
    return text.replace("-", "−") if float(text) else text.lstrip("+-")  # zero has no sign


def over_seeds(values: pd.Series, decimals: int | None = None) -> str:
    """Mean ± standard deviation over seeds; a dash where no seed has a value."""
    return number(float(values.mean()), sd(values), decimals) if len(values) else "—"


def column(cells: Sequence[pd.Series]) -> list[str]:
    """`over_seeds` of what stands below each other, all to the same decimals: the most that any spread leaves.

    But one more than the fewest at most, so that one small spread does not give all the others digits of noise.
    """
    spreads = [_without_rounding(sd(values) or 0.0, float(values.mean())) for values in cells if len(values)]
    places = [_decimals(spread) for spread in spreads if spread > 0 and math.isfinite(spread)]
    decimals = min(max(places), min(places) + 1) if places else None
    texts = [over_seeds(values, decimals) for values in cells]
    single = [place for place, values in enumerate(cells) if len(values) == 1 and "e" not in texts[place]]
    most = max((len(texts[place].partition(".")[2]) for place in single), default=0)
    for place in single:
        value = float(cells[place].iloc[0])
        texts[place] = _signed(f"{value:.{most}f}") if math.isfinite(value) else texts[place]
    return texts


def difference(differences: pd.Series) -> str:
    """Mean over seeds with its Student t interval and an arrow where that leaves out zero.

    With fewer than three seeds one cannot tell.
    """
    if len(differences) == 0:
        return "no baseline"
    if len(differences) < ENOUGH_SEEDS:
        return f"{number(float(differences.mean()))} (cannot tell)"
    mean = student_mean(differences)
    return interval(*mean) + ARROWS[(mean.low > 0) - (mean.high < 0)]


def change(effect: Effect | None) -> str:
    """A difference to the baseline as it is written everywhere: ``−6.4 [−7.4, −5.3] ↓ p = .004``.

    The corrected p, and the arrow that it allows, where it is judged among others. None: there is no baseline.
    """
    if effect is None:
        return "no baseline"
    if effect.low is None:
        return f"{extent(effect)} (cannot tell)"
    if effect.p is None:
        return f"{extent(effect)} (these networks)"
    judged = "" if effect.adjusted is None else f"{ARROWS[effect.direction]} {chance(effect.adjusted)}"
    return extent(effect) + judged


def extent(effect: Effect) -> str:
    """The difference with its interval, if it has one."""
    if effect.low is None or effect.high is None:
        return signed(effect.value)
    return interval(effect.value, effect.low, effect.high)


def signed(value: float, decimals: int | None = None) -> str:
    """A difference without an interval, always with its sign: to four digits, or as many decimals as a source has."""
    return _signed(f"{value:+.4g}" if decimals is None else f"{value:+.{decimals}f}")


def chance(p: float) -> str:
    """``p = .004``, ``p = .31``, ``p < .001``: on its own side of .05, whatever its digits."""
    if p < 0.001 or p > 0.99:
        return "p < .001" if p < 0.001 else "p > .99"
    text = f"{p:.3f}" if p < 0.1 else f"{p:.2f}"
    if text == "0.050" and p < 0.05:
        text = f"{math.floor(p * 1e4) / 1e4:.4f}"
    return f"p = {text[1:]}"


def level(value: float, low: float, high: float) -> str:
    """What one network reached, with its interval over images: ``87.0 [86.3, 87.6]``."""
    half = (high - low) / 2
    digits = max(0, 1 - math.floor(math.log10(half))) if half > 0 else 2
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
