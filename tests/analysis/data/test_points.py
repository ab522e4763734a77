import pytest
import torch
from scipy import stats

from mixlens.analysis.data.points import in_cube, points_of, spaced, volumes_of
from mixlens.analysis.errors import InputError


def noise(*shape, share=0.2, seed=0):
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < share).float()


def test_one_full_voxel_gives_its_centre():
    volume = torch.zeros(1, 1, 4, 4, 4)
    volume[0, 0, 0, 1, 3] = 1
    points = points_of(volume, spaced(5))
    assert torch.equal(points, torch.tensor([-0.75, -0.25, 0.75]).expand(1, 5, 3))


def test_of_a_longer_side_it_is_the_longest_that_is_minus_one_to_one():
    volume = torch.zeros(1, 1, 8, 4, 2)
    volume[0, 0, -1, -1, -1] = 1
    assert points_of(volume, spaced(1))[0, 0].tolist() == [7 / 8, 3 / 8, 1 / 8]


def test_evenly_spaced_ones_are_all_that_is_full_in_raster_order():
    volume = noise(1, 1, 5, 5, 5)
    full = volume[0, 0].nonzero()
    points = points_of(volume, spaced(len(full)))
    assert torch.allclose(points[0], (2 * full + 1) / 5 - 1)


def test_twice_as_many_are_each_twice_and_half_as_many_every_other():
    volume = noise(1, 1, 4, 4, 4)
    count = 2 * (int(volume.sum()) // 2)
    first = volume.flatten().nonzero()[count:]  # an even number of full ones
    volume.view(-1)[first] = 0
    once = points_of(volume, spaced(count))
    assert torch.equal(points_of(volume, spaced(2 * count)), once.repeat_interleave(2, 1))
    assert torch.equal(points_of(volume, spaced(count // 2)), once[:, 1::2])


@pytest.mark.parametrize("side", [1, 4, 7, 32])
def test_voxels_to_points_and_back(side):
    volumes = noise(3, 1, side, side, side) if side > 1 else torch.ones(3, 1, 1, 1, 1)
    volumes[:, :, 0, 0, 0] = 1
    volumes[:, :, -1, -1, -1] = side == 1
    back = volumes_of(points_of(volumes, spaced(side**3 * 2)), side)
    if side > 1:  # of one voxel nothing tells full from empty
        assert torch.equal(back, volumes.byte() * 255)


@pytest.mark.parametrize(("mean", "std"), [(0.0954, 0.2937), (0.5, 0.25), (-3.0, 1e-3), (7, 100.0)])
def test_it_does_not_matter_what_they_were_shifted_and_scaled_by(mean, std):
    volumes, places = noise(4, 1, 8, 8, 8), torch.rand(4, 50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(points_of((volumes - mean) / std, places), points_of(volumes, places))


def test_none_of_what_is_empty_is_ever_taken():
    volumes = torch.zeros(2, 1, 16, 16, 16)
    volumes.view(2, -1)[:, 5::7] = 1
    ends = torch.tensor([[0.0, 1 - 2**-24, 1.0, 0.5]]).expand(2, -1)  # the last is what rounding makes of places
    points = points_of(volumes, torch.cat([ends, torch.rand(2, 4000)], 1))
    assert (volumes_of(points, 16) <= volumes.byte() * 255).all()


def test_half_full_voxels_are_taken_half_as_often():
    volume = torch.zeros(1, 1, 2, 2, 2)
    volume.view(-1)[:3] = torch.tensor([0.25, 0.5, 1.0])
    count = 70_000
    drawn = points_of(volume, torch.rand(1, count, generator=torch.Generator().manual_seed(0)))
    which = (drawn[0] + 1).floor() @ torch.tensor([4.0, 2.0, 1.0])
    counts = which.long().bincount()
    expected = count * torch.tensor([1, 2, 4]) / 7
    assert stats.chisquare(counts, expected).pvalue > 1e-3
    evenly = (points_of(volume, spaced(7))[0] + 1).floor() @ torch.tensor([4.0, 2.0, 1.0])
    assert evenly.tolist() == [0, 1, 1, 2, 2, 2, 2]


def test_a_volume_that_is_the_same_everywhere_gives_points_at_zero():
    volumes = torch.stack([torch.zeros(1, 4, 4, 4), torch.full((1, 4, 4, 4), -0.3), noise(1, 4, 4, 4)])
    points = points_of(volumes, spaced(9))
    assert not points[:2].any()
    assert points[2].any()


def test_each_volume_alone_as_in_its_batch():
    volumes = torch.rand(5, 1, 8, 8, 8, generator=torch.Generator().manual_seed(3))
    together = points_of(volumes, spaced(100))
    assert torch.equal(together, torch.cat([points_of(one[None], spaced(100)) for one in volumes]))


def test_points_lie_in_the_voxels_that_they_fill():
    points = torch.tensor([[[-1.0, -1, -1], [0.99, -0.01, 0.01], [1, 1, 1]]])
    voxels = volumes_of(points, 4)
    assert voxels.dtype == torch.uint8
    assert voxels[0, 0].nonzero().tolist() == [[0, 0, 0], [3, 1, 2], [3, 3, 3]]
    assert set(voxels.unique().tolist()) == {0, 255}


@pytest.mark.parametrize(
    ("points", "said"),
    [
        (torch.zeros(3, 3), "(3, 3)"),
        (torch.zeros(1, 3, 2), "(1, 3, 2)"),
        (torch.zeros(1, 3, 3, dtype=torch.int64), "int64"),
        (torch.full((1, 3, 3), 1.01), "in_cube"),
        (torch.full((1, 3, 3), torch.nan), "NaN"),
    ],
)
def test_other_points_are_refused(points, said):
    with pytest.raises(InputError, match=said.replace("(", r"\(").replace(")", r"\)")):
        volumes_of(points, 4)


@pytest.mark.parametrize("side", [0, 8.0])
def test_no_side_is_refused(side):
    with pytest.raises(InputError, match=f"{side} voxels"):
        volumes_of(torch.zeros(1, 1, 3), side)


@pytest.mark.parametrize(
    ("points", "said"),
    [(torch.zeros(2, 5, 3).numpy(), "are ndarray; expected a tensor"), (torch.zeros(2, 0, 3), r"shape \(2, 0, 3\)")],
)
def test_what_are_no_clouds_is_said_by_both(points, said):
    for function in (in_cube, lambda points: volumes_of(points, 4)):
        with pytest.raises(InputError, match=said):
            function(points)


def test_a_cloud_fills_the_cube_along_its_longest_extent():
    cloud = torch.tensor([[[10.0, 4, 3], [30, 8, 3], [20, 6, 3]]])
    assert torch.allclose(in_cube(cloud), torch.tensor([[[-1, -0.2, 0], [1, 0.2, 0], [0, 0, 0]]]), atol=1e-6)
    moved = in_cube(torch.cat([cloud, cloud * 1e4 - 77]))
    assert torch.allclose(moved[0], moved[1], atol=1e-5)
    assert not in_cube(torch.full((1, 4, 3), 9.0)).any()
