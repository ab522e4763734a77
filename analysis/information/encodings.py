"""Gaussian encodings q(z|x) = N(μ(x), diag σ²(x)), given as means and log-scales: checks, draws, densities."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import chi2
from torch import Generator, Tensor

from ..errors import InputError
from ..statistics.uncertainty import as_double

LARGEST_LOG_SCALE = 150.0  # beyond these, squares of rates leave float64
LARGEST_VALUE = 1e75
BY_CHANCE = 1e-6
ROUNDED = 0.02  # of a latent's variance may be rounding
RESOLVED = (
    2.0**-48
)  # of a mean: the smallest scale that float64 draws from without rounding it by more than a sixteenth
LOG_2PI = math.log(2 * math.pi)


class Encoding(NamedTuple):
    """What an encoder makes of N images: (N, d) each."""

    mean: Tensor
    log_scale: Tensor
    z: Tensor  # one draw from q(z|x) per image


Coded = Encoding | tuple[Tensor, Tensor]  # where no draws are needed: means and log-scales


def prepare(
    mean: Tensor,
    log_scale: Tensor,
    z: Tensor | None = None,
    generator: Generator | None = None,
    names: tuple[str, str] = ("mean", "log_scale"),
) -> tuple[Tensor, Tensor, Tensor]:
    """Checked (N, d) means, log-scales and latents in float64; latents are drawn from ``generator`` if not given.

    Where float64 does not exist (Apple's MPS), on the CPU.

    Raises:
        InputError: the tensors are not alike, hold fewer than 3 encodings, integers, NaN or infinite values, or
            scales that float64 cannot square; z is no draw of q(z|x) (`check_draws`).
    """
    mean, log_scale = check(mean, log_scale, names)
    if z is None:
        return mean, log_scale, mean + log_scale.exp() * normal(mean, generator)
    finite("z", z)
    _moderate("z", z)
    if z.shape != mean.shape:
        raise InputError(f"z must have the means' shape {tuple(mean.shape)}, one draw each; got {tuple(z.shape)}.")
    _check_rounding(mean, log_scale, z)
    z = as_double(z)
    check_draws(mean, log_scale, z)
    return mean, log_scale, z


def _check_rounding(mean: Tensor, log_scale: Tensor, z: Tensor) -> None:
    """Raises InputError where z's type rounds it by much of its scale: Δ²/12σ² of its variance, Δ its numbers' gaps."""
    if z.dtype == torch.float64:
        return
    gaps = torch.finfo(z.dtype).eps * mean.abs()
    added = ((gaps / log_scale.exp()).square() / 12).clamp(max=1).mean(0)
    if added.max() > ROUNDED:
        raise InputError(
            f"z is no draw from q(z|x): {z.dtype} rounds it. Around means such as {mean.abs().max().item():.3g} its "
            f"numbers lie {gaps.max().item():.2g} apart, and the smallest scale is {log_scale.min().exp().item():.2g}. "
            "Draw z in float64, or leave z out, and it is drawn here."
        )


def check_draws(mean: Tensor, log_scale: Tensor, z: Tensor) -> None:
    """Refuse z that N(μ, diag σ²) does not give, all (N, d) in float64: no bound holds of it.

    ((z − μ)/σ)² has mean 1, over all latents and of each: their sums are χ² of N·d and of N degrees of freedom. Scales
    that float64 itself rounds away beside their mean are left out: no draw could be better.

    Raises:
        InputError: the sums lie where such draws bring them once in 1 / `BY_CHANCE` times.
    """
    scale = log_scale.exp()
    resolved = scale > RESOLVED * mean.abs()
    sums = torch.where(resolved, (z - mean) / scale, 0.0).square().sum(0).cpu().numpy()
    counts = resolved.sum(0).cpu().numpy()
    bad = _tails(sums, counts) * len(sums) < BY_CHANCE
    if not bad.any() and not _tails(sums.sum(), counts.sum()) < BY_CHANCE:
        return
    part = bad if 0 < bad.sum() < len(bad) else np.ones(len(bad), bool)
    where = "" if part.all() else f" of latent {int(part.argmax())}"
    which = slice(None) if part.all() else int(part.argmax())
    raise InputError(
        f"z is no draw from q(z|x) = N(mean, scale²): the mean of ((z − mean)/scale)²{where} is "
        f"{sums[which].sum() / counts[which].sum():.3g}, and 1 is expected. Give each row's own draw, in float64 where "
        "float32 rounds away a small scale beside its mean; or leave z out, and it is drawn here."
    )


def _tails(sums: Any, counts: Any) -> Any:
    """How often χ² of so many degrees of freedom lies as far out, on either side; 1 for none."""
    return np.where(counts > 0, 2 * np.minimum(chi2.cdf(sums, counts), chi2.sf(sums, counts)), 1.0)


def check(mean: Tensor, log_scale: Tensor, names: tuple[str, str] = ("mean", "log_scale")) -> tuple[Tensor, Tensor]:
    """`prepare` without latents."""
    for name, values in zip(names, (mean, log_scale), strict=True):
        finite(name, values)
    if mean.shape != log_scale.shape or mean.ndim != 2 or mean.shape[1] < 1:
        raise InputError(
            f"{names[0]} and {names[1]} must both be (N, d), got {tuple(mean.shape)} and {tuple(log_scale.shape)}."
        )
    if len(mean) < 3:
        raise InputError(f"an estimate needs at least 3 encodings, got {len(mean)}.")
    _moderate(names[0], mean)
    if log_scale.abs().max() > LARGEST_LOG_SCALE:
        raise InputError(
            f"{names[1]} reaches {log_scale.abs().max().item():.3g}; between ±{LARGEST_LOG_SCALE:g} is expected. "
            "It holds natural logarithms of the standard deviation, neither variances nor their logarithms."
        )
    return as_double(mean), as_double(log_scale)


def _moderate(name: str, values: Tensor) -> None:
    largest = values.abs().max().item()
    if largest > LARGEST_VALUE:
        raise InputError(
            f"{name} reaches {largest:.3g}; at most {LARGEST_VALUE:g} can be squared. Rescale the latents."
        )


def normal(like: Tensor, generator: Generator | None) -> Tensor:
    """Standard normal draws of a tensor's shape, type and device, from a generator that may live on another device."""
    place = generator.device if generator is not None else like.device
    return torch.randn(like.shape, generator=generator, dtype=like.dtype, device=place).to(like.device)


def log_density(z: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log N(z; μ, diag σ²) of each row: (N, d) three times → (N,)."""
    return -0.5 * (((z - mean) / log_scale.exp()).square() + 2 * log_scale + LOG_2PI).sum(1)


def log_prior(z: Tensor) -> Tensor:
    """log N(z; 0, I) of each row: (N, d) → (N,)."""
    return -0.5 * (z.square() + LOG_2PI).sum(1)


def check_fit(mean: Tensor, log_scale: Tensor, fit: Coded) -> tuple[Tensor, Tensor]:
    """Checked means and log-scales (M, d) in float64 of other encodings than the checked (N, d) that are evaluated.

    Raises:
        InputError: ``fit`` is no such pair, has other dimensions, or shares encodings with the evaluated.
    """
    if not isinstance(fit, tuple | list) or (len(fit) != 2 and not isinstance(fit, Encoding)):
        raise InputError("fit must be two tensors: the means and the log-scales of other encodings, (M, d) each.")
    fit_mean, fit_log_scale = check(*fit[:2], names=("fit mean", "fit log_scale"))
    if mean.shape[1] != fit_mean.shape[1]:
        raise InputError(
            f"the fit set has {fit_mean.shape[1]} latent dimensions, the evaluated encodings have {mean.shape[1]}."
        )
    check_apart(torch.cat([mean, log_scale], 1), torch.cat([fit_mean, fit_log_scale], 1), "encodings")
    return fit_mean, fit_log_scale


def check_apart(evaluated: Tensor, fitted: Tensor, what: str) -> None:
    """Raises InputError when rows (N, d) of the evaluation are among the rows (M, d) of the fit, by `overlap`."""
    shared = int(overlap(evaluated, fitted)[0].sum())
    if shared:
        raise InputError(
            f"{shared} of {len(evaluated)} evaluated {what} are also in the fit set. Fit on others, such as those of "
            "the training images: an estimate fitted on what it is evaluated on bounds nothing. To drop those alone, "
            "keep the fit's rows ~overlap(evaluated, fit)[1] (mixlens.analysis.information.encodings)."
        )


def overlap(evaluated: Tensor, fitted: Tensor) -> tuple[Tensor, Tensor]:
    """Which rows (N, d) and (M, d) the two share, bit for bit: (N,) and (M,) bool.

    A row that repeats within the evaluation is no sign of overlap, since a collapsed encoder maps all images to one,
    and does not count.
    """
    hashes, other = fingerprints(evaluated), fingerprints(fitted)
    values, inverse, counts = hashes.unique(return_inverse=True, return_counts=True)
    once = counts == 1
    return torch.isin(hashes, other) & once[inverse], torch.isin(other, values[once])


def fingerprints(rows: Tensor) -> Tensor:
    """A 64-bit hash of each row's bits: a sum of products with odd numbers, modulo 2⁶⁴."""
    bits = (as_double(rows) + 0.0).contiguous().view(torch.int64)  # + 0 makes −0 equal to 0
    bits = bits ^ (bits >> 32)  # low bits of rounded numbers are all zero
    generator = torch.Generator().manual_seed(0)
    odd = torch.randint(-(2**62), 2**62, (rows.shape[1],), generator=generator) * 2 + 1
    return (bits * odd.to(bits.device)).sum(1)


def finite(name: str, values: Tensor) -> None:
    """Raises InputError unless ``values`` holds floating-point numbers, all finite."""
    if not isinstance(values, Tensor):
        raise InputError(f"{name} must be a torch tensor, got {type(values).__name__}. Use torch.as_tensor(…).")
    if not values.is_floating_point():
        raise InputError(f"{name} must hold floating-point numbers, got {values.dtype}. Use {name}.double().")
    bad = int((~torch.isfinite(values)).sum())
    if bad:
        raise InputError(f"{name} holds {bad} NaN or infinite values of {values.numel()}; all must be finite.")
