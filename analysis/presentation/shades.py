"""Light and dark shades of one hue, which stay legible on a white page and on a dark one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# Relative luminances (WCAG 2): twice the contrast of equals on white, and on the dark page's #15181d.
LIGHTEST, DARKEST = 0.47, 0.12


def shades(colour: str, count: int, own: int | None = None) -> list[str]:
    """So many colours (#rrggbb) of one hue, from light to dark in steps that look alike; ``colour`` itself for one.

    Args:
        own: the place that ``colour`` itself takes among them, where that leaves steps to be seen; None: none.
    """
    if count == 1:
        return [colour]
    even = np.linspace(LIGHTEST ** (1 / 3), DARKEST ** (1 / 3), count)
    lightness = even
    if own is not None:
        anchors = {0: even[0], count - 1: even[-1]} | {own: luminance(colour) ** (1 / 3)}
        lightness = np.interp(range(count), sorted(anchors), [anchors[place] for place in sorted(anchors)])
        if np.diff(lightness).max() > np.diff(even).max() / 3:  # both negative
            lightness, own = even, None
    made = [_hex(_at(_linear(colour), float(level) ** 3)) for level in lightness]
    if own is not None:
        made[own] = colour
    return made


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb, from 0 to 1 (WCAG 2)."""
    return float(_linear(colour) @ _WEIGHTS)


_WEIGHTS = np.array([0.2126, 0.7152, 0.0722])


def _at(light: np.ndarray, wanted: float) -> Sequence[float]:
    """The colour of this luminance between black, ``light`` and white: light adds up, so that one share does it."""
    here = float(light @ _WEIGHTS)
    if wanted <= here:
        return list(light * wanted / here)
    return list(light + (1 - light) * (wanted - here) / (1 - here))


def _linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _hex(light: Sequence[float]) -> str:
    values = np.asarray(light)
    coded = np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(255 * value):02x}" for value in coded.clip(0, 1))
