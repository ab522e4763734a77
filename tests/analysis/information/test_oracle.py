import math

import pytest

from mixlens.analysis.information.oracle import (
    CRITICS,
    ENCODING,
    LATENTS,
    PAIRED,
    REENCODED,
    Comparison,
    compare,
)
from mixlens.analysis.information.world import GaussianWorld
from mixlens.analysis.interface import Estimate

CONTRASTIVE = ("leave-one-out", "index code (InfoNCE, K = N)", "InfoNCE, K = 128")


@pytest.fixture(scope="module")
def world():
    return GaussianWorld.with_information(3, 4, offset=0.5, stretch=1.5)


@pytest.fixture(scope="module")
def found(world):
    return compare(world, 300, steps=50)


@pytest.fixture(scope="module")
def high():
    """The information of a VAE's latents, from as few images."""
    return compare(GaussianWorld.with_information(78, 64), 300, steps=50)


def test_every_truth_is_the_closed_form(world, found):
    truths = {
        ENCODING: world.information(),
        LATENTS: world.information_shared(),
        PAIRED: world.information_paired(),
        REENCODED: world.information_reencoded(),
    }
    assert {row.quantity for row in found} == set(truths)
    assert all(row.truth == truths[row.quantity] for row in found)


def test_every_estimator_is_there_once(found):
    names = [(row.quantity, row.estimator) for row in found]
    assert len(set(names)) == len(names)
    assert {(LATENTS, f"critic, {name}") for name in CRITICS} <= set(names)
    assert {(ENCODING, name) for name in CONTRASTIVE} <= set(names)
    assert {(LATENTS, "KSG 1"), (LATENTS, "KSG 2"), (LATENTS, "canonical correlations")} <= set(names)


def test_every_bound_is_kept(found):
    assert [row.estimator for row in found if not row.kept] == []
    assert {row.estimate.bound for row in found} == {"upper", "lower", "none"}


def test_estimates_are_close_to_the_truth_where_they_should_be(world, found):
    by_name = {(row.quantity, row.estimator): row.estimate for row in found}
    for name in ("leave-one-out", "index code (InfoNCE, K = N)", "rate, Gaussian marginal", "rate, Gaussian mixture"):
        assert by_name[ENCODING, name].value == pytest.approx(world.information(), abs=0.5)
    correlations = by_name[LATENTS, "canonical correlations"]
    assert abs(correlations.value - world.information_shared()) < 4 * correlations.stderr
    rate = by_name[ENCODING, "rate"]
    assert abs(rate.value - world.rate()) < 4 * rate.stderr
    again = by_name[REENCODED, "rate"]
    assert abs(again.value - world.rate_reencoded()) < 4 * again.stderr
    smaller = by_name[LATENTS, "smallest of the rates"]
    assert abs(smaller.value - world.information()) < 4 * smaller.stderr, "3 nats both; its gap is closed"


def test_rows_are_reproduced_by_the_seed(world):
    first, same, other = (compare(world, 200, seed=seed, steps=3) for seed in (0, 0, 1))
    assert first == same
    assert [row.estimate.value for row in first] != [row.estimate.value for row in other]
    assert [row.truth for row in first] == [row.truth for row in other]


def test_rows_are_light(found):
    assert all(row.estimate.samples is None and row.estimate.influence is None for row in found)


def test_contrastive_estimates_are_saturated_at_high_information(high):
    for quantity, names in ((ENCODING, CONTRASTIVE), (REENCODED, CONTRASTIVE[:2])):
        rows = [row for row in high if row.quantity == quantity and row.estimator in names]
        assert len(rows) == len(names)
        for row in rows:
            assert row.estimate.saturated
            assert row.estimate.stderr is None
    ceilings = {row.estimator: row.estimate.ceiling for row in high if row.quantity == ENCODING}
    assert ceilings["index code (InfoNCE, K = N)"] == math.log(300)
    assert ceilings["InfoNCE, K = 128"] == math.log(128)


def test_every_bound_is_kept_at_high_information(high):
    assert [row.estimator for row in high if not row.kept] == []


def test_correlations_and_rates_work_at_high_information(high):
    by_name = {(row.quantity, row.estimator): row for row in high}
    row = by_name[LATENTS, "canonical correlations"]
    assert abs(row.estimate.value - row.truth) < 4 * row.estimate.stderr
    row = by_name[ENCODING, "rate"]
    assert abs(row.estimate.value - 78) < 4 * row.estimate.stderr + 1e-9


@pytest.mark.parametrize(
    ("value", "bound", "kept"),
    [
        (1.3, "upper", True),
        (0.7, "upper", True),
        (0.5, "upper", False),
        (1.5, "upper", True),
        (1.3, "lower", True),
        (1.5, "lower", False),
        (0.0, "lower", True),
        (9.0, "none", True),
        (-9.0, "none", True),
    ],
)
def test_kept_allows_four_standard_errors(value, bound, kept):
    assert Comparison("I", "any", Estimate(value, 0.1, 100, bound), 1.0).kept is kept


def test_kept_without_an_error_allows_rounding_only():
    for value, kept in ((1.0 - 1e-12, True), (1.0 - 1e-6, False)):
        assert Comparison("I", "any", Estimate(value, None, 100, "upper"), 1.0).kept is kept
