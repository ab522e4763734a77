"""What tells masks apart, in one to three dimensions: transitions, lengths of segments, power by frequency, parts.

Every line along an axis is taken as a circle, on which the noise of FMix lives: its last position is the neighbour of
its first. Soft masks are cut at ½, but for their power.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError

QUANTILES = (0.1, 0.5, 0.9)  # of the lengths of segments
GROUPS = 10  # of masks, over whose quantiles errors are taken
TOGETHER = 2**22  # pixels transformed at a time
SHOWN = 3  # frequencies told one by one; the others are one number


class Statistic(NamedTuple):
    """The mean of something over masks, and its standard error; without one where there are too few masks."""

    name: str
    axis: int | None  # of the mask's sides, from 0; None: of all of it
    value: float
    stderr: float | None
    masks: int
    unit: str


def structure(masks: Tensor) -> list[Statistic]:
    """All that is here, of masks (N, *size) of one to three sides, drawn independently.

    Raises:
        InputError: no masks, other shapes, or values outside [0, 1].
    """
    _check(masks)
    told = []
    dims = masks.ndim - 1
    for axis in range(dims):
        told.append(_mean("transitions", axis, transitions(masks, axis), "per line"))
    if dims == 1:
        told.append(_mean("one segment of ones", 0, (transitions(masks) == 2).double(), "share of masks"))
    for axis in range(dims):
        lengths, owner = segments(masks, axis)
        each = torch.bincount(owner, lengths.double(), len(masks)) / torch.bincount(owner, minlength=len(masks))
        told.append(_mean("segment length, mean", axis, each, "positions"))
        for quantile in QUANTILES:
            told.append(_quantile(quantile, axis, lengths, owner, len(masks)))
    for axis, shares in enumerate(power_shares(masks)):
        if shares.isnan().all():
            continue
        for k in range(int(dims == 1), min(SHOWN, shares.shape[1])):  # of one axis the zero frequency is left out
            told.append(_mean(f"power at |k| = {k}", axis, shares[:, k], "share"))
        if shares.shape[1] > SHOWN:
            told.append(_mean(f"power at |k| ≥ {SHOWN}", axis, shares[:, SHOWN:].sum(1), "share"))
    for value, name in ((True, "parts of ones"), (False, "parts of zeros")) if dims > 1 else ():
        told.append(_mean(name, None, components((masks > 0.5) == value), "per mask"))
    return told


def transitions(masks: Tensor, axis: int = 0) -> Tensor:
    """How often a line along an axis changes between 0 and 1, once around: the mean over a mask's lines, (N,).

    Of masks (N, length) it is a whole even number: twice the segments of ones.
    """
    _check(masks)
    ones = masks > 0.5
    return (ones != ones.roll(1, axis + 1)).flatten(1).double().mean(1) * masks.shape[axis + 1]


def segments(masks: Tensor, axis: int = 0) -> tuple[Tensor, Tensor]:
    """Lengths (S,) of all runs of equal values along an axis, once around, and the mask that each is of, (S,).

    A line without a transition is one segment, as long as itself; those of a line add up to its length.
    """
    _check(masks)
    lines = (masks > 0.5).movedim(axis + 1, -1)
    side, count = lines.shape[-1], lines[0].numel() // lines.shape[-1]
    lines = lines.reshape(-1, side)
    row, place = (lines != lines.roll(1, 1)).nonzero().unbind(1)  # where a run begins, line by line
    last = torch.ones_like(row, dtype=torch.bool)
    last[:-1] = row[1:] != row[:-1]
    first = last.roll(1)
    lengths = place.roll(-1) - place
    lengths[last] = place[first] + side - place[last]  # on, past the end, to the line's first
    still = torch.bincount(row, minlength=len(lines)) == 0
    whole = still.nonzero().squeeze(1)
    return torch.cat([lengths, torch.full_like(whole, side)]), torch.cat([row, whole]) // count


def power_shares(images: Tensor) -> list[Tensor]:
    """Shares of the power by |k| along each axis, (N, side // 2 + 1), each image's summed over all other frequencies.

    Of masks or any images (N, *size). Without the zero frequency of all axes, so that the power is the variance; an
    image that is constant has none, and NaN. |k| in cycles per side.
    """
    if images.ndim not in (2, 3, 4) or not images.numel():
        raise InputError(f"images are (N, *size) of one to three sides, got shape {tuple(images.shape)}.")
    size, dims = images.shape[1:], tuple(range(1, images.ndim))
    shares: list[list[Tensor]] = [[] for _ in size]
    for part in images.split(max(1, TOGETHER // math.prod(size))):
        centred = part.double() - part.double().mean(dims, keepdim=True)
        power = torch.fft.fftn(centred, dim=dims).abs().square()
        for axis, side in enumerate(size):
            each = power.movedim(axis + 1, 1).reshape(len(part), side, -1).sum(2)
            k = torch.arange(side, device=each.device)
            folded = each.new_zeros(len(part), side // 2 + 1).index_add_(1, k.minimum(side - k), each)  # +k and −k
            total = folded.sum(1, keepdim=True)
            shares[axis].append(folded / torch.where(total > 0, total, torch.nan))
    return [torch.cat(parts) for parts in shares]


def components(masks: Tensor) -> Tensor:
    """How many connected parts the ones of each mask have, (N,): neighbours share a side, and borders are borders."""
    from scipy.ndimage import label

    _check(masks)
    return torch.tensor([label(ones)[1] for ones in (masks > 0.5).cpu().numpy()], dtype=torch.float64)


def _check(masks: Tensor) -> None:
    if masks.ndim not in (2, 3, 4) or not masks.numel():
        raise InputError(f"masks are (N, *size) of one to three sides, got shape {tuple(masks.shape)}.")
    low, high = masks.aminmax() if masks.dtype != torch.bool else (masks.new_zeros(()), masks.new_ones(()))
    if not (low >= 0 and high <= 1):
        raise InputError(f"masks lie in [0, 1], got values from {low.item():g} to {high.item():g}.")


def _mean(name: str, axis: int | None, values: Tensor, unit: str) -> Statistic:
    told = values[~values.isnan()].double()  # a constant mask has no power
    count = len(told)
    spread = (told.std() / math.sqrt(count)).item() if count > 1 else None
    return Statistic(name, axis, told.mean().item(), spread, count, unit)


def _quantile(quantile: float, axis: int, lengths: Tensor, owner: Tensor, masks: int) -> Statistic:
    """Of all masks' segments; its error from the same of groups of masks."""
    name = f"segment length, {quantile:.0%} quantile"
    value = _of(lengths, quantile)
    if masks < 2 * GROUPS:
        return Statistic(name, axis, value, None, masks, "positions")
    parts = [_of(lengths[owner % GROUPS == group], quantile) for group in range(GROUPS)]
    return Statistic(name, axis, value, float(np.std(parts, ddof=1) / math.sqrt(GROUPS)), masks, "positions")


def _of(lengths: Tensor, quantile: float) -> float:
    return float(np.quantile(lengths.cpu().numpy(), quantile))
