"""How many pixels a mask takes, and which: every way agrees with Python's own sort."""

from functools import partial

import numpy as np
import pytest
import torch

from mixlens.analysis.masks import threshold
from mixlens.analysis.masks.cutmix import cutmix_mask
from mixlens.analysis.masks.fmix import FMix, fmix_mask
from mixlens.analysis.masks.threshold import count_ones
from mixlens.analysis.masks.transform import for_counts


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


# Counts


@pytest.mark.slow
def test_all_of_more_pixels_than_float32_counts():
    """4097 · 4099 is odd and above 2²⁴: in float32 it is one more, and a threshold for so many left one pixel."""
    for lam, expected in ((1.0, 4097 * 4099), (0.0, 0)):
        mask = fmix_mask(torch.tensor([lam]), (4097, 4099), generator=torch.Generator().manual_seed(0))
        assert mask.count_nonzero().item() == expected
        assert FMix().label_weight(mask).item() == lam


@pytest.mark.parametrize("pixels", [2**24 + 1, 2**24 + 3, 4097 * 4099, 3 * 2**26 + 1])
@pytest.mark.parametrize("as_array", [torch.Tensor.numpy, lambda values: values])
def test_counts_beyond_float32_are_whole(pixels, as_array):
    lam = for_counts(torch.tensor([0.0, 0.5, 0.75, 1.0]), pixels)
    down, up = (
        count_ones(as_array(lam), pixels, as_array(torch.full((4,), uniform))).tolist() for uniform in (0.999, 0.0)
    )
    assert down == [0, pixels // 2, 3 * pixels // 4, pixels]
    assert up == [0, (pixels + 1) // 2, -(-3 * pixels // 4), pixels]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("options", [{}, {"max_soft": 0.25}, {"salience": torch.ones(37, 53)}])
def test_masks_of_half_lam_are_those_of_the_same_number(dtype, options):
    """¾ and ⅝ are the same number in every type, so the masks are the same: no count is made in λ's few digits."""
    lam = torch.tensor([0.75, 0.625, 0.25, 0.0, 1.0])
    for make in (partial(fmix_mask, **options), cutmix_mask, partial(cutmix_mask, rounding="nearest")):
        exact, few = (
            make(values, (37, 53), generator=torch.Generator().manual_seed(1)) for values in (lam, lam.to(dtype))
        )
        assert few.dtype == dtype
        assert torch.equal(few, exact.to(dtype))


def test_a_box_has_its_side_in_bfloat16():
    """λ = ¾: half of 1001 pixels is 500.5, 250 either way; bfloat16 makes 1000 of 1001 and 500 of it."""
    lam = torch.tensor([0.75], dtype=torch.bfloat16)
    mask = cutmix_mask(lam, (1001, 1001), centre=torch.tensor([[500, 500]]))
    assert (mask == 0).sum().item() == 500 * 500
    line = cutmix_mask(torch.tensor([0.5], dtype=torch.bfloat16), 1019, centre=torch.tensor([[500]]))
    assert (line == 0).sum().item() == 2 * int(1019 / 2 / 2)


def test_a_box_of_a_long_signal():
    """2²⁴ + 6 samples at λ = 0: half of them either way of the centre, all."""
    length = 2**24 + 6
    mask = cutmix_mask(torch.zeros(1), length, centre=torch.tensor([[length // 2]]))
    assert mask.count_nonzero().item() == 0
