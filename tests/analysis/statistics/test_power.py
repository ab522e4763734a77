import math

import numpy as np
import pytest
from scipy import stats

from mixlens.analysis.statistics.power import power


@pytest.mark.parametrize(("difference", "seeds"), [(0.0, 3), (1.0, 3), (1.0, 8), (3.0, 3), (-1.0, 5)])
def test_power_is_how_often_the_test_finds_it(difference, seeds):
    rng = np.random.default_rng(seeds)
    worlds = rng.normal(difference, 1.3, (20_000, seeds))
    found = (stats.ttest_1samp(worlds, 0.0, axis=1, alternative="greater").pvalue < 0.025).mean()
    expected = power(difference, 1.3, seeds, 0.025)
    assert abs(found - expected) < 4 * math.sqrt(max(expected * (1 - expected), 1e-4) / 20_000)


def test_power_of_nothing_is_the_level():
    assert power(0.0, 1.0, 7, 0.01) == pytest.approx(0.01)


def test_few_seeds_and_no_spread():
    assert power(5.0, 1.0, 2, 0.025) == 0, "with two seeds nothing is said"
    assert (power(1.0, 0.0, 3, 0.025), power(-1.0, 0.0, 3, 0.025)) == (1.0, 0.0)
