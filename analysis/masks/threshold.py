"""From grey-scale images to masks: the top λ·n pixels of each (eq. 3), and the variations of appendix F.

Everything works on rows: images (B, n), counts (B,), masks (B, n).
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

SELECT_PIXELS = 2**12  # from this size on, selecting each row's threshold beats sorting all rows at once


Array = TypeVar("Array", Tensor, np.ndarray)


def count_ones(lam: Array, pixels: int, uniform: Array, *, unbiased: bool = True) -> Array:
    """Number of ones per mask, (B,), whole but of λ's type: floor or ceiling of λ·pixels, by uniform draws (B,).

    Unbiased, its mean is λ·pixels; otherwise either is as likely, as in the published code. Tensors or NumPy arrays, to
    the same bit: on a CPU the latter take a tenth of the time for so few numbers.
    """
    exact = lam * pixels
    whole = exact // 1
    remainder = exact - whole
    up = uniform < remainder if unbiased else (uniform < 0.5) & (remainder > 0)
    return whole + up


def top_by_value(image: Tensor, count: np.ndarray, out: Tensor) -> None:
    """Ones on the ``count`` largest of each row, on a CPU: find the threshold among the values alone and compare.

    An order of magnitude faster than a sort that carries indices; those are only needed for the rare rows with a tie
    across the threshold. ``out`` may be ``image``.
    """
    pixels = image.shape[1]
    at = pixels - count
    threshold, below = _order_statistics(image.numpy(), np.minimum(at, pixels - 1))
    tied = (below == threshold) & (at > 0) & (at < pixels)
    threshold[at == pixels] = np.inf  # no ones at all
    exact = top_by_rank(image[tied], torch.from_numpy(count[tied])) if tied.any() else None
    torch.ge(image, torch.from_numpy(threshold)[:, None], out=out)
    if exact is not None:
        out[torch.from_numpy(tied)] = exact


def _order_statistics(values: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each row's value at its sorted position ``at``, and the value just before it (any, where ``at`` is 0)."""
    if values.shape[1] < SELECT_PIXELS:
        ascending = np.sort(values, axis=1)
        row = np.arange(len(values))
        return ascending[row, at], ascending[row, np.maximum(at - 1, 0)]
    found = np.empty((2, len(values)), values.dtype)
    for i, (line, position) in enumerate(zip(values, at, strict=True)):  # few rows a chunk, and no batched selection
        part = np.partition(line, position)
        found[:, i] = part[position], part[: max(position, 1)].max()
    return found[0], found[1]


def top_by_rank(image: Tensor, count: Tensor) -> Tensor:
    """The same by a stable sort of indices: no branch on data, so no wait on an accelerator, and it compiles."""
    order = image.argsort(dim=1, descending=True, stable=True)
    rank = torch.arange(image.shape[1], device=image.device)
    return torch.zeros_like(image).scatter_(1, order, (rank < count[:, None]).to(image.dtype))


def soft_top(image: Tensor, count: Tensor, lam: Tensor, max_soft: float) -> Tensor:
    """Appendix F.2: a linear ramp from 1 to 0 over ``soft`` ranks on either side of the threshold."""
    pixels = image.shape[1]
    share = torch.minimum(torch.minimum(lam, 1 - lam), torch.full_like(lam, max_soft))
    soft = torch.minimum((share * pixels).long(), torch.minimum(count, pixels - count))[:, None]
    rank = torch.arange(pixels, device=image.device)
    ramp = 1 - (rank - (count[:, None] - soft)) / (2 * soft - 1).clamp(min=1)
    value = torch.where(soft > 0, ramp.clamp(0, 1), (rank < count[:, None]).to(ramp.dtype))
    order = image.argsort(dim=1, descending=True, stable=True)
    return torch.zeros_like(image).scatter_(1, order, value.to(image.dtype))


def top_by_salience(image: Tensor, lam: Tensor, salience: Tensor) -> Tensor:
    """Appendix F.1: take pixels in descending order until their share of the salience is nearest λ."""
    weights = salience.flatten().double()
    weights = weights / weights.sum()
    order = image.argsort(dim=1, descending=True, stable=True)
    taken = weights[order]
    inside = (taken.cumsum(1) - 0.5 * taken < lam[:, None].double()) | (lam[:, None] >= 1)
    return torch.zeros_like(image).scatter_(1, order, inside.to(image.dtype))
