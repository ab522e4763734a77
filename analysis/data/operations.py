"""The operations of automatic augmentation, each on a batch in which every image has a strength of its own.

What they compute on bytes is what the operation of that name in torchvision.transforms.v2.functional does to one image:
those without a strength are torchvision's, which take a batch; of the others, which take one number for a whole batch,
these are the formulas with a number for each image. Nearest pixels, and zeros from beyond the edge.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as library

Operation = Callable[[Tensor, Tensor, Tensor], Tensor]

CUTOUT = (125, 123, 114)  # the colour of the published code's cutout; on grey images their mean


def shear_x(x: Tensor, v: Tensor) -> Tensor:
    """Row y comes from v·y pixels further right; ``v`` is the tangent of the angle."""
    return _resampled(x, {(0, 1): v})


def shear_y(x: Tensor, v: Tensor) -> Tensor:
    """Column x comes from v·x pixels further down."""
    return _resampled(x, {(1, 0): v})


def translate_x(x: Tensor, v: Tensor) -> Tensor:
    """To the right by v widths, cut to whole pixels as torchvision's AutoAugment does."""
    return _resampled(x, {(0, 2): -(v * x.shape[3]).trunc()})


def translate_y(x: Tensor, v: Tensor) -> Tensor:
    """Down by v heights, cut to whole pixels."""
    return _resampled(x, {(1, 2): -(v * x.shape[2]).trunc()})


def shift_x(x: Tensor, v: Tensor) -> Tensor:
    """To the right by v widths, to the nearest pixel, as Fast AutoAugment does."""
    return _resampled(x, {(0, 2): -v * x.shape[3]})


def shift_y(x: Tensor, v: Tensor) -> Tensor:
    """Down by v heights, to the nearest pixel."""
    return _resampled(x, {(1, 2): -v * x.shape[2]})


def rotate(x: Tensor, v: Tensor) -> Tensor:
    """About the centre by v degrees, against the clock."""
    angle = torch.deg2rad(v)
    cos, sin, (height, width) = angle.cos(), angle.sin(), x.shape[2:]
    return _resampled(
        x,
        {
            (0, 0): cos,
            (0, 1): -sin,
            (0, 2): (width - cos * width + sin * height) / 2,
            (1, 0): sin,
            (1, 1): cos,
            (1, 2): (height - sin * width - cos * height) / 2,
        },
    )


def brightness(x: Tensor, v: Tensor) -> Tensor:
    """Times 1 + v, as all enhancements: −1 leaves nothing of the image, 0 all of it."""
    return _blended(x, torch.zeros(1, device=x.device), v)


def contrast(x: Tensor, v: Tensor) -> Tensor:
    """Away from the image's mean grey."""
    return _blended(x, _grey(x).mean((1, 2, 3), keepdim=True), v)


def colour(x: Tensor, v: Tensor) -> Tensor:
    """Away from the grey image; on grey images the identity."""
    return _blended(x, _grey(x), v) if x.shape[1] == 3 else x


def sharpness(x: Tensor, v: Tensor) -> Tensor:
    """Away from the smoothed image: each pixel weighs five times as much as its eight neighbours. Edges stay."""
    if min(x.shape[2:]) <= 2:
        return x
    channels = x.shape[1]
    kernel = torch.ones(3, 3, device=x.device)
    kernel[1, 1] = 5
    smoothed = F.conv2d(x.float(), (kernel / 13).expand(channels, 1, 3, 3), groups=channels).round_()
    out = x.clone()
    out[:, :, 1:-1, 1:-1] = _blended(x[:, :, 1:-1, 1:-1], smoothed, v)
    return out


def posterize(x: Tensor, v: Tensor) -> Tensor:
    """The highest v bits of each byte, of 8."""
    dropped = 2 ** (8 - _each(v))
    return x & (256 - dropped).to(torch.uint8)  # 256 − 256 / 2⁸: of 8 bits all but 0 of the lowest


def solarize(x: Tensor, v: Tensor) -> Tensor:
    """Bytes of v and above inverted."""
    return torch.where(x >= _each(v), 255 - x, x)


def cutout(x: Tensor, v: Tensor, places: Tensor) -> Tensor:
    """A square, v widths wide, in one colour. ``places`` (B, 2) in [0, 1): where its middle is, from left and top."""
    channels, height, width = x.shape[1:]
    side = v * width
    inside = []
    for axis, length in ((1, height), (0, width)):
        first = (places[:, axis] * length - side / 2).clamp_min(0).floor().unsqueeze(1)
        along = torch.arange(length, device=x.device)
        inside.append((along >= first) & (along <= first + side.unsqueeze(1)))
    square = (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1) & (_each(v) > 0)
    grey = round(sum(CUTOUT) / len(CUTOUT))
    values = [torch.full((1,), value, dtype=torch.uint8, device=x.device) for value in CUTOUT]
    fill = torch.cat(values).view(-1, 1, 1) if channels == 3 else torch.full_like(x[:1, :1, :1, :1], grey)
    return torch.where(square, fill, x)


def _with_strength(operation: Callable[[Tensor, Tensor], Tensor]) -> Operation:
    return lambda x, v, places: operation(x, v)


def _without_strength(operation: Callable[[Tensor], Tensor]) -> Operation:
    return lambda x, v, places: operation(x)


# Images (B, C, H, W) uint8 with C = 1 or 3, strengths (B,), places (B, 2) → images; each by itself.
OPERATIONS: dict[str, Operation] = {
    name: _with_strength(operation)
    for name, operation in {
        "shear-x": shear_x,
        "shear-y": shear_y,
        "translate-x": translate_x,
        "translate-y": translate_y,
        "shift-x": shift_x,
        "shift-y": shift_y,
        "rotate": rotate,
        "brightness": brightness,
        "contrast": contrast,
        "colour": colour,
        "sharpness": sharpness,
        "posterize": posterize,
        "solarize": solarize,
    }.items()
}
OPERATIONS |= {
    "autocontrast": _without_strength(library.autocontrast),
    "equalize": _without_strength(library.equalize),
    "invert": _without_strength(library.invert),
    "cutout": cutout,
}


def _each(v: Tensor) -> Tensor:
    return v.view(-1, 1, 1, 1)


def _grey(x: Tensor) -> Tensor:
    return library.rgb_to_grayscale(x.float()).floor_() if x.shape[1] == 3 else x.float()


def _blended(x: Tensor, other: Tensor, v: Tensor) -> Tensor:
    """(1 + v) x − v other, cut to bytes."""
    return (x * (1 + _each(v)) - other * _each(v)).clamp_(0, 255).to(torch.uint8)


def _resampled(x: Tensor, entries: dict[tuple[int, int], Tensor]) -> Tensor:
    """The pixel at (X, Y) from the one at (a X + b Y + c, d X + e Y + f), measured from the top left corner.

    ``entries`` of the matrix ((a, b, c), (d, e, f)), each (B,); the others are those of the identity.
    """
    count, _, height, width = x.shape
    matrix = torch.zeros(count, 2, 3, device=x.device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = 1
    for (row, column), values in entries.items():
        matrix[:, row, column] = values
    a, b, c, d, e, f = matrix.flatten(1).unbind(1)
    # The same in coordinates from −1 to 1.
    b, d = b * height / width, d * width / height
    theta = torch.stack([a, b, a + b + 2 * c / width - 1, d, e, d + e + 2 * f / height - 1], 1).view(count, 2, 3)
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    return F.grid_sample(x.float(), grid, mode="nearest", align_corners=False).to(torch.uint8)
