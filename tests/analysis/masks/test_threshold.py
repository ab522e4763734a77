"""How many pixels a mask takes, and which: every way agrees with Python's own sort."""

import numpy as np
import pytest
import torch

from mixlens.analysis.masks import threshold


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("unbiased", [True, False])
def test_tensors_and_arrays_count_alike(unbiased):
    lam, uniform = torch.rand(10_000, generator=generator()), torch.rand(10_000, generator=generator(1))
    lam[:3] = torch.tensor([0.0, 1.0, 0.5])
    for pixels in (1, 7, 1024, 50_176):
        counts = threshold.count_ones(lam, pixels, uniform, unbiased=unbiased)
        arrays = threshold.count_ones(lam.numpy(), pixels, uniform.numpy(), unbiased=unbiased)
        assert arrays.dtype == np.float32
        assert np.array_equal(counts.numpy(), arrays)


@pytest.mark.parametrize("values", [1, 2, 5, 10**6])
@pytest.mark.parametrize("select", [1, 10**9])
def test_all_ways_to_take_the_top_agree_bit_for_bit(values, select, monkeypatch):
    """Selection or a sort of values on a CPU, a sort of indices elsewhere, for every count, and Python's own sort."""
    pixels = 24
    image = torch.randint(-values // 2, values // 2 + 1, (pixels + 1, pixels), generator=generator()).float() * 0.1
    image[::2] *= -1  # zeros of both signs, which are equal
    count = torch.arange(pixels + 1)
    by_value = torch.empty_like(image)
    monkeypatch.setattr(threshold, "SELECT_PIXELS", select)
    threshold.top_by_value(image, count.numpy(), by_value)
    by_rank = torch.full_like(image, torch.nan)
    threshold.top_by_rank(image, count, by_rank)
    assert torch.equal(by_value, by_rank)
    for row, k in enumerate(count.tolist()):
        top = sorted(range(pixels), key=lambda i: (-image[row, i].item(), i))[:k]
        assert by_value[row].nonzero().flatten().tolist() == sorted(top)


def test_a_share_between_two_counts_is_met_on_average():
    """⌊λ·n + u⌋ with u uniform: its mean is λ·n exactly, its values the two whole numbers beside it."""
    uniform = (torch.arange(1000) + 0.5) / 1000
    counts = threshold.count_ones(torch.full((1000,), 0.333), 10, uniform)
    assert set(counts.tolist()) == {3, 4}
    assert counts.mean().item() == pytest.approx(3.33, abs=1e-3)
