"""What a layer knows of the image, under noise, and of the label. Tensors in, tensors out; float64, nats."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch import Generator, Tensor

from ..analysis.errors import InputError
from ..analysis.information import rate_gaussian, rate_mixture, sandwich
from ..analysis.information.encodings import Encoding, overlap, prepare
from ..analysis.interface import Estimate
from ..analysis.statistics.uncertainty import from_independent


def coordinates(fit: Tensor, evaluated: Tensor, dimensions: int) -> tuple[Tensor, Tensor]:
    """Features (M, C) and (N, C) in the first principal components of the former: (M, d) and (N, d), d = min(C, …).

    Centred, and divided by one number, the root mean square distance of ``fit`` from its centre over all C channels.
    Not changed by shifts, rotations and a scale of the features, nor by more channels that never change. A layer whose
    features are all the same is zero.
    """
    fit, evaluated = fit.double(), evaluated.double()
    centre = fit.mean(0)
    values, vectors = torch.linalg.eigh((fit - centre).T @ (fit - centre) / len(fit))
    kept = vectors[:, -dimensions:].flip(1)
    distance = values.clamp_min(0).sum().sqrt()
    scale = distance if distance > 0 else torch.ones_like(distance)
    return (fit - centre) @ kept / scale, (evaluated - centre) @ kept / scale


def image_information(fit: Tensor, evaluated: Tensor, noise: float, generator: Generator) -> dict[str, Estimate]:
    """Bounds on I(T'; X), T' = t(X) + N(0, noise² I), t(x) the coordinates (N, d) of held-out images; nats.

    q(t'|x) = N(t(x), noise² I) is known, so the estimators for a Gaussian encoder hold as they are: InfoNCE with the
    true density below, leave-one-out and the rates against a Gaussian and a mixture, fitted to the coordinates ``fit``
    (M, d) of other images, above (see `analysis.information`).

    Raises:
        InputError: noise that is not positive; see `encodings.prepare` and `rate_gaussian`.
    """
    if not 0 < noise < math.inf:
        raise InputError(
            f"noise must be positive, got {noise}: without any, T is a function of the image and I(T; X) is infinite."
        )
    draws = prepare(evaluated, torch.full_like(evaluated, math.log(noise)), None, generator)
    others = fit[~overlap(evaluated, fit)[1]]  # an image that both splits hold would be in its own prior
    known = Encoding(others, torch.full_like(others, math.log(noise)), others)
    lower, upper = sandwich(*draws)
    return {
        "infonce": lower,
        "leave_one_out": upper,
        "rate_gaussian": rate_gaussian(*draws[:2], fit=known),
        "rate_mixture": rate_mixture(*draws, fit=known, generator=generator),
    }


def label_information(
    fit: Tensor, fit_labels: Tensor, evaluated: Tensor, labels: Tensor, classes: int, *, strength: float = 1.0
) -> Estimate:
    """I(T; Y) ≥ H(Y) − E [−log q(y|t)] for features (N, C) of held-out images with labels (N,), in nats.

    q is a multinomial logistic regression of the standardised features ``fit`` (M, C), penalised by |W|² / 2 strength
    (scikit-learn), moved a little towards uniform, (M q + 1) / (M + classes), so that no image costs infinitely many
    nats. The bound holds for any q (Barber and Agakov 2003). H(Y) is the entropy of the labels' frequencies, which for
    labels drawn independently lies below the truth on average, so that the direction holds in expectation. The terms
    −log p̂(y) + log q(y|t) are at first order also the estimate's influence function.

    Raises:
        InputError: labels of one class alone to fit on.
    """
    fit, evaluated = fit.double(), evaluated.double()
    seen = fit_labels.unique()
    if len(seen) < 2:
        raise InputError(f"the {len(fit)} training images are of one class: there is nothing to tell apart. Give more.")
    centre, scale = fit.mean(0), fit.std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    probe = LogisticRegression(C=strength, max_iter=500)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # any q gives a bound
        probe.fit(((fit - centre) / scale).numpy(), fit_labels.numpy())
    q = evaluated.new_zeros(len(evaluated), classes)
    q[:, seen] = torch.from_numpy(probe.predict_proba(((evaluated - centre) / scale).numpy())).double()
    q = (len(fit) * q + 1) / (len(fit) + classes)
    log_q = q.gather(1, labels[:, None]).squeeze(1).log()
    frequencies = labels.bincount(minlength=classes).double() / len(labels)
    surprise = -frequencies[labels].log()
    return replace(from_independent(surprise + log_q, "lower"), ceiling=surprise.mean().item())
