import math

import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.cutmix import CutMix, cutmix_mask


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def slow(lam, size, centre, rounding):
    """Pixel by pixel, from the definition; torchbearer's sides are rounded first."""
    mask = np.ones(size, np.float32)
    sides = [(1 - lam) ** (1 / len(size)) * side for side in size]
    half = [int(0.5 * (side if rounding == "down" else round(side))) for side in sides]
    for pixel in np.ndindex(*size):
        if all(c - h <= i < c + h for i, c, h in zip(pixel, centre, half, strict=True)):
            mask[pixel] = 0
    return torch.from_numpy(mask)


@pytest.mark.parametrize("size", [(1,), (9,), (16,), (1, 5), (8, 8), (7, 10), (5, 6, 7), (8, 4, 2)], ids=str)
@pytest.mark.parametrize("rounding", ["down", "nearest"])
def test_masks_match_the_definition_pixel_by_pixel(size, rounding):
    lam = torch.rand(60, generator=generator())
    lam[:2] = torch.tensor([0.0, 1.0])
    centre = torch.stack([torch.randint(side, (60,), generator=generator(i)) for i, side in enumerate(size)], 1)
    masks = cutmix_mask(lam, size, centre=centre, rounding=rounding)
    assert masks.shape == (60, 1, *size)
    assert masks.dtype == torch.float32
    for mask, value, point in zip(masks, lam.double().tolist(), centre.tolist(), strict=True):
        assert torch.equal(mask[0], slow(value, size, point, rounding))


def test_area_in_closed_form():
    lam = torch.tensor([0.75, 0.75, 0.0, 1.0, 0.51])
    centre = torch.tensor([[16, 24], [0, 0], [16, 24], [16, 24], [31, 47]])
    masks = cutmix_mask(lam, (32, 48), centre=centre)
    # √¼ of each side whole; its quarter at the corner; everything; nothing; 0.7 of each side, even, cut at the border
    zeros = [16 * 24, 8 * 12, 32 * 48, 0, (11 + 1) * (16 + 1)]
    assert ((1 - masks).flatten(1).sum(1)).tolist() == zeros


def test_in_one_dimension_the_length_is_one_minus_lam():
    masks = cutmix_mask(torch.tensor([0.75, 0.2, 0.0]), 1000, centre=torch.tensor([[500]] * 3))
    assert (1 - masks).flatten(1).sum(1).tolist() == [250, 800, 1000]
    assert masks[0, 0, 374].item() == 1
    assert not masks[0, 0, 375:625].any()
    assert masks[0, 0, 625].item() == 1


def test_in_three_dimensions_each_side_is_the_cube_root():
    masks = cutmix_mask(torch.tensor([1 - 0.6**3]), (20, 20, 20), centre=torch.full((1, 3), 10))
    assert (1 - masks).sum().item() == 12**3


def test_the_box_is_clipped_so_the_kept_area_exceeds_lam():
    lam = torch.full((4000,), 0.5)
    kept = cutmix_mask(lam, (32, 32), generator=generator()).flatten(1).mean(1)
    assert kept.min() >= 0.5
    assert kept.mean() > 0.6


@pytest.mark.parametrize("size", [(7,), (6, 9), (5, 7, 6)], ids=str)
def test_centres_are_uniform_over_the_pixels(size):
    n, ratio = 10_000, 2.4 / min(size)
    zeros = 1 - cutmix_mask(torch.full((n,), 1 - ratio ** len(size)), size, generator=generator())
    for axis, side in enumerate(size):
        half = int(0.5 * ratio * side)
        inside = zeros.flatten(1).view(n, *size).movedim(axis + 1, -1).reshape(n, -1, side).amax(1)
        first, last = inside.argmax(1), side - 1 - inside.flip(1).argmax(1)
        centre = torch.where(first > 0, first + half, last + 1 - half)  # clipped at one border only
        counts = centre.bincount(minlength=side).double()
        assert len(counts) == side
        z = (counts - n / side) / math.sqrt(n / side * (1 - 1 / side))
        assert z.abs().max() < 4.5


