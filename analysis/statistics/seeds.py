"""Means over training seeds or images, their spread, and Student's t interval."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import t as student

from .level import LEVEL


class Mean(NamedTuple):
    """A mean with its interval for the expectation."""

    value: float
    low: float
    high: float


def sd(values: pd.Series) -> float | None:
    """Standard deviation over seeds; None for a single one."""
    return float(values.std(ddof=1)) if len(values) > 1 else None


def student_mean(values: pd.Series | np.ndarray[Any, Any]) -> Mean:
    """The mean of n ≥ 2 independent values with its Student t interval."""
    n, mean = len(values), float(values.mean())
    half = float(student.ppf((1 + LEVEL) / 2, n - 1) * values.std(ddof=1) / math.sqrt(n))
    return Mean(mean, mean - half, mean + half)
