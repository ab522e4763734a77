"""Variational estimates of the information between samples, from a critic that has not seen them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, get_args

import torch
from torch import Generator, Tensor, nn

from ..errors import InputError, unknown
from ..interface import Estimate
from ..statistics.uncertainty import from_influence
from .critics import Estimator, SeparableCritic, fit_critics
from .encodings import check_apart
from .pairs import MEMORY, rows_within
from .samples import check_samples, joined
from .sandwich import bounds_from

Critic = Callable[[Tensor, Tensor], Tensor]  # x (R, d_x), y (C, d_y) → scores (R, C)


def neural(
    x: Tensor,
    y: Tensor,
    estimator: Estimator = "infonce",
    *,
    fit: tuple[Tensor, Tensor],
    generator: Generator | None = None,
    **training: Any,
) -> Estimate:
    """I(X; Y) of pairs x (N, d_x), y (N, d_y) by a critic trained on other pairs, ``fit`` = (x, y); nats.

    See `evaluate_critic` for the estimators and which of them bound anything, `critics.fit_critics` for ``training``.

    Raises:
        InputError: see both; the fit set overlaps the evaluated pairs.
    """
    return neural_together([(x, y)], [estimator], fits=[fit], generator=generator, **training)[0]


def neural_together(
    pairs: Sequence[tuple[Tensor, Tensor]],
    estimators: Sequence[Estimator],
    *,
    fits: Sequence[tuple[Tensor, Tensor]],
    generator: Generator | None = None,
    **training: Any,
) -> list[Estimate]:
    """`neural` of several pairs (x, y), all of the same shapes, whose critics are trained side by side."""
    for (x, y), fit in zip(pairs, fits, strict=True):
        _check_fit(*check_samples(x, y), fit)
    critics = fit_critics(fits, estimators, generator=generator, **training)
    return [evaluate_critic(*each) for each in zip(critics, *zip(*pairs, strict=True), estimators, strict=True)]


def _check_fit(x: Tensor, y: Tensor, fit: tuple[Tensor, Tensor]) -> None:
    if not isinstance(fit, tuple | list) or len(fit) != 2:
        raise InputError("fit must be two tensors: x (M, d_x) and y (M, d_y) of other pairs.")
    x_fit, y_fit = check_samples(*fit)
    if (x.shape[1], y.shape[1]) != (x_fit.shape[1], y_fit.shape[1]):
        raise InputError(
            f"the fit set has {x_fit.shape[1]} and {y_fit.shape[1]} dimensions, the evaluated pairs have {x.shape[1]} "
            f"and {y.shape[1]}; they must be alike."
        )
    check_apart(joined(x, y), joined(x_fit, y_fit), "pairs")


@torch.no_grad()
def evaluate_critic(
    critic: Critic, x: Tensor, y: Tensor, estimator: Estimator = "infonce", *, clip: float = 5.0, memory: int = MEMORY
) -> Estimate:
    """An estimate of I(X; Y) in nats from N pairs x (N, d_x), y (N, d_y) that the critic f had no part in.

    * infonce: E f(x_i, y_i) − log 1/N Σ_j exp f(x_i, y_j): **lower** bound, at most log N (van den Oord et al. 2018)
    * nwj: E_p f − E_p⊗p exp(f − 1): **lower** bound, no ceiling, large variance (Nguyen et al. 2010)
    * mine: E_p f − log E_p⊗p exp f: **no bound**. Donsker and Varadhan's form is one in the limit, but the log of a
      finite mean lies below the log of the expectation, so the estimate lies above (McAllester and Stratos 2020)
    * smile: the same with exp f clipped to e^±clip: **no bound**, less variance, more bias (Song and Ermon 2020)

    All N (N − 1) pairs of different samples stand for p⊗p. Any critic gives these directions; a poor one gives a low
    value. Errors are those of U-statistics, from the influence of each pair.

    Args:
        critic: any callable on (R, d_x), (C, d_y) that returns (R, C) scores; a module must be in eval mode.

    Raises:
        InputError: see `samples.check_samples`; an unknown estimator; a module in training mode; scores of another
            shape or not finite.
    """
    x, y = check_samples(x, y)
    if estimator not in get_args(Estimator):
        raise unknown("estimator", estimator, get_args(Estimator))
    if not clip > 0:
        raise InputError(f"clip bounds |f| and must be positive, got {clip}.")
    if isinstance(critic, nn.Module) and any(module.training for module in critic.modules()):
        raise InputError("the critic is in training mode, in which its scores may depend on the batch. Call .eval().")
    scores = CriticScores(critic, x, y)
    memory = memory // 3 if memory > 3 else memory  # the critic's own scores, their float64 copy and the chunk
    if estimator == "infonce":
        return bounds_from(lambda part: scores, len(x), None, memory).lower
    return _against_product(scores, estimator, clip, memory)


class CriticScores:
    """f(x_i, y_j), rows at will: a `pairs.Scores`."""

    def __init__(self, critic: Critic, x: Tensor, y: Tensor) -> None:
        dtype = x.dtype
        if isinstance(critic, nn.Module) and not isinstance(critic, SeparableCritic):
            parameter = next(critic.parameters(), None)
            dtype = dtype if parameter is None else parameter.dtype  # a user's module expects its own precision
        self._critic, self._x, self._y = critic, x.to(dtype), y.to(dtype)
        step = 64
        blocks = [self._score(slice(i, i + step), slice(i, i + step)).diagonal() for i in range(0, len(x), step)]
        self.matched = torch.cat(blocks)

    def rows(self, part: slice, out: Tensor) -> None:
        out.copy_(self._score(part, slice(None)))

    def _score(self, rows: slice, columns: slice) -> Tensor:
        x, y = self._x[rows], self._y[columns]
        scores = self._critic(x, y)
        if not isinstance(scores, Tensor) or tuple(scores.shape) != (len(x), len(y)):
            raise InputError(
                f"a critic scores all pairs: a tensor ({len(x)}, {len(y)}) is expected for {len(x)} x and {len(y)} y, "
                f"got {tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__}."
            )
        if not torch.isfinite(scores).all():
            raise InputError("the critic's scores are not all finite; train it with a smaller learning rate.")
        return scores.double()


def _against_product(scores: CriticScores, estimator: Estimator, clip: float, memory: int) -> Estimate:
    """NWJ, MINE and SMILE: the mean score of the pairs against a mean of exponentials over all others."""
    matched = scores.matched
    n = len(matched)
    by_row, by_column = torch.empty_like(matched), torch.zeros_like(matched)
    shift = 1.0 if estimator == "nwj" else 0.0
    step = rows_within(memory, n)
    chunk = matched.new_empty(step, n)
    for start in range(0, n, step):
        block = chunk[: min(step, n - start)]
        scores.rows(slice(start, start + len(block)), block)
        if estimator == "smile":
            block.clamp_(-clip, clip)
        block.sub_(shift).exp_().diagonal(start).zero_()
        by_row[start : start + len(block)] = block.sum(1)
        by_column += block.sum(0)
    total = by_row.sum()
    product = total / (n * (n - 1))
    # A pair weighs in the product of marginals twice, as x and as y.
    weight = (by_row + by_column) / (n - 1)
    if estimator == "nwj":
        return from_influence(matched - by_row / (n - 1), matched - weight, "lower")
    return from_influence(matched - product.log(), matched - weight / product, "none")
