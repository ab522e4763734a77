"""CKA against N × N formulas, one image left out at a time, and what it must not depend on."""

import math

import pytest
import torch
from torch import Generator

from mixlens.analysis.errors import InputError
from mixlens.representations.similarity import cka


def draws(count, dimensions, seed=0):
    return torch.randn(count, dimensions, generator=Generator().manual_seed(seed), dtype=torch.float64)


def related(count=40, seed=0):
    x = draws(count, 5, seed) * torch.tensor([3.0, 2, 1, 1, 0.5]) + 4
    return x, x @ draws(5, 7, 77) + 2 * draws(count, 7, seed + 1) - 1


def unbiased(x, y):
    """Song et al. 2012, eq. 5, with the matrices written out."""
    n = len(x)
    k, l = x @ x.T, y @ y.T  # noqa: E741
    k, l = k - k.diag().diag(), l - l.diag().diag()  # noqa: E741
    one = torch.ones(n, dtype=torch.float64)
    first = (
        (k @ l).trace() + (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one @ k @ l @ one)
    )
    return first / (n * (n - 3))


def biased(x, y):
    """Kornblith et al. 2019: tr(KHLH) / (n − 1)²."""
    n = len(x)
    h = torch.eye(n, dtype=torch.float64) - 1 / n
    return (x @ x.T @ h @ y @ y.T @ h).trace() / (n - 1) ** 2


def plain(hsic, x, y):
    return (hsic(x, y) / (hsic(x, x) * hsic(y, y)).sqrt()).item()


@pytest.mark.parametrize(("which", "hsic"), [(0, unbiased), (1, biased)], ids=["debiased", "biased"])
@pytest.mark.parametrize("count", [6, 40])
def test_of_matrices_written_out_with_each_image_left_out(which, hsic, count):
    x, y = related(count)
    found = cka(x, y)[which]
    assert found.value == pytest.approx(plain(hsic, x, y), rel=1e-10)
    without = []
    for i in range(count):
        rest = torch.arange(count) != i
        without.append(plain(hsic, x[rest], y[rest]))
    without = torch.tensor(without, dtype=torch.float64)
    expected = math.sqrt((count - 1) / count * (without - without.mean()).square().sum())
    assert found.stderr == pytest.approx(expected, rel=1e-8)
    assert (found.n, found.bound, found.unit) == (count, "none", "")


def test_features_are_like_themselves():
    x, _ = related()
    for estimate in cka(x, x):
        assert estimate.value == pytest.approx(1, abs=1e-12)
        assert estimate.stderr == pytest.approx(0, abs=1e-12)


def test_not_changed_by_rotation_scale_and_shift_or_order():
    x, y = related()
    turned = torch.linalg.qr(draws(5, 5, 9))[0]
    for ours, expected in zip(cka(-3 * x @ turned + 100, y), cka(x, y), strict=True):
        assert ours.value == pytest.approx(expected.value, rel=1e-9)
        assert ours.stderr == pytest.approx(expected.stderr, rel=1e-7)
    assert cka(y, x)[0].value == pytest.approx(cka(x, y)[0].value, rel=1e-12)


def test_changed_by_other_linear_maps():
    x, y = related()
    assert abs(cka(x * torch.tensor([0.1, 1, 1, 1, 1]), y)[0].value - cka(x, y)[0].value) > 0.01


def test_independent_features_are_alike_only_to_the_biased_one():
    """Kornblith's tends to one where there are more dimensions than images."""
    found = [cka(draws(60, 200, 2 * seed), draws(60, 200, 2 * seed + 1)) for seed in range(20)]
    assert abs(sum(each.debiased.value for each in found) / 20) < 0.02
    assert min(each.biased.value for each in found) > 0.5


def test_the_jackknife_is_near_the_spread_of_repetitions():
    found = [cka(*related(80, 10 * seed)).debiased for seed in range(100)]
    spread = torch.tensor([each.value for each in found]).std().item()
    assert sum(each.stderr for each in found) / 100 == pytest.approx(spread, rel=0.3)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (draws(10, 2), draws(9, 2), "features .N, d. of the same images"),
        (draws(4, 2), draws(4, 2), "at least 5"),
        (draws(10, 2)[:, 0], draws(10, 2), "features .N, d."),
        (torch.ones(10, 2), draws(10, 2), "CKA is 0 / 0"),
        (draws(10, 2), draws(10, 2) * math.nan, "not finite"),
    ],
)
def test_what_cannot_be_compared(x, y, words):
    with pytest.raises(InputError, match=words):
        cka(x, y)