def test_a_box_per_sample_and_the_same_from_the_same_seed():
    lam = torch.full((200,), 0.5)
    masks = cutmix_mask(lam, (32, 32), generator=generator(1))
    assert torch.equal(masks, cutmix_mask(lam, (32, 32), generator=generator(1)))
    assert len(masks.flatten(1).unique(dim=0)) > 100


@pytest.mark.parametrize("size", [(32, 32), (17, 40)], ids=str)
def test_agrees_with_torchvision_for_the_same_lam_and_centre(monkeypatch, size):
    height, width = size
    x, y = torch.rand(5, 3, *size, generator=generator()), torch.tensor([0, 1, 2, 3, 0])
    theirs = v2.CutMix(num_classes=4)
    for seed, lam in enumerate(torch.rand(50, generator=generator(9)).tolist()):
        monkeypatch.setattr(theirs, "_dist", torch.distributions.Dirichlet(torch.ones(1)), raising=True)
        monkeypatch.setattr(theirs._dist, "sample", lambda shape, lam=lam: torch.tensor(lam, dtype=torch.double))
        torch.manual_seed(seed)
        their_x, their_y = theirs(x, y)
        torch.manual_seed(seed)
        column, row = torch.randint(width, (1,)), torch.randint(height, (1,))
        mask = cutmix_mask(torch.tensor([lam]), size, centre=torch.stack([row, column], 1))
        our_x, our_y = CutMix(num_classes=4)(x, y, mask=mask, index=torch.arange(5).roll(1))
        assert torch.equal(our_x, their_x)
        assert torch.allclose(our_y, their_y, atol=1e-6)


@pytest.mark.parametrize("size", [(32, 32), (17, 40)], ids=str)
def test_agrees_with_timm_for_the_same_lam_and_centre(monkeypatch, size):
    """timm 1.0.31 keeps an odd box odd, with its extra pixel at the high end; the published code rounds it down."""
    timm_mixup = pytest.importorskip("timm.data.mixup")
    rng = np.random.default_rng(0)
    even = 0
    for lam in rng.random(200):
        row, column = int(rng.integers(size[0])), int(rng.integers(size[1]))
        draws = iter([row, column])
        monkeypatch.setattr(np.random, "randint", lambda *args, draws=draws, **kwargs: next(draws))
        (top, bottom, left, right), their_lam = timm_mixup.cutmix_bbox_and_lam((3, *size), lam)
        mask = cutmix_mask(torch.tensor([lam]), size, centre=torch.tensor([[row, column]]))
        cut = [int(side * math.sqrt(1 - lam)) for side in size]
        if cut[0] % 2 == cut[1] % 2 == 0:
            even += 1
            expected = torch.ones(1, 1, *size)
            expected[..., top:bottom, left:right] = 0
            assert torch.equal(mask, expected)
            assert mask.mean().item() == pytest.approx(their_lam)
        elif min(cut) > 1:
            zeros = (mask[0, 0] == 0).nonzero()
            assert zeros[0].tolist() == [top, left]
            assert 0 <= bottom - 1 - zeros[-1][0] <= cut[0] % 2
            assert 0 <= right - 1 - zeros[-1][1] <= cut[1] % 2
    assert even > 30


@pytest.mark.parametrize(
    ("lam", "size", "centre", "told"),
    [
        (torch.tensor([1.5]), 8, None, r"lam must lie in \[0, 1\], got 1\.5"),
        (torch.tensor([torch.nan]), 8, None, r"lam must lie in \[0, 1\], got nan"),
        (torch.tensor([1]), 8, None, "lam must be a float tensor"),
        (torch.tensor([0.5]), (8, 0), None, "a mask has 1, 2 or 3 dimensions"),
        (torch.tensor([0.5]), (2,) * 4, None, "a mask has 1, 2 or 3 dimensions"),
        (torch.tensor([0.5]), (8, 8), torch.tensor([[3]]), r"centre must have shape \(1, 2\), got \(1, 1\)"),
        (torch.tensor([0.5]), (8, 8), torch.tensor([3, 3]), r"centre must have shape \(1, 2\), got \(2,\)"),
    ],
)
def test_bad_input(lam, size, centre, told):
    with pytest.raises(InputError, match=told):
        cutmix_mask(lam, size, centre=centre)


