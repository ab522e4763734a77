"""Means over seeds against scipy."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mixlens.analysis.statistics.seeds import sd, student_mean

VALUES = [70.0, 71.5, 73.1, 69.2]


@pytest.mark.parametrize("kind", [pd.Series, np.array])
def test_the_interval_is_students(kind):
    mean = student_mean(kind(VALUES))
    low, high = stats.t.interval(0.95, len(VALUES) - 1, np.mean(VALUES), stats.sem(VALUES))
    assert mean == pytest.approx((np.mean(VALUES), low, high))


def test_a_single_seed_has_no_spread():
    assert sd(pd.Series([1.0])) is None
    assert sd(pd.Series([1.0, 3.0])) == pytest.approx(2**0.5)
