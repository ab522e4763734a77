"""Batches from a data set that lives on the device: indexing, augmentation, normalisation, and no worker processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from ..errors import InputError
from .sub_policies import SubPolicies

if TYPE_CHECKING:
    from .dataset import Split

_GREY = (0.2989, 0.587, 0.114)  # torchvision's luma weights, which sum to 0.9999


def normalise(images: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """(x / 255 − mean) / std: uint8 (B, C, H, W) to float32; mean and std (C,) are on the [0, 1] scale."""
    return standardise(unit(images), mean, std)


def flip(images: Tensor, which: Tensor) -> Tensor:
    """Mirror left and right the images (B, C, H, W) for which ``which`` (B,) bool is true."""
    return torch.where(which.view(-1, 1, 1, 1), images.flip(-1), images)


def crop(images: Tensor, padding: int, offsets: Tensor) -> Tensor:
    """Pad with ``padding`` zeros on each side and cut the original size at ``offsets``.

    Images (B, C, H, W); offsets (B, 2), integer top row and left column in 0 … 2·padding of the padded image;
    (padding, padding) gives the image back.
    """
    height, width = images.shape[-2:]
    windows = F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)  # a view: (B, C, 2p+1, 2p+1, H, W)
    return windows[torch.arange(len(images), device=images.device), :, offsets[:, 0], offsets[:, 1]]


def colour_jitter(images: Tensor, brightness: Tensor, contrast: Tensor, saturation: Tensor, hue: Tensor) -> Tensor:
    """Brightness, contrast, saturation and hue, in this order, each with one factor (B,) per image.

    Images (B, C, H, W) float in [0, 1], C = 1 or 3 (on one channel the last two do nothing). A factor of 1 leaves the
    image as it is; ``hue`` is a shift in turns, −0.5 … 0.5. The formulas and their clamping are those of
    torchvision.transforms.v2.functional adjust_brightness, adjust_contrast, adjust_saturation and adjust_hue.

    Raises:
        InputError: another number of channels.
    """
    channels = images.shape[1]
    if channels not in (1, 3):
        raise InputError(f"colour jitter needs images of 1 or 3 channels, these have {channels}; set jitter to 0.")
    brightness, contrast, saturation, hue = (v.view(-1, 1, 1, 1) for v in (brightness, contrast, saturation, hue))
    x = (images * brightness).clamp_(0, 1)
    mean = _grey(x.mean((2, 3), keepdim=True))  # the mean grey is the grey of the means
    x = x.mul_(contrast).add_(mean * (1 - contrast)).clamp_(0, 1)
    if channels == 1:
        return x
    grey = _grey(x)
    x = x.mul_(saturation).add_(grey.mul_(1 - saturation)).clamp_(0, 1)
    return _shift_hue(x, hue.squeeze(1))


@dataclass(frozen=True)
class Transforms:
    """Sub-policies of random operations, flip (p = ½), crop after zero padding, and colour jitter, drawn per image.

    With jitter j, brightness, contrast and saturation factors are uniform in [1 − j, 1 + j] and the hue shift in
    [−j, j]; see `colour_jitter`.

    Raises:
        InputError: a negative padding, or a jitter outside 0 … 0.5.
    """

    flip: bool = False
    crop_padding: int = 0
    jitter: float = 0.0
    policies: SubPolicies | None = None

    def __post_init__(self) -> None:
        if self.crop_padding < 0:
            raise InputError(f"crop_padding is {self.crop_padding}; give a number of pixels, 0 for no crop.")
        if not 0 <= self.jitter <= 0.5:
            raise InputError(f"jitter is {self.jitter}; give 0 (none) to 0.5 (half a turn of hue).")

    def __call__(self, images: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Images (B, C, H, W), uint8 or float in [0, 1], transformed, as floats.

        Drawn on the generator's device, by default the images'. Bytes are flipped and cropped as bytes, a quarter of
        the memory; sub-policies take no other.
        """
        count, device = len(images), images.device
        source = generator.device if generator is not None else device

        def uniform(rows: int) -> Tensor:
            return torch.rand(rows, count, generator=generator, dtype=torch.float32, device=source).to(device)

        if self.policies is not None:
            images = self.policies(images, uniform)
        if self.flip:
            images = flip(images, uniform(1)[0] < 0.5)
        if self.crop_padding:
            ends = 2 * self.crop_padding + 1
            offsets = torch.randint(ends, (count, 2), generator=generator, device=source).to(device)
            images = crop(images, self.crop_padding, offsets)
        if images.dtype == torch.uint8:
            images = unit(images)
        if self.jitter:
            spread = self.jitter * (2 * uniform(4) - 1)
            images = colour_jitter(images, 1 + spread[0], 1 + spread[1], 1 + spread[2], spread[3])
        return images


class Taken(TypedDict, total=False):
    """How batches are taken of any samples; see `Batched`."""

    device: torch.device | str
    generator: Generator | None
    shuffle: bool
    channels_last: bool  # of images; what has other sides has one format


