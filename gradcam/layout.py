"""Where a layer's output holds its map, and the map itself: channels first, channels last, or tokens.

An output says nothing of its axes. What tells: the layer's kind, the images' sides, of which a map has the ratio, and
whether the layer lies within a block of tokens, where (B, heads, tokens, dimensions) is no map. Tokens (B, N, D) are a
map where the network has a class token, so that what stands before the patches is known.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.pooling import _AdaptiveAvgPoolNd, _AdaptiveMaxPoolNd, _AvgPoolNd, _MaxPoolNd

CHANNELS_FIRST = _ConvNd | _NormBase | nn.GroupNorm | _MaxPoolNd | _AvgPoolNd | _AdaptiveAvgPoolNd | _AdaptiveMaxPoolNd
TOKENS = ("cls_token", "class_token", "dist_token", "reg_token")  # timm's, torchvision's and transformers' names


class Layout(NamedTuple):
    """How a map (B, C, h, w) lies in an output: by default as it is."""

    last: bool = False  # (B, h, w, C)
    tokens: int = 0  # of classes, before those of the patches: (B, tokens + h·w, C)
    grid: tuple[int, int] | None = None  # (h, w) of tokens
    named: str = ""  # what the network calls the tokens before

    @property
    def note(self) -> str:
        if self.grid:
            return f"tokens after {self.named}"
        return "channels last" if self.last else ""

    def map_of(self, output: Tensor) -> Tensor:
        """(B, C, h, w)."""
        if self.grid:
            return output[:, self.tokens :].transpose(1, 2).unflatten(2, self.grid)
        return output.permute(0, 3, 1, 2) if self.last else output

    def output_of(self, maps: Tensor, output: Tensor) -> Tensor:
        """An output like ``output`` whose map is this."""
        if self.grid:
            return torch.cat([output[:, : self.tokens], maps.flatten(2).transpose(1, 2)], 1)
        return maps.permute(0, 2, 3, 1) if self.last else maps.clone()


class Prefix(NamedTuple):
    """The tokens that a network puts before those of the patches."""

    tokens: int
    dimensions: int
    named: str


def prefix_of(network: nn.Module) -> Prefix | None:
    """Its class token, and what stands beside it; None where it has none."""
    found = {
        name: parameter
        for name, parameter in network.named_parameters()
        if name.rpartition(".")[2] in TOKENS and parameter.ndim == 3
    }
    if not any(name.endswith(TOKENS[:2]) for name in found):
        return None
    first = next(iter(found.values()))
    return Prefix(sum(token.shape[1] for token in found.values()), first.shape[2], " and ".join(found))


def layout_of(
    module: nn.Module, output: object, size: tuple[int, int], images: int, *, prefix: Prefix | None, in_tokens: bool
) -> Layout | None:
    """How a layer's output for so many images of ``size`` (H, W) holds a map; None: it holds none.

    Args:
        prefix: of the network.
        in_tokens: whether the layer lies in a module that is called on tokens.
    """
    if not isinstance(output, Tensor) or len(output) != images:
        return None
    if output.ndim == 3 and prefix is not None and output.shape[2] == prefix.dimensions:
        patches = output.shape[1] - prefix.tokens
        height = round(math.sqrt(max(0, patches) * size[0] / size[1]))
        width = patches // height if height else 0
        fits = height * width == patches and height * size[1] == width * size[0]
        return Layout(tokens=prefix.tokens, grid=(height, width), named=prefix.named) if fits and patches else None
    if output.ndim != 4:
        return None
    if isinstance(module, CHANNELS_FIRST):
        return Layout()
    if in_tokens:
        return None
    first, last = _fits(output.shape[2:], size), _fits(output.shape[1:3], size)
    if first and last:  # as many channels as pixels on a side
        return Layout(last=_works_on_the_last_axis(module))
    if first or last:
        return Layout(last=last)
    return None if any(True for _ in module.parameters()) and not _convolves(module) else Layout()


def _fits(sides: tuple[int, ...], size: tuple[int, int]) -> bool:
    """Whether a map's sides have the ratio of the images', within a pixel where these are no square."""
    (height, width), (whole_height, whole_width) = sides, size
    if whole_height == whole_width:
        return height == width
    return abs(height * whole_width - width * whole_height) < max(size)


def _convolves(module: nn.Module) -> bool:
    return any(isinstance(part, _ConvNd) for part in module.modules())


def _works_on_the_last_axis(module: nn.Module) -> bool:
    """Of layer norms those that are PyTorch's own: libraries' `LayerNorm2d` is one in name."""
    norms_or_multiplies = any(
        isinstance(part, nn.Linear) or getattr(type(part), "forward", None) is nn.LayerNorm.forward
        for part in module.modules()
    )
    return norms_or_multiplies and not _convolves(module)
