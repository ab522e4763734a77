"""Checks of paired samples x (N, d_x), y (N, d_y), for the estimators that see nothing else."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..statistics.uncertainty import as_double
from .encodings import finite

CONSTANT = 1e-12  # of the largest value: a smaller spread is rounding


def check_samples(x: Tensor, y: Tensor, names: tuple[str, str] = ("x", "y")) -> tuple[Tensor, Tensor]:
    """Both as (N, d) float64; a vector (N,) is one dimension.

    Raises:
        InputError: not floating-point, not finite, not two-dimensional, not paired, fewer than 3.
    """
    for name, values in zip(names, (x, y), strict=True):
        finite(name, values)
    x, y = (values[:, None] if values.ndim == 1 else values for values in (x, y))
    if x.ndim != 2 or y.ndim != 2 or len(x) != len(y) or not x.shape[1] or not y.shape[1]:
        raise InputError(
            f"{names[0]} and {names[1]} must be (N, d_x) and (N, d_y), one row per pair; got {tuple(x.shape)} and "
            f"{tuple(y.shape)}."
        )
    if len(x) < 3:
        raise InputError(f"an estimate needs at least 3 pairs, got {len(x)}.")
    return as_double(x), as_double(y)


def standardise(values: Tensor, name: str) -> Tensor:
    """Each coordinate to mean 0 and variance 1. Raises InputError for a constant coordinate."""
    values, _ = to_unit(values)
    spread = values.std(0)
    constant = (spread <= CONSTANT * values.abs().amax(0)).nonzero()[:, 0].tolist()
    if constant:
        raise InputError(
            f"coordinate {constant[0]} of {name} is the same in all {len(values)} samples: it carries no information. "
            "Leave it out."
        )
    return (values - values.mean(0)) / spread


def to_unit(values: Tensor) -> tuple[Tensor, Tensor]:
    """Each coordinate (N, d) divided by a power of two, which rounds nothing, to at most 1; and the powers (d,)."""
    exponent = torch.frexp(values.abs().amax(0))[1].clamp(-1021, 1023)  # whose powers float64 has
    unit = torch.ldexp(torch.ones_like(values[0]), exponent)
    return values / unit, unit


def joined(x: Tensor, y: Tensor) -> Tensor:
    return torch.cat([x, y], 1)
