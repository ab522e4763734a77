import math
import os

import pytest
import torch

from mixlens.analysis.data.sources import cifar10h
from mixlens.analysis.errors import InputError
from mixlens.calibration.strata import strata


def named(counts):
    return {stratum.name: stratum.images.nonzero().squeeze(1).tolist() for stratum in strata(counts)}


def test_strata_by_hand():
    counts = torch.tensor([[9, 0], [5, 4], [0, 3], [8, 1], [7, 2], [1, 8], [6, 3]])
    assert named(counts) == {"unanimous": [0, 2], "low": [3, 4, 5], "high": [1, 6]}
    bounds = [stratum.bounds for stratum in strata(counts)]
    middle = -(7 / 9 * math.log(7 / 9) + 2 / 9 * math.log(2 / 9))
    assert bounds == [
        "people's entropy is 0",
        f"people's entropy is above 0, at most {middle:.3g} nats",
        f"people's entropy is above {middle:.3g} nats",
    ]


def test_every_image_is_in_one_stratum():
    counts = torch.randint(0, 4, (301, 6), generator=torch.Generator().manual_seed(0))
    counts[:, 0] += 1
    images = torch.stack([stratum.images for stratum in strata(counts)])
    assert torch.equal(images.sum(0), torch.ones(301, dtype=torch.long))


def test_the_same_votes_for_other_classes_are_of_one_stratum():
    """To the last bit: sums in another order would split them at the median."""
    generator = torch.Generator().manual_seed(0)
    votes = torch.tensor([23, 11, 7, 5, 3, 1, 1, 0, 0, 0])
    counts = torch.stack([votes[torch.randperm(10, generator=generator)] for _ in range(50)])
    assert named(counts) == {"low": list(range(50))}


def test_neither_the_number_of_votes_nor_their_type_decides():
    counts = torch.tensor([[9, 0], [5, 4], [8, 1]])
    assert named(7 * counts) == named(counts) == named(counts.double()) == named(counts / counts.sum(1, keepdim=True))


def test_the_order_of_the_classes_changes_nothing():
    counts = torch.randint(0, 5, (200, 4), generator=torch.Generator().manual_seed(1)) + torch.tensor([1, 0, 0, 0])
    assert named(counts[:, [2, 0, 3, 1]]) == named(counts)


@pytest.mark.parametrize(
    ("counts", "names"),
    [([[3, 0], [0, 4]], ["unanimous"]), ([[3, 1], [2, 4]], ["low", "high"]), ([[3, 0], [1, 2]], ["unanimous", "low"])],
)
def test_a_stratum_without_images_is_left_out(counts, names):
    assert list(named(torch.tensor(counts))) == names


def test_images_without_votes_are_refused():
    with pytest.raises(InputError, match="image 1 has no human votes"):
        strata(torch.tensor([[1, 1], [0, 0]]))


@pytest.mark.skipif("MIXLENS_DATA" not in os.environ, reason="needs CIFAR-10H: set MIXLENS_DATA")
def test_strata_of_cifar10h():
    """What the README says: on 44% people all agree, and the rest is cut in two at 0.184 nats."""
    counts = cifar10h.load()
    assert {s.name: int(s.images.sum()) for s in strata(counts)} == {"unanimous": 4393, "low": 2812, "high": 2795}
    assert strata(counts)[1].bounds == "people's entropy is above 0, at most 0.184 nats"
