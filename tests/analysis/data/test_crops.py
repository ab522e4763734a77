"""Random crops: torchvision's distribution, drawn for a whole batch at once."""

import pytest
import torch
from torchvision.transforms import RandomResizedCrop

from mixlens.analysis.data.crops import RATIO, SCALE, random_boxes


def drawn(width, height, count, seed=0):
    sides = torch.full((count,), width), torch.full((count,), height)
    return random_boxes(*sides, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("width", "height"), [(500, 375), (64, 64), (300, 900), (7, 5)])
def test_boxes_lie_within_the_image(width, height):
    left, top, right, bottom = drawn(width, height, 5000).unbind(1)
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= width
    assert bottom.max() <= height
    assert (right > left).all()
    assert (bottom > top).all()


def test_areas_and_ratios_lie_in_their_ranges_and_reach_their_ends():
    left, top, right, bottom = drawn(1000, 1000, 20_000).double().unbind(1)
    area, ratio = (right - left) * (bottom - top) / 1000**2, (right - left) / (bottom - top)
    assert SCALE[0] - 0.01 < area.min() < SCALE[0] + 0.01
    assert 0.97 < area.max() <= SCALE[1]
    assert ratio.min() == pytest.approx(RATIO[0], abs=0.01)
    assert ratio.max() == pytest.approx(RATIO[1], abs=0.01)


@pytest.mark.parametrize(("width", "height"), [(500, 375), (300, 900)])
def test_the_distribution_is_torchvisions(width, height):
    ours = drawn(width, height, 20_000).double()
    torch.manual_seed(0)
    blank = torch.empty(1, height, width)
    theirs = [RandomResizedCrop.get_params(blank, list(SCALE), list(RATIO)) for _ in range(6000)]
    theirs = torch.tensor([(left, top, left + across, top + down) for top, left, down, across in theirs]).double()
    for power in (1, 2):
        assert torch.allclose((ours**power).mean(0), (theirs**power).mean(0), rtol=0.03), "of each side of the box"


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [(1000, 10, (493, 0, 506, 10)), (10, 1000, (0, 493, 10, 506)), (1, 1, (0, 0, 1, 1))],
)
def test_where_no_draw_fits_the_middle_is_taken(width, height, box):
    assert (drawn(width, height, 50) == torch.tensor(box)).all(1).any()


def test_the_same_generator_cuts_alike_and_each_image_by_its_own_size():
    assert torch.equal(drawn(500, 375, 8), drawn(500, 375, 8))
    assert not torch.equal(drawn(500, 375, 8), drawn(500, 375, 8, seed=1))
    widths, heights = torch.tensor([10, 1000]), torch.tensor([10, 1000])
    boxes = random_boxes(widths, heights, torch.Generator().manual_seed(0))
    assert boxes[0].max() <= 10 < boxes[1].max()