class Batched:
    """Batches of a split, once an epoch: x (B, C, H, W) float32, transformed and normalised, and y, on ``device``.

    With ``shuffle`` each epoch draws its order from ``generator``, and the transforms draw from it too. A last batch of
    one image is joined to the batch before it, since batch normalisation and mixing need two.

    Raises:
        InputError: a batch size below 2 or above the number of images.
    """

    images: Any
    labels: Tensor
    one_shape = True  # whether all batches have the same sides

    def __init__(
        self,
        split: Split,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        *,
        transforms: Callable[..., Tensor] | None = None,
        device: torch.device | str = "cpu",
        generator: Generator | None = None,
        shuffle: bool = False,
        channels_last: bool = False,
    ) -> None:
        if not 2 <= batch_size <= len(split):
            raise InputError(f"batch size {batch_size} for a split of {len(split)} images; give 2 to {len(split)}.")
        self.device = torch.device(device)
        self.mean, self.std = (torch.tensor(values, dtype=torch.float32, device=device) for values in (mean, std))
        self.batch_size, self.shuffle, self.generator, self.transforms = batch_size, shuffle, generator, transforms
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.place(split)

    def place(self, split: Split) -> None:
        """Hold the images and labels where an epoch's batches are taken from them."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        raise NotImplementedError

    def __len__(self) -> int:
        return (len(self.images) + self.batch_size - 2) // self.batch_size  # one image over makes no batch

    def order(self) -> Tensor | None:
        """The order of an epoch's images, (N,), drawn anew where they are shuffled; None: as they are."""
        if not self.shuffle:
            return None
        source = self.generator.device if self.generator is not None else self.labels.device
        return torch.randperm(len(self.images), generator=self.generator, device=source).to(self.labels.device)

    def rows(self, batch: int) -> slice:
        """Which places of an epoch's order a batch has."""
        start = batch * self.batch_size
        return slice(start, start + self.batch_size if batch < len(self) - 1 else len(self.images))

    def ready(self, pixels: Tensor, generator: Generator | None) -> Tensor:
        """Pixels (B, C, H, W) uint8 on the device, transformed and normalised."""
        x = unit(pixels) if self.transforms is None else self.transforms(pixels, generator=generator)
        x = standardise(x, self.mean, self.std)
        return x.contiguous(memory_format=self.memory_format) if x.ndim == 4 else x


class Batches(Batched):
    """Of images in memory: the uint8 images move to the device once, when these are made."""

    images: Tensor

    def place(self, split: Split) -> None:
        self.images, self.labels = split.images.to(self.device), split.labels.to(self.device)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self.order()
        for batch in range(len(self)):
            rows = self.rows(batch)
            yield self.take(rows if order is None else order[rows])

    def take(self, which: Tensor | slice) -> tuple[Tensor, Tensor]:
        """The images of these numbers, transformed and normalised, and their labels."""
        return self.ready(self.images[which], self.generator), self.labels[which]


def unit(images: Tensor) -> Tensor:
    """uint8 as float32 in [0, 1], of its own memory."""
    return images.to(torch.float32, copy=True).div_(255)


def standardise(x: Tensor, mean: Sequence[float] | Tensor, std: Sequence[float] | Tensor) -> Tensor:
    """(x − mean) / std in place: x is the batch's own, made by `unit`."""
    sides = [1] * (x.ndim - 2)
    mean, std = (torch.as_tensor(v, dtype=x.dtype, device=x.device).view(-1, *sides) for v in (mean, std))
    return x.sub_(mean).div_(std)


def _grey(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B, 1, H, W); one channel is its own grey."""
    if x.shape[1] == 1:
        return x
    red, green, blue = x.split(1, dim=1)
    return (red * _GREY[0]).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2])


def _shift_hue(x: Tensor, turns: Tensor) -> Tensor:
    """Rotate the hue of images (B, 3, H, W) by turns (B, 1, 1), value and saturation kept.

    With the hue h in sixths of a turn, a channel is the lowest one plus the span times a trapezoid of h: 1 within one
    sixth of the channel's own hue, 0 beyond two.
    """
    red, green, blue = x.unbind(1)
    low = torch.minimum(torch.minimum(red, green), blue)
    high = torch.maximum(torch.maximum(red, green), blue)
    span = high - low
    # In every sixth of the circle the distance of h from red is (green + blue + high − red − 2 low) / span, and its
    # side is the sign of green − blue: no branch, and so quick on a CPU.
    distance = (green + blue).add_(high).sub_(red).sub_(low, alpha=2)
    distance.div_(span.clamp_min(1e-12))  # grey has no hue: the distance is 0, and so is the span
    h = distance.copysign_(green - blue).add_(6 * turns)
    h.sub_((h / 6).floor_().mul_(6))
    out = torch.empty_like(x)
    out[:, 0] = (h - 3).abs_().sub_(1)
    out[:, 1] = (h - 2).abs_().neg_().add_(2)
    out[:, 2] = (h - 4).abs_().neg_().add_(2)
    return out.clamp_(0, 1).mul_(span.unsqueeze(1)).add_(low.unsqueeze(1))
