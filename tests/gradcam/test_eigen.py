"""EigenCAM by hand, and the sign of a projection."""

import math

import pytest
import torch

from mixlens.gradcam.eigen import eigencam, oriented


def test_eigencam_of_rank_one_activations_is_the_map_that_all_channels_share():
    pattern = torch.tensor([[0.0, 1.0, 5.0], [2.0, 0.0, 4.0]])
    channels = torch.tensor([2.0, 0.0, 1.0])
    made = eigencam(torch.einsum("c,hw->chw", channels, pattern)[None])
    torch.testing.assert_close(made[0], math.sqrt(5) * (pattern - 2).relu())  # the mean over pixels is 2


@pytest.mark.parametrize("sign", [1, -1])
def test_the_sign_of_eigencam_is_that_of_the_energy(sign):
    """x and −x have one component and one energy, so one map; an offset moves the energy and may turn the map."""
    generator = torch.Generator().manual_seed(2)
    activations = torch.randn(5, 6, 4, 4, generator=generator)
    torch.testing.assert_close(eigencam(sign * activations), eigencam(activations))
    pattern = torch.tensor([[[[0.0, 1.0], [2.0, 3.0]]]])
    made = eigencam(sign * (pattern - 10))  # most energy where the pattern is least
    torch.testing.assert_close(made, torch.tensor([[[1.5, 0.5], [0.0, 0.0]]]))


def test_constant_activations_have_no_component():
    made = eigencam(torch.arange(1.0, 5).view(1, 4, 1, 1).expand(1, 4, 7, 7) / 10)
    assert not made.any()


@pytest.mark.parametrize("sign", [1, -1])
def test_a_projection_is_turned_towards_the_energy_image_by_image(sign):
    activations = torch.tensor([[[0.0, 1.0], [2.0, 3.0]], [[3.0, 2.0], [1.0, 0.0]]]).unsqueeze(1)
    projection = torch.tensor([[[-3.0, -1.0], [1.0, 3.0]], [[-3.0, -1.0], [1.0, 3.0]]])
    turned = oriented(sign * projection, activations)
    torch.testing.assert_close(turned, torch.stack([projection[0], -projection[0]]))


def test_a_projection_of_nothing_stays_so():
    assert not oriented(torch.zeros(2, 3, 3), torch.rand(2, 4, 3, 3)).any()
