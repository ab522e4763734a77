"""From grey-scale images to masks: the top λ·n pixels of each (eq. 3), and the variations of appendix F.

Everything works on rows: images (B, n), counts (B,), and the masks (B, n) that are written to ``out``.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

SELECT_PIXELS = 2**12  # from this size on, selecting each row's threshold beats sorting all rows at once
EXACT = 2**24  # from here on, float32 does not hold all whole numbers

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
    across the threshold, which show by having too many ones.
    """
    pixels = image.shape[1]
    threshold = _order_statistics(image.numpy(), np.minimum(pixels - count, pixels - 1))
    threshold[count == 0] = np.inf  # else the largest pixel is one too many, and the row is sorted below
    torch.ge(image, torch.from_numpy(threshold)[:, None], out=out)
    ones = out.sum(1, dtype=None if pixels <= EXACT else torch.float64)
    tied = torch.from_numpy(ones.numpy() != count)
    if tied.any():
        rows = image[tied]
        exact = torch.empty_like(rows)
        top_by_rank(rows, torch.from_numpy(count)[tied], exact)
        out[tied] = exact


def _order_statistics(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Each row's value at its sorted position ``at``."""
    if values.shape[1] < SELECT_PIXELS:
        return np.sort(values, axis=1)[np.arange(len(values)), at]
    # Few rows a chunk, and no batched selection.
    return np.array([np.partition(line, k)[k] for line, k in zip(values, at.tolist(), strict=True)])


def top_by_rank(image: Tensor, count: Tensor, out: Tensor) -> None:
    """The same by a stable sort of indices: no branch on data, so no wait on an accelerator, and it compiles."""
    values, order = image.sort(dim=1, descending=True, stable=True)
    # Over the sorted values, which have served: floats at once, where a new tensor would be bool and need a cast.
    torch.lt(_ranks(image), count[:, None], out=values)
    out.scatter_(1, order, values)


def soft_top(image: Tensor, count: Tensor, lam: Tensor, max_soft: float, out: Tensor) -> None:
    """Appendix F.2: a linear ramp from 1 to 0 over ``soft`` ranks on either side of the threshold."""
    pixels = image.shape[1]
    share = torch.minimum(torch.minimum(lam, 1 - lam), torch.full_like(lam, max_soft))
    soft = torch.minimum((share * pixels).long(), torch.minimum(count, pixels - count))[:, None]
    rank = _ranks(image)
    ramp = 1 - (rank - (count[:, None] - soft)).float() / (2 * soft - 1).clamp(min=1)
    value = torch.where(soft > 0, ramp.clamp(0, 1), (rank < count[:, None]).to(ramp.dtype))
    out.scatter_(1, _descending(image), value.to(out.dtype))


def top_by_salience(image: Tensor, lam: Tensor, salience: Tensor, out: Tensor) -> None:
    """Appendix F.1: take pixels in descending order until their share of the salience is nearest λ."""
    weights = salience.flatten().double()
    weights = weights / weights.sum()
    order = _descending(image)
    taken = weights[order]
    inside = (taken.cumsum(1) - 0.5 * taken < lam[:, None].double()) | (lam[:, None] >= 1)
    out.scatter_(1, order, inside.to(out.dtype))


def _ranks(image: Tensor) -> Tensor:
    return torch.arange(image.shape[1], device=image.device)


def _descending(image: Tensor) -> Tensor:
    return image.argsort(dim=1, descending=True, stable=True)
