"""Estimates from a user's .npz file: a Gaussian encoder's means and log-scales, or paired samples."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..interface import Estimate
from .canonical import gaussian
from .contrastive import infonce
from .critics import Estimator
from .defensive import rate_defensive
from .encodings import prepare
from .gap import gap_between
from .gaussian_marginal import rate_gaussian
from .nearest import TRUSTED_DIMENSIONS, ksg
from .prior_rate import rate
from .two_sided import sandwich
from .variational import neural

ENCODER, SAMPLES = {"mu", "log_sigma", "sigma", "z"}, {"x", "z"}


def estimate_file(
    path: Path, fit: Path | None = None, *, k: int = 128, seed: int = 0, critic_steps: int = 2000
) -> dict[str, Estimate]:
    """All estimates that the arrays of a file allow, by name; see `cli.information`.

    Raises:
        InputError: a file that is missing, is no .npz or holds pickled objects; arrays missing or of the wrong kind.
    """
    arrays, others = read_arrays(path), None if fit is None else read_arrays(fit)
    if others is not None and ("mu" in arrays) != ("mu" in others):
        raise InputError(f"{fit} holds {', '.join(others)}, but {path} {', '.join(arrays)}: both must be of one kind.")
    generator = Generator().manual_seed(seed)
    if "mu" in arrays:
        return _of_encoder(arrays, others, k, generator)
    return _of_samples(arrays, others, critic_steps, generator)


def read_arrays(path: Path) -> dict[str, Tensor]:
    """Either mu, log_sigma and perhaps z, or x and z, as tensors; ``sigma`` becomes ``log_sigma``."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise InputError(f"there is no file {path}.") from None
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise InputError(f"{path} is no .npz file of plain arrays ({error}). Write it with numpy.savez.") from error
    names = set(arrays)
    if not (names <= ENCODER and "mu" in names and len(names & {"log_sigma", "sigma"}) == 1) and names != SAMPLES:
        raise InputError(
            f"{path} holds {', '.join(sorted(names)) or 'nothing'}; expected mu with log_sigma or sigma, and perhaps "
            "z, of a Gaussian encoder, or x and z of paired samples."
        )
    found = {name: torch.from_numpy(array) for name, array in arrays.items() if array.dtype.kind in "biuf"}
    if len(found) < len(arrays):
        raise InputError(f"{path}: {sorted(names - set(found))[0]} does not hold numbers.")
    if "sigma" in found:
        sigma = found.pop("sigma")
        if not (sigma > 0).all():
            raise InputError(f"{path}: sigma holds standard deviations, all must be positive.")
        found["log_sigma"] = sigma.log()
    return found


def _of_encoder(
    arrays: dict[str, Tensor], others: dict[str, Tensor] | None, k: int, generator: Generator
) -> dict[str, Estimate]:
    mean, log_scale, z = prepare(arrays["mu"], arrays["log_sigma"], arrays.get("z"), generator)
    prior, bounds = rate(mean, log_scale), sandwich(mean, log_scale, z)
    found = {"rate": prior}
    if others is not None:
        fitted = rate_gaussian(mean, log_scale, fit=(others["mu"], others["log_sigma"]))
        gap = gap_between(prior, fitted, bounds.lower)
        found["rate, Gaussian marginal"] = fitted
    found |= {
        "rate, defensive mixture": rate_defensive(mean, log_scale, z),
        "leave-one-out": bounds.upper,
        "index code (InfoNCE, K = N)": bounds.lower,
    }
    if k < len(mean):
        found[f"InfoNCE, K = {k}"] = infonce(mean, log_scale, z, k=k)
    if others is not None:
        found |= {"marginal gap, rate − Gaussian": gap.lower, "marginal gap, rate − index code": gap.upper}
    return found


def _of_samples(
    arrays: dict[str, Tensor], others: dict[str, Tensor] | None, critic_steps: int, generator: Generator
) -> dict[str, Estimate]:
    x, z = arrays["x"], arrays["z"]
    found = {"canonical correlations": gaussian(x, z)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the name says it, once
        dimensions = sum(1 if part.ndim == 1 else part.shape[1] for part in (x, z))
        doubt = "" if dimensions <= TRUSTED_DIMENSIONS else f" (fails in {dimensions} dimensions)"
        found[f"KSG 1{doubt}"], found[f"KSG 2{doubt}"] = ksg(x, z, variant=1), ksg(x, z, variant=2)
    if others is not None:
        fit = others["x"], others["z"]
    else:
        order = torch.randperm(len(x), generator=generator)
        trained, evaluated = order.tensor_split(2)
        fit, x, z = (x[trained], z[trained]), x[evaluated], z[evaluated]
    for estimator in get_args(Estimator):
        found[f"critic, {estimator}"] = neural(x, z, estimator, fit=fit, steps=critic_steps, generator=generator)
    return found
