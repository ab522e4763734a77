"""Mutual information from nearest neighbours: Kraskov, Stögbauer and Grassberger (2004)."""

from __future__ import annotations

import math
import warnings
from typing import Any, Literal

import numpy as np
import torch
from scipy.spatial import cKDTree
from scipy.special import digamma
from torch import Generator, Tensor

from ..errors import InputError
from ..interface import Estimate
from ..schema import number
from ..statistics.uncertainty import student
from .encodings import fingerprints
from .samples import check_samples, joined, standardise

TRUSTED_DIMENSIONS = 4
ACCIDENTAL = 0.01  # share of ties in x or y alone that rounding may leave
MARGIN = 4  # times the ties of float32: random numbers have fewer digits than it near zero
WINDOW = 100  # distinct values, for their density
BLOCKS = 10  # of consecutive samples, for the error
ROUNDING = 1e-10  # relative: the neighbour that sets a distance must not move across it


def ksg(
    x: Tensor,
    y: Tensor,
    *,
    k: int = 3,
    variant: Literal[1, 2] = 1,
    jitter: float = 0.0,
    generator: Generator | None = None,
    workers: int = -1,
) -> Estimate:
    """I(X; Y) of samples x (N, d_x), y (N, d_y) from the distances to each sample's k-th neighbour; nats.

    Variant 1 (eq. 8 of the paper): ψ(k) + ψ(N) − ⟨ψ(n_x + 1) + ψ(n_y + 1)⟩, with the numbers of samples nearer than
    the k-th neighbour in the joint maximum norm. Variant 2 (eq. 9): ψ(k) − 1/k + ψ(N) − ⟨ψ(n_x) + ψ(n_y)⟩, within the
    k neighbours' extent in x and in y. Coordinates are brought to variance 1 first, so affine maps of single
    coordinates change nothing. No bound: nearly unbiased in few dimensions at moderate information (a percent or two),
    and far too low in many or at high information (Gao et al. 2015); above 4 dimensions together it warns. The error
    comes from estimates on ten disjoint blocks of consecutive samples, since neighbours are shared (Holmes and Nemenman
    2019); samples too few for blocks get none.

    Args:
        jitter: standard deviation of Gaussian noise added to the standardised coordinates, drawn from ``generator``.
        workers: processes of the tree search; -1 uses all cores.

    Raises:
        InputError: see `samples.check_samples`; k outside 1 … N−1; duplicated samples, which need ``jitter``.
    """
    x, y = check_samples(x, y)
    k = number(k)
    n, dimensions = len(x), x.shape[1] + y.shape[1]
    if not isinstance(k, int) or not 1 <= k < n:
        raise InputError(f"k is a number of neighbours: between 1 and {n - 1} for {n} samples; got {k}.")
    if variant not in (1, 2):
        raise InputError(f"variant must be 1 or 2, got {variant!r}.")
    if not 0 <= jitter < math.inf:
        raise InputError(f"jitter is a standard deviation: finite, at least 0; got {jitter}.")
    if dimensions > TRUSTED_DIMENSIONS:
        warnings.warn(
            f"nearest-neighbour information of {dimensions} dimensions together is far too low; trust it up to "
            f"{TRUSTED_DIMENSIONS}.",
            stacklevel=2,
        )
    raw = x, y
    x, y = standardise(x, "x"), standardise(y, "y")
    if not jitter:
        _check_ties(*raw)
    else:
        place = generator.device if generator is not None else "cpu"
        noise = torch.randn(n, dimensions, generator=generator, dtype=torch.float64, device=place).cpu()
        x, y = x.cpu() + jitter * noise[:, : x.shape[1]], y.cpu() + jitter * noise[:, x.shape[1] :]
    left, right = x.cpu().numpy(), y.cpu().numpy()
    terms = torch.from_numpy(_terms(left, right, k, variant, workers))
    size = n // BLOCKS
    if size < 4 * (k + 1):
        return Estimate(terms.mean().item(), None, n, "none", samples=terms)
    parts = [slice(i * size, (i + 1) * size) for i in range(BLOCKS)]
    means = torch.tensor([_terms(left[part], right[part], k, variant, workers).mean() for part in parts])
    value, stderr = terms.mean().item(), means.std().item() / math.sqrt(BLOCKS)
    interval = student(value, stderr, BLOCKS - 1, f"{BLOCKS} disjoint blocks, Student t")
    return Estimate(value, stderr, n, "none", interval=interval, samples=terms)


def _check_ties(x: Tensor, y: Tensor) -> None:
    n = len(x)
    for name, values in (("(x, y) pairs", joined(x, y)), ("values of x", x), ("values of y", y)):
        repeated = n - len(fingerprints(values).unique())
        if not repeated:
            continue
        paired = values is not x and values is not y  # a neighbour at distance zero breaks the method
        if paired or repeated > max(ACCIDENTAL * n, MARGIN * _repeats_of_float32(values)):
            raise InputError(
                f"{repeated} of {n} {name} repeat others, which the method cannot have. Remove duplicates; for rounded "
                "measurements, jitter=1e-6 (or half the rounding) with a generator breaks ties."
            )


def _repeats_of_float32(values: Tensor) -> float:
    """How many of the values (N, 1) repeat others when drawn from their density and rounded to float32, about.

    Zero where they have more dimensions or digits. The density at a value is that of a window of others.
    """
    if values.shape[1] > 1 or not torch.equal(values.float().double(), values):
        return 0.0
    distinct, counts = values[:, 0].unique(return_counts=True)
    if len(distinct) <= WINDOW:
        return 0.0
    spacing = torch.ldexp(torch.ones_like(distinct), torch.frexp(distinct)[1] - 24)
    middle = slice(WINDOW // 2, len(distinct) - WINDOW + WINDOW // 2)
    cells = (distinct[WINDOW:] - distinct[:-WINDOW]) / spacing[middle]
    samples = counts.cumsum(0)[WINDOW:] - counts.cumsum(0)[:-WINDOW]
    return float((0.5 * counts[middle] * samples / cells).sum())


def _terms(x: np.ndarray, y: np.ndarray, k: int, variant: int, workers: int) -> np.ndarray[Any, Any]:
    joint = np.concatenate([x, y], 1)
    distances, neighbours = cKDTree(joint).query(joint, k=[*range(2, k + 2)], p=np.inf, workers=workers)
    if variant == 1:
        counts = [_within(part, distances[:, -1] * (1 - ROUNDING), workers) for part in (x, y)]  # strictly nearer
        return digamma(k) + digamma(len(x)) - sum(digamma(count + 1) for count in counts)
    counts = [_within(part, _extent(part, neighbours) * (1 + ROUNDING), workers) for part in (x, y)]
    return digamma(k) - 1 / k + digamma(len(x)) - sum(digamma(count) for count in counts)


def _within(part: np.ndarray, radius: np.ndarray, workers: int) -> np.ndarray[Any, Any]:
    """How many other samples lie within each sample's own radius, in the maximum norm."""
    if part.shape[1] == 1:  # sorted, a search is faster than a tree
        line = np.sort(part[:, 0])
        low, high = part[:, 0] - radius, part[:, 0] + radius
        return np.searchsorted(line, high, side="right") - np.searchsorted(line, low, side="left") - 1
    return cKDTree(part).query_ball_point(part, radius, p=np.inf, return_length=True, workers=workers) - 1


def _extent(part: np.ndarray, neighbours: np.ndarray) -> np.ndarray[Any, Any]:
    """The largest distance, in the maximum norm, from each sample to its joint neighbours."""
    return np.abs(part[neighbours] - part[:, None]).max(axis=(1, 2))
