"""Differences between augmentations over training seeds, and how they are written. Imports no torch."""

from __future__ import annotations

import math

import pandas as pd
from scipy.stats import t as student

from .style import interval, number

ENOUGH_SEEDS = 3


def sd(values: pd.Series) -> float | None:
    """Standard deviation over seeds; None for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def difference(differences: pd.Series) -> str:
    """Mean over seeds with its 95% Student t interval and an arrow where that leaves out zero.

    With fewer than three seeds one cannot tell.
    """
    n = len(differences)
    if n == 0:
        return "no baseline"
    mean = float(differences.mean())
    if n < ENOUGH_SEEDS:
        return f"{number(mean)} (cannot tell)"
    half = float(student.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    arrow = " ↑" if mean - half > 0 else " ↓" if mean + half < 0 else ""
    return interval(mean, mean - half, mean + half) + arrow
