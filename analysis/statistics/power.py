"""How often a difference between trainings would be told from none. Imports no torch."""

from __future__ import annotations

import math

from scipy.stats import nct
from scipy.stats import t as student

from .level import ENOUGH_SEEDS


def power(difference: float, deviation: float, seeds: int, level: float) -> float:
    """The chance that Student's one-sided t test at ``level`` finds a mean difference above zero.

    Of paired differences over seeds, normal about ``difference`` with standard deviation ``deviation``: from the
    noncentral t distribution with S − 1 degrees of freedom, δ = √S difference / deviation (Johnson and Welch 1940).
    """
    if seeds < ENOUGH_SEEDS:
        return 0.0
    if deviation == 0:
        return float(difference > 0)
    shift = math.sqrt(seeds) * difference / deviation
    return float(nct.sf(student.isf(level, seeds - 1), seeds - 1, shift))
