"""Estimates from a user's .npz file: a Gaussian encoder's means and log-scales, or paired samples."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Generator, Tensor

from ..archives import check_size
from ..errors import InputError, first_line
from ..interface import Estimate
from .critics import Estimator
from .encodings import prepare
from .gaussian import gaussian
from .ksg import TRUSTED_DIMENSIONS, ksg
from .marginal_gap import gap_between
from .neural import neural
from .rate import rate
from .rate_defensive import rate_defensive
from .rate_gaussian import rate_gaussian
from .rate_mixture import rate_mixture
from .samples import check_samples
from .sandwich import infonce, sandwich

ENCODER, SAMPLES = {"mu", "log_sigma", "sigma", "z"}, {"x", "z"}


def estimate_file(
    path: Path,
    fit: Path | None = None,
    *,
    k: int = 128,
    seed: int = 0,
    critic_steps: int = 600,
    jitter: float = 0.0,
) -> dict[str, Estimate | InputError]:
    """All estimates that the arrays of a file allow, by name, or why one cannot be had; see `cli.information`.

    The order of images or pairs is shuffled by ``seed``, because errors from blocks need a random one.

    Raises:
        InputError: a file that is missing, is no .npz or holds pickled objects; arrays missing or of the wrong kind.
    """
    arrays, others = read_arrays(path), None if fit is None else read_arrays(fit)
    if others is not None and ("mu" in arrays) != ("mu" in others):
        raise InputError(f"{fit} holds {', '.join(others)}, but {path} {', '.join(arrays)}: both must be of one kind.")
    generator = Generator().manual_seed(seed)
    if "mu" in arrays:
        mean, log_scale, z = prepare(
            arrays["mu"], arrays["log_sigma"], arrays.get("z"), generator, names=("mu", "log_sigma")
        )
        order = torch.randperm(len(mean), generator=generator)
        return _of_encoder(mean[order], log_scale[order], z[order], others, k, generator)
    x, z = check_samples(arrays["x"], arrays["z"], names=("x", "z"))
    order = torch.randperm(len(x), generator=generator)
    return _of_samples(x[order], z[order], others, critic_steps, jitter, generator)


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Either mu, log_sigma and perhaps z, or x and z, as tensors; ``sigma`` becomes ``log_sigma``."""
    try:
        check_size(path)
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name]) for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"there is no file {path}.") from None
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise InputError(
            f"{path} is no .npz file of plain arrays ({first_line(error)}). Write it with numpy.savez."
        ) from error
    names = set(arrays)
    if not (names <= ENCODER and "mu" in names and len(names & {"log_sigma", "sigma"}) == 1) and names != SAMPLES:
        raise InputError(
            f"{path} holds {', '.join(sorted(names)) or 'nothing'}; expected mu with log_sigma or sigma, and perhaps "
            "z, of a Gaussian encoder, or x and z of paired samples."
        )
    tensors = {name: _tensor(path, name, array) for name, array in arrays.items()}
    if "sigma" in tensors:
        sigma = tensors.pop("sigma")
        if not (sigma > 0).all():
            raise InputError(f"{path}: sigma holds standard deviations, all must be positive.")
        tensors["log_sigma"] = sigma.log()
    return tensors


def _tensor(path: Path, name: str, array: np.ndarray) -> Tensor:
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise InputError(
            f"{path}: {name} must hold floating-point numbers of at most 64 bits, got {array.dtype}. Use "
            f"{name}.astype('float64')."
        )
    return torch.from_numpy(array.astype(array.dtype.newbyteorder("=")))


def _of_encoder(
    mean: Tensor, log_scale: Tensor, z: Tensor, others: dict[str, Tensor] | None, k: int, generator: Generator
) -> dict[str, Estimate | InputError]:
    prior, bounds = rate(mean, log_scale), sandwich(mean, log_scale, z)
    estimates: dict[str, Estimate | InputError] = {"rate": prior}
    if others is not None:
        fit = others["mu"], others["log_sigma"]
        fitted = rate_mixture(mean, log_scale, z, fit=fit, generator=generator)
        gap = gap_between(prior, fitted, bounds.lower)
        estimates |= {
            "rate, Gaussian marginal": rate_gaussian(mean, log_scale, fit=fit),
            "rate, Gaussian mixture": fitted,
        }
    estimates |= {
        "rate, defensive mixture": rate_defensive(mean, log_scale, z),
        "leave-one-out": bounds.upper,
        "index code (InfoNCE, K = N)": bounds.lower,
    }
    try:
        estimates[f"InfoNCE, K = {k}"] = infonce(mean, log_scale, z, k=k)
    except InputError as error:
        estimates[f"InfoNCE, K = {k}"] = error
    if others is not None:
        estimates |= {"marginal gap, rate − mixture": gap.lower, "marginal gap, rate − index code": gap.upper}
    return estimates


def _of_samples(
    x: Tensor,
    z: Tensor,
    others: dict[str, Tensor] | None,
    critic_steps: int,
    jitter: float,
    generator: Generator,
) -> dict[str, Estimate | InputError]:
    half = len(x) // 2  # in random order: critics are trained on one half and evaluated on the other
    fit = (x[half:], z[half:]) if others is None else (others["x"], others["z"])
    evaluated = (x[:half], z[:half]) if others is None else (x, z)
    dimensions = x.shape[1] + z.shape[1]
    doubt = "" if dimensions <= TRUSTED_DIMENSIONS else f" (fails in {dimensions} dimensions)"
    tried: dict[str, Callable[[], Estimate]] = {
        "canonical correlations": partial(gaussian, x, z),
        f"KSG 1{doubt}": partial(ksg, x, z, variant=1, jitter=jitter, generator=generator),
        f"KSG 2{doubt}": partial(ksg, x, z, variant=2, jitter=jitter, generator=generator),
    }
    for name in get_args(Estimator):
        tried[f"critic, {name}"] = partial(neural, *evaluated, name, fit=fit, steps=critic_steps, generator=generator)
    estimates: dict[str, Estimate | InputError] = {}
    for name, estimate in tried.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the name says it
                estimates[name] = estimate()
        except InputError as error:
            estimates[name] = error
    return estimates
