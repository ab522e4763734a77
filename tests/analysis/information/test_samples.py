import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.samples import check_samples, standardise


def test_vectors_are_one_dimension_and_everything_is_float64():
    x, y = check_samples(torch.arange(4.0), torch.zeros(4, 2, dtype=torch.float32))
    assert (x.shape, y.shape) == ((4, 1), (4, 2))
    assert x.dtype == y.dtype == torch.float64


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.zeros(4), torch.zeros(5), r"one row per pair; got \(4, 1\) and \(5, 1\)"),
        (torch.zeros(4, 2, 2), torch.zeros(4), "must be"),
        (torch.zeros(2), torch.zeros(2), "at least 3 pairs, got 2"),
        (torch.zeros(4, 0), torch.zeros(4), "must be"),
        (torch.zeros(4, dtype=torch.int64), torch.zeros(4), "x must hold floating-point numbers"),
        (torch.tensor([1.0, 2.0, float("nan")]), torch.zeros(3), "x holds 1 NaN"),
    ],
)
def test_what_cannot_be_pairs_is_refused(x, y, words):
    with pytest.raises(InputError, match=words):
        check_samples(x, y)


def test_coordinates_are_standardised_and_a_constant_one_is_named():
    values = torch.randn(50, 3, generator=torch.Generator().manual_seed(0)).double() * 7 + 3
    made = standardise(values, "x")
    assert made.mean(0) == pytest.approx([0, 0, 0], abs=1e-12)
    assert made.std(0) == pytest.approx([1, 1, 1])
    values[:, 1] = 4.0
    with pytest.raises(InputError, match="coordinate 1 of x is the same in all 50 samples"):
        standardise(values, "x")
