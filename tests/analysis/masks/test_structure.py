"""What tells masks apart: closed forms, a plain slow count, and what is known of the published code's masks."""

import math
from itertools import chain, groupby

import numpy as np
import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.fmix import fmix_mask, low_frequency_image
from mixlens.analysis.masks.structure import components, power_shares, segments, structure, transitions


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_masks(size, n=40, share=0.4):
    masks = (torch.rand(n, *size, generator=generator()) < share).float()
    masks[0], masks[1] = 0, 1
    return masks


def runs(line):
    """Lengths of a circle's runs, walked once around from where it changes."""
    line = list(line)
    begin = next((i for i in range(len(line)) if line[i] != line[i - 1]), 0)
    return [len(list(run)) for _, run in groupby(line[begin:] + line[:begin])]


SIZES = [(1,), (2,), (9,), (16,), (5, 8), (4, 1), (3, 6, 5)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_segments_and_transitions_as_they_are_walked(size):
    masks = random_masks(size)
    for axis in range(len(size)):
        lengths, owner = segments(masks, axis)
        counted = transitions(masks, axis)
        for number, mask in enumerate(masks.numpy()):
            lines = np.moveaxis(mask, axis, -1).reshape(-1, size[axis])
            expected = [runs(line) for line in lines]
            assert sorted(lengths[owner == number].tolist()) == sorted(chain.from_iterable(expected))
            changes = [len(line) if len(line) > 1 else 0 for line in expected]
            assert counted[number].item() == pytest.approx(np.mean(changes))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_shift_around_the_circle_changes_nothing(size):
    masks = random_masks(size)
    shifted = masks.roll(3, 1)
    for axis in range(len(size)):
        assert torch.equal(transitions(masks, axis), transitions(shifted, axis))
        both = [torch.bincount(segments(each, axis)[0], minlength=17) for each in (masks, shifted)]
        assert torch.equal(*both)
    for before, after in zip(power_shares(masks), power_shares(shifted), strict=True):
        assert torch.allclose(before, after, equal_nan=True)


def test_a_mask_that_changes_at_every_position():
    alternating = (torch.arange(8) % 2).float()[None]
    assert transitions(alternating).tolist() == [8]
    assert segments(alternating)[0].tolist() == [1] * 8
    assert power_shares(alternating)[0][0].tolist() == pytest.approx([0, 0, 0, 0, 1])


@pytest.mark.parametrize("length", [8, 200])
def test_one_segment_of_half_the_length(length):
    """|F(k)|² = 1 / sin²(πk / L) at odd k: of a long one, 8 / π² of the power lies at |k| = 1."""
    mask = (torch.arange(length) < length / 2).float().roll(3)[None]
    power = np.array([1 / math.sin(math.pi * k / length) ** 2 if k % 2 else 0 for k in range(1, length)])
    share = power_shares(mask)[0][0]
    assert share[0] == 0
    assert share[1].item() == pytest.approx((power[0] + power[-1]) / power.sum())
    told = {statistic.name: statistic.value for statistic in structure(mask)}
    assert (told["transitions"], told["segment length, mean"], told["one segment of ones"]) == (2, length / 2, 1)
    if length > 100:
        assert told["power at |k| = 1"] == pytest.approx(8 / math.pi**2, abs=1e-4)


def test_power_lies_where_a_wave_is():
    y, x = torch.meshgrid(torch.arange(12), torch.arange(10), indexing="ij")
    wave = torch.cos(2 * math.pi * (2 * y / 12 - 3 * x / 10))[None]
    along_y, along_x = power_shares(wave)
    assert along_y[0].argmax() == 2
    assert along_x[0].argmax() == 3
    assert along_y[0, 2].item() == pytest.approx(1)


@pytest.mark.parametrize("size", [(9,), (6, 7), (4, 5, 6)], ids=str)
def test_shares_add_up_to_one_and_a_constant_has_none(size):
    masks = random_masks(size)
    for axis, shares in enumerate(power_shares(masks)):
        assert shares.shape == (len(masks), size[axis] // 2 + 1)
        assert shares[:2].isnan().all()
        assert torch.allclose(shares.sum(1)[~shares[:, 0].isnan()], torch.ones(1, dtype=torch.float64))


def test_parts_that_touch_at_a_corner_are_two():
    mask = torch.zeros(5, 5)
    mask[0, :2] = mask[1, 2] = mask[4, 4] = 1
    solid = torch.zeros(3, 4, 4, 4)
    solid[1, 0] = solid[1, 2] = 1
    solid[2] = 1
    assert components(mask[None]).tolist() == [3]
    assert components(1 - mask[None]).tolist() == [1]
    assert components(solid).tolist() == [0, 2, 1]


def test_means_and_errors_by_hand():
    masks = torch.tensor([[1.0, 1, 0, 0], [1, 0, 1, 0], [1, 1, 1, 1]])
    told = {statistic.name: statistic for statistic in structure(masks)}
    assert told["transitions"].value == 2
    assert told["transitions"].stderr == pytest.approx(np.std([2, 4, 0], ddof=1) / math.sqrt(3))
    assert told["segment length, mean"].value == pytest.approx((2 + 1 + 4) / 3)
    assert told["segment length, 50% quantile"].value == 1
    assert told["power at |k| = 1"].masks == 2, "a constant mask has no power"


def test_soft_masks_are_cut_at_a_half():
    soft = torch.tensor([[0.9, 0.6, 0.4, 0.0]])
    assert transitions(soft).item() == 2
    assert segments(soft)[0].tolist() == [2, 2]


@pytest.mark.parametrize("wrong", [torch.ones(4), torch.ones(2, 3, 3, 3, 3), torch.ones(0, 4), torch.full((2, 4), 1.5)])
def test_what_is_no_mask_is_refused(wrong):
    for refused in (structure, transitions, segments, components):
        with pytest.raises(InputError, match=r"masks (are \(N, \*size\)|lie in \[0, 1\])"):
            refused(wrong)


# FMix as printed and as published


@pytest.mark.parametrize("length", [64, 200, 500])
@pytest.mark.parametrize("decay_power", [0, 1, 3, 6])
def test_a_published_mask_of_a_sequence_is_one_segment_whatever_the_decay(length, decay_power):
    lam = torch.full((500,), 0.5)
    official = fmix_mask(lam, length, decay_power, variant="official", generator=generator(length))[:, 0]
    assert (transitions(official) == 2).all()
    if decay_power < 6:  # so smooth, the printed ones are too
        assert (transitions(fmix_mask(lam, length, decay_power, generator=generator(length))[:, 0]) > 2).any()


def test_a_smoother_printed_mask_has_fewer_segments():
    lam = torch.full((500,), 0.5)
    counts = [transitions(fmix_mask(lam, 200, d, generator=generator())[:, 0]).mean().item() for d in (0, 1, 2, 3)]
    assert counts == sorted(counts, reverse=True)
    # white noise: neighbours differ as two draws without replacement, 200 · 2 · (100 · 100) / (200 · 199) times
    assert counts[0] == pytest.approx(100.5, abs=4 * 7.1 / math.sqrt(500))
    assert 2 < counts[3] < 3


@pytest.mark.parametrize("size", [(32, 32, 32), (8, 12, 10)], ids=str)
def test_the_last_axis_of_a_published_volume_holds_one_wave(size):
    official = power_shares(low_frequency_image(60, size, variant="official", generator=generator()))
    assert official[2][:, 2:].max() < 1e-9
    assert all(shares[:, 2:].sum(1).max() > 1e-3 for shares in official[:2])
    paper = power_shares(low_frequency_image(60, size, generator=generator()))
    assert all(shares[:, 2:].sum(1).mean() > 1e-3 for shares in paper)


def test_the_printed_masks_of_a_volume_are_alike_along_all_axes_and_the_published_are_not():
    lam = torch.full((300,), 0.5)

    def furthest(variant):
        masks = fmix_mask(lam, (12, 12, 12), variant=variant, generator=generator())[:, 0]
        along = [transitions(masks, axis) for axis in range(3)]
        return max(
            ((a - b).mean() / (a - b).std() * math.sqrt(len(masks))).abs().item()
            for a, b in zip(along, along[1:] + along[:1], strict=True)
        )

    assert furthest("paper") < 4.5
    assert furthest("official") > 10
