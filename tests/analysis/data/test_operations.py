import math

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from mixlens.analysis.data.operations import CUTOUT, OPERATIONS

COUNT = 24


def pictures(channels=3, size=(32, 24), seed=0):
    """Smooth ones and noise, one of a single value, one of few values."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 256, (COUNT, channels, *size), dtype=torch.uint8, generator=generator)
    coarse = torch.rand(COUNT // 2, channels, 4, 4, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size, mode="bilinear").mul(255)
    noise[: COUNT // 2] = smooth.to(torch.uint8)
    noise[3] = 77
    noise[4] = noise[4] // 64 * 64
    return noise


def strengths(low, high):
    return torch.linspace(low, high, COUNT)


def done(name, x, v):
    return OPERATIONS[name](x, v, torch.full((len(x), 2), 0.5))


def affine(image, translate=(0, 0), shear=(0.0, 0.0), center=None):
    return reference.affine(image, 0.0, list(translate), 1.0, list(shear), center=center)


# Of torchvision's operations what each does to one image, with that image's number.
ONE_BY_ONE = {
    "shear-x": (-0.3, 0.3, lambda x, v: affine(x, shear=(math.degrees(math.atan(v)), 0.0), center=[0, 0])),
    "shear-y": (-0.3, 0.3, lambda x, v: affine(x, shear=(0.0, math.degrees(math.atan(v))), center=[0, 0])),
    "translate-x": (-0.45, 0.45, lambda x, v: affine(x, translate=(int(v * x.shape[2]), 0))),
    "translate-y": (-0.45, 0.45, lambda x, v: affine(x, translate=(0, int(v * x.shape[1])))),
    "shift-x": (-0.44, 0.44, lambda x, v: affine(x, translate=(round(v * x.shape[2]), 0))),
    "shift-y": (-0.44, 0.44, lambda x, v: affine(x, translate=(0, round(v * x.shape[1])))),
    "rotate": (-30, 30, lambda x, v: reference.rotate(x, v)),
    "brightness": (-0.9, 0.9, lambda x, v: reference.adjust_brightness(x, 1 + v)),
    "contrast": (-0.9, 0.9, lambda x, v: reference.adjust_contrast(x, 1 + v)),
    "colour": (-0.9, 0.9, lambda x, v: reference.adjust_saturation(x, 1 + v)),
    "sharpness": (-0.9, 0.9, lambda x, v: reference.adjust_sharpness(x, 1 + v)),
    "posterize": (4, 8, lambda x, v: reference.posterize(x, int(v))),
    "solarize": (0, 255, lambda x, v: reference.solarize(x, v)),
    "autocontrast": (0, 0, lambda x, v: reference.autocontrast(x)),
    "equalize": (0, 0, lambda x, v: reference.equalize(x)),
    "invert": (0, 0, lambda x, v: reference.invert(x)),
}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ONE_BY_ONE)
def test_a_batch_is_torchvisions_image_by_image(name, channels):
    low, high, one = ONE_BY_ONE[name]
    x, v = pictures(channels), strengths(low, high)
    if name == "posterize":
        v = v.floor()
    untouched = x.clone()
    ours = done(name, x, v)
    theirs = torch.stack([one(image, strength) for image, strength in zip(x, v.tolist(), strict=True)])
    assert ours.dtype == torch.uint8
    assert torch.equal(x, untouched)
    moved = name in ("shear-x", "shear-y", "rotate")  # a pixel between two may be either
    off = (ours.int() - theirs.int()).abs()
    assert (off > 1).float().mean() < (0.003 if moved else 1e-9), "by more than the rounding of a byte"
    assert (off > 0).float().mean() < 0.01


def test_every_operation_is_tried_against_torchvision_or_here():
    assert OPERATIONS.keys() == ONE_BY_ONE.keys() | {"cutout"}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_image_is_treated_by_itself(name):
    low, high, _ = ONE_BY_ONE.get(name, (0.0, 0.2, None))
    x, v = pictures(), strengths(low, high)
    whole = done(name, x, v)
    for place in (0, 3, 20):
        assert torch.equal(done(name, x[place : place + 1], v[place : place + 1])[0], whole[place])


@pytest.mark.parametrize("name", ["shear-x", "shift-y", "rotate", "brightness", "contrast", "colour", "sharpness"])
def test_at_strength_0_nothing_happens(name):
    x = pictures()
    assert torch.equal(done(name, x, torch.zeros(COUNT)), x)


def test_cutout_is_a_square_of_one_colour_around_its_middle():
    x = torch.zeros(4, 3, 20, 30, dtype=torch.uint8)
    places = torch.tensor([[0.5, 0.5], [0.0, 0.0], [0.999, 0.999], [0.5, 0.5]])
    out = OPERATIONS["cutout"](x, torch.tensor([0.2, 0.2, 0.2, 0.0]), places)  # 6 pixels wide, and both ends
    rows, columns = (out[:, 0] > 0).any(2), (out[:, 0] > 0).any(1)
    assert rows.sum(1).tolist() == [7, 7, 4, 0]
    assert columns.sum(1).tolist() == [7, 7, 4, 0]
    assert columns[0].nonzero().flatten().tolist() == list(range(12, 19))
    assert columns[1].nonzero().flatten().tolist() == list(range(7))
    assert out[0, :, 10, 15].tolist() == list(CUTOUT)
    assert OPERATIONS["cutout"](x[:1, :1], torch.tensor([0.2]), places[:1]).max() == 121