# as the paper's trainings: torchbearer's callback, written down from its code


def published(x, lam, partner, centres):
    """One λ; for each image a box of its own, ⌊round(side) / 2⌋ to either side of its centre, from its partner."""
    height, width = (round(math.sqrt(1 - lam) * side) // 2 for side in x.shape[-2:])
    mixed = x.clone()
    for i, (row, column) in enumerate(centres.tolist()):
        rows = slice(max(0, row - height), row + height)
        columns = slice(max(0, column - width), column + width)
        mixed[i, :, rows, columns] = x[partner[i], :, rows, columns]
    return mixed


@pytest.mark.parametrize("size", [(32, 32), (28, 20), (7, 9)], ids=str)
def test_the_published_cutmix(size):
    x, y = torch.rand(16, 3, *size, generator=generator()), torch.arange(16) % 4
    mix = CutMix(num_classes=4, mode="batch", lam="asked", rounding="nearest")
    partner = torch.randperm(16, generator=generator(1))
    for number, lam in enumerate(torch.rand(20, generator=generator(2)).tolist()):
        centres = torch.stack(
            [torch.randint(side, (16,), generator=generator(number + i)) for i, side in enumerate(size)], 1
        )
        mask = cutmix_mask(torch.full((16,), lam), size, centre=centres, rounding="nearest")
        batch = mix.pairs(x, y, lam=torch.tensor([lam]), index=partner, mask=mask)
        assert torch.equal(batch.x, published(x, lam, partner, centres))
        soft = mix(x, y, lam=torch.tensor([lam]), index=partner, mask=mask)[1]
        assert torch.allclose(soft[0], lam * torch.eye(4)[y[0]] + (1 - lam) * torch.eye(4)[y[partner[0]]])
    drawn = mix.pairs(x, y, generator=generator(3))
    assert len(drawn.lam.unique()) == 1, "one λ"
    assert len({image.numpy().tobytes() for image in drawn.mask}) > 8, "boxes of their own"


def test_what_rounding_keeps():
    """Over all centres of 32 × 32 pixels at λ = 0.7: .809 and .766 of the image, as counted by hand."""
    centres = torch.cartesian_prod(torch.arange(32), torch.arange(32))
    lam = torch.full((1024,), 0.7)
    kept = {way: cutmix_mask(lam, (32, 32), centre=centres, rounding=way).mean() for way in ("down", "nearest")}
    for way, half in (("down", 8), ("nearest", 9)):
        inside = sum(min(32, c + half) - max(0, c - half) for c in range(32)) / 32**2
        assert kept[way].item() == pytest.approx(1 - inside**2, abs=1e-6)
    assert kept["down"].item() == pytest.approx(0.809, abs=5e-4)
    assert kept["nearest"].item() == pytest.approx(0.766, abs=5e-4)


def test_the_area_that_labels_by_the_lam_asked_for_leave_out():
    """Over λ ~ U the kept area is .70 on average, where the labels say .50."""
    x, y = torch.zeros(4000, 1, 32, 32), torch.zeros(4000, dtype=torch.long)
    mix = CutMix(num_classes=1, lam="asked")
    batch = mix.pairs(x, y, generator=generator())
    kept = batch.mask.flatten(1).mean(1)
    assert abs(batch.lam.mean().item() - 0.5) < 4 * batch.lam.std().item() / math.sqrt(4000)
    assert abs(kept.mean().item() - 0.70) < 0.01


def test_an_unknown_rounding():
    for refused in (lambda: CutMix(rounding="up"), lambda: cutmix_mask(torch.rand(2), 8, rounding="up")):
        with pytest.raises(InputError, match=r"unknown rounding 'up'\. Known: down, nearest"):
            refused()
