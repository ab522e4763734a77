"""A band that holds a whole curve: closed forms, and how often it does."""

import math

import numpy as np
import pytest
from scipy.stats import norm as normal
from scipy.stats import t as student

from mixlens.analysis.interface import Arm
from mixlens.analysis.statistics.band import band
from mixlens.analysis.statistics.effect import Measured, effect


def test_of_one_place_it_is_the_effects_interval():
    differences = np.random.default_rng(0).standard_normal((4, 1, 300))
    found = band(differences)
    terms = {
        (Arm("s", name), seed): sign * differences[seed, 0] for name, sign in (("a", 1), ("b", 0)) for seed in range(4)
    }
    alone = effect(Measured("q", "q", "", terms), Arm("s", "a"), Arm("s", "b"))
    assert found.value[0] == pytest.approx(alone.value)
    assert found.high[0] - found.low[0] == pytest.approx(alone.high - alone.low, rel=0.02)  # drawn, not exact


def test_of_places_that_go_together_it_is_no_wider_and_of_independent_ones_sidaks():
    rng = np.random.default_rng(1)
    one = rng.standard_normal((1, 1, 2000))
    together = band(np.repeat(one, 6, axis=1))
    assert together.high - together.low == pytest.approx(2 * 1.96 * one.std() / math.sqrt(2000), rel=0.03)
    apart = rng.standard_normal((1, 6, 20_000))
    found = band(apart)
    z = normal.isf((1 - 0.95 ** (1 / 6)) / 2)
    assert (found.high - found.low) / 2 == pytest.approx(z * apart.std(2)[0] / math.sqrt(20_000), rel=0.03)


def test_seeds_widen_it_by_students_t_at_the_same_share():
    """Curves that are moved as a whole, differently for each seed: 4.303, as for one place."""
    moved = np.array([1.0, 2.0, 4.0])[:, None, None] + np.zeros((3, 5, 1))
    images = np.random.default_rng(2).standard_normal((1, 1, 4000)) * 1e-3
    found = band(moved + images)
    assert (found.high - found.low) / 2 == pytest.approx(
        student.isf(0.025, 2) * np.std([1, 2, 4], ddof=1) / math.sqrt(3), rel=0.03
    )


def test_where_nothing_differs_it_has_no_width():
    differences = np.zeros((3, 4, 50))
    differences[:, 1] = np.random.default_rng(3).integers(-1, 2, (3, 50))
    found = band(differences)
    assert (found.low[[0, 2, 3]] == 0).all()
    assert (found.high[[0, 2, 3]] == 0).all()
    assert found.low[1] < found.value[1] < found.high[1]
    assert not np.any(band(np.zeros((3, 4, 50))))


def test_the_same_numbers_give_the_same_band():
    differences = np.random.default_rng(4).standard_normal((3, 5, 60))
    assert all(np.array_equal(*ends) for ends in zip(band(differences), band(differences), strict=True))


def walks(rng, count, places):
    """Neighbours that go together, as those of one curve do."""
    steps = rng.standard_normal((*count, places))
    return steps.cumsum(-1) / np.sqrt(np.arange(1, places + 1))


@pytest.mark.parametrize(
    ("seeds", "seed_sd", "most"), [(1, 0.0, 0.975), (3, 0.1, 1.0), pytest.param(3, 1.0, 1.0, marks=pytest.mark.slow)]
)
def test_it_holds_the_whole_curve_at_least_as_often_as_it_says(seeds, seed_sd, most):
    """Of 400 worlds with no difference; of one seed not much more often either. Pointwise intervals do not."""
    rng, worlds, places, images = np.random.default_rng(5), 400, 8, 120
    held = pointwise = 0
    for _ in range(worlds):
        by_seed = seed_sd * walks(rng, (seeds,), places)[:, :, None]
        differences = (
            by_seed
            + walks(rng, (1, images), places).transpose(0, 2, 1)
            + 0.5 * rng.standard_normal((seeds, places, images))
        )
        found = band(differences)
        held += bool(((found.low <= 0) & (found.high >= 0)).all())
        over_images = differences.mean((0, 2)) / (differences.mean(0).std(1, ddof=1) / math.sqrt(images))
        pointwise += bool((np.abs(over_images) < 1.96).all())
    assert held / worlds > 0.95 - 3 * math.sqrt(0.95 * 0.05 / worlds)
    assert held / worlds <= most
    assert pointwise / worlds < 0.95 - 3 * math.sqrt(0.95 * 0.05 / worlds), "it is a test that can fail"
