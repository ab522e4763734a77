"""Heatmap methods: properties of each, and the user's own by name."""

import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.gradcam.methods import METHODS, find_method, gradcam, gradcam_plus_plus

MINE = """
import torch

def power(exponent=2):
    return lambda activations, gradients: (activations * gradients).sum(1).relu() ** exponent

def negative():
    return lambda activations, gradients: -torch.ones(len(activations), *activations.shape[2:])

def flat():
    return lambda activations, gradients: torch.ones(len(activations))

def failing():
    return lambda activations, gradients: activations @ 3

def none():
    return None

def by_batch():
    return lambda activations, gradients: activations.sum(1) / activations.sum(1).max()

def by_chance():
    return lambda activations, gradients: torch.rand(len(activations), *activations.shape[2:])

def learned():
    scale = torch.nn.Parameter(torch.ones(()))
    return lambda activations, gradients: activations.sum(1) * scale
"""


def test_gradcam_is_linear_in_the_gradients_and_takes_their_mean():
    """Shuffling a channel's gradients over pixels changes nothing; twice the logits give twice the map."""
    generator = torch.Generator().manual_seed(1)
    activations, gradients = torch.randn(2, 3, 5, 4, 4, generator=generator).unbind()
    made = gradcam(activations, gradients)
    shuffled = gradients.flatten(2)[..., torch.randperm(16, generator=generator)].view_as(gradients)
    torch.testing.assert_close(gradcam(activations, shuffled), made)
    torch.testing.assert_close(gradcam(activations, 2 * gradients), 2 * made)


def test_gradcam_plus_plus_where_gradients_are_zero():
    """α = 0 there, whatever the activations; nothing is divided by zero."""
    activations = torch.tensor([[[[0.0, 0.0], [0.0, 3.0]]]])
    gradients = torch.tensor([[[[0.0, 0.0], [0.0, 1.0]]]])
    made = gradcam_plus_plus(activations, gradients)
    torch.testing.assert_close(made, activations[0] / 5)  # w = 1/(2 + 3)
    assert not gradcam_plus_plus(activations, torch.zeros_like(gradients)).any()


# by name


def test_names_are_those_of_the_methods():
    assert all(find_method(f" {name} ").name == name for name in METHODS)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "gradcm",
            r"unknown heatmap method 'gradcm'\. .*'gradcam'\? Known: eigencam, gradcam, gradcam\+\+, layercam\.",
        ),
        ("gradcam(power=2)", r"gradcam takes no arguments"),
        ("gradcam(", "cannot read heatmap method"),
        ("no_such_module:make", "importing 'no_such_module' failed"),
    ],
)
def test_what_is_no_method_is_refused(text, words):
    with pytest.raises(InputError, match=words):
        find_method(text)


def test_ones_own_makes_the_map_of_each_layer(mine):
    method = find_method(f"{mine}:power(exponent=3)")
    activations, gradients = torch.rand(2, 4, 3, 5, 5, generator=torch.Generator().manual_seed(0)).unbind()
    assert method.name == f"{mine}:power(exponent=3)"
    assert len(method.source) == 64
    torch.testing.assert_close(method(activations, gradients), (activations * gradients).sum(1) ** 3)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("negative", r"made maps \(2, 3, 3\); expected maps \(2, 3, 3\) of at least 0"),
        ("flat", r"made maps \(2,\); expected maps \(2, 3, 3\)"),
        ("failing", "failed with TypeError"),
        ("none", "its factory gave NoneType, not a function"),
    ],
)
def test_ones_own_that_makes_no_maps_is_named(mine, name, words):
    with pytest.raises(InputError, match=rf"heatmap method '{mine}:{name}'.* {words}"):
        find_method(f"{mine}:{name}")(torch.ones(2, 4, 3, 3), torch.ones(2, 4, 3, 3))


def test_ones_own_map_of_an_image_is_its_own(mine):
    """Batches are cut anew when a GPU has more room; a result may not depend on it."""
    activations = (
        torch.rand(3, 4, 5, 5, generator=torch.Generator().manual_seed(0))
        * torch.tensor([1, 2, 3.0])[:, None, None, None]
    )
    for name in ("by_batch", "by_chance"):
        with pytest.raises(InputError, match="gives an image another map when it is alone"):
            find_method(f"{mine}:{name}")(activations, activations)
    assert not find_method(f"{mine}:learned")(activations, activations).requires_grad
