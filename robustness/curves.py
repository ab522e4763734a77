"""Whole curves of accuracy against ε: the area below one, where two cross, where one falls to a half.

On the figures' axis, log ε from the smallest positive ε of the sweep to the largest. numpy alone, no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

OVER = ", over ε"  # ends the name of the quantity that is an attack's mean over the curve
Stretch = tuple[float, float]  # from one ε to another, or twice the same


def weights(epsilons: Sequence[float]) -> np.ndarray[Any, Any]:
    """What each of ascending positive ε weighs in the area below a curve, all together 1.

    By the trapezoid rule over log ε: the area is the expected accuracy at an ε that is drawn log-uniformly between the
    first and the last, with straight lines between them. A single ε weighs 1.
    """
    if len(epsilons) == 1:
        return np.ones(1)
    steps = np.diff(np.log(epsilons))
    return (np.append(steps, 0) + np.insert(steps, 0, 0)) / (2 * steps.sum())


def crossings(epsilons: Sequence[float], values: Sequence[float]) -> list[Stretch]:
    """Where a curve over ascending positive ε goes from one side of zero to the other, by straight lines over log ε.

    Where it stays at zero in between, from the first such ε to the last. What only touches zero, or is zero at an end,
    does not cross.
    """
    log, found = np.log(epsilons), []
    sides = np.flatnonzero(np.sign(values)).tolist()
    for left, right in pairwise(sides):
        if np.sign(values[left]) == np.sign(values[right]):
            continue
        if right == left + 1:
            share = values[left] / (values[left] - values[right])
            at = float(np.exp(log[left] + share * (log[right] - log[left])))
            found.append((at, at))
        else:
            found.append((float(epsilons[left + 1]), float(epsilons[right - 1])))
    return found


def stretches(epsilons: Sequence[float], which: Sequence[bool] | np.ndarray[Any, Any]) -> list[Stretch]:
    """The runs of neighbouring ε of which something holds, each from its first to its last."""
    found: list[Stretch] = []
    before = False
    for epsilon, holds in zip(epsilons, which, strict=True):
        if holds and before:
            found[-1] = (found[-1][0], epsilon)
        elif holds:
            found.append((epsilon, epsilon))
        before = bool(holds)
    return found


def half(epsilons: Sequence[float], accuracy: Sequence[float]) -> float | None:
    """The first ε at which a curve falls to one half, by straight lines over log ε, and over ε up to the second.

    ``epsilons`` ascend from 0. It is 0 where the curve begins below, None where it never falls so far.
    """
    for place, value in enumerate(accuracy):
        if value > 0.5:
            continue
        if place == 0:
            return 0.0
        share = (accuracy[place - 1] - 0.5) / (accuracy[place - 1] - value)
        low, high = epsilons[place - 1], epsilons[place]
        return float(low + share * (high - low) if low == 0 else low * (high / low) ** share)
    return None
