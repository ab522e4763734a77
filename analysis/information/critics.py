"""A neural critic: a network that scores pairs (x, y) high when they belong together, for variational estimates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor, nn
from torch.func import functional_call

from ..errors import InputError, unknown
from .samples import CONSTANT, check_samples, to_unit

Estimator = Literal["infonce", "nwj", "mine", "smile"]


LEAST_PAIRS = 40
TRIED_EVERY = 50  # steps between looks at the pairs kept out of training
LEAST_HELD_OUT, LARGEST_HELD_OUT = 50, 2000  # fewer would pick weights by luck; they are scored as one batch


class SeparableCritic(nn.Module):
    """f(x, y) = g(x) · h(y) + b(y): all N² scores of N pairs from 2N passes through small networks.

    Shapes: x (R, d_x), y (C, d_y) → scores (R, C). Inputs are standardised, in
    float64, by moments kept as buffers; the networks are float32.
    """

    shift_x: Tensor
    scale_x: Tensor
    shift_y: Tensor
    scale_y: Tensor

    def __init__(self, d_x: int, d_y: int, *, hidden: int = 128, features: int = 64) -> None:
        super().__init__()
        self.networks = _Networks(d_x, d_y, hidden, features)
        for name, d in (("x", d_x), ("y", d_y)):
            self.register_buffer(f"shift_{name}", torch.zeros(d, dtype=torch.float64))
            self.register_buffer(f"scale_{name}", torch.ones(d, dtype=torch.float64))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        scores: Tensor = self.networks(*self.standardised(x, y))
        return scores

    def standardised(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return ((x - self.shift_x) / self.scale_x).float(), ((y - self.shift_y) / self.scale_y).float()

    @torch.no_grad()
    def initialise(self, x: Tensor, y: Tensor, level: float, generator: Generator | None) -> None:
        """Random g, and h = 0, so that f is ``level`` everywhere; the inputs' moments from samples."""
        for name, values in (("x", x), ("y", y)):
            values, unit = to_unit(values)
            spread = values.std(0).clamp_min(CONSTANT)  # of a coordinate that is constant
            getattr(self, f"shift_{name}").copy_(values.mean(0) * unit)
            getattr(self, f"scale_{name}").copy_(spread * unit)
        for module in self.modules():
            if isinstance(module, _Linear):
                size = 1 / math.sqrt(module.weight.shape[1])
                place = generator.device if generator is not None else module.weight.device
                module.weight.copy_(
                    size * torch.randn(module.weight.shape, generator=generator, dtype=torch.float32, device=place)
                )
        self.networks.y.last.weight.zero_()
        self.networks.y.linear.weight.zero_()
        self.networks.y.last.bias[-1] = level


class _Networks(nn.Module):
    """g · h + b of standardised inputs. With parameters (K, …) and inputs (K, …, d) it is K critics at once."""

    def __init__(self, d_x: int, d_y: int, hidden: int, features: int) -> None:
        super().__init__()
        self.x, self.y = _Embedding(d_x, hidden, features), _Embedding(d_y, hidden, features + 1)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        left, right = self.x(x), self.y(y)
        return (left @ right[..., :-1].mT).add_(right[..., -1].unsqueeze(-2))


class _Embedding(nn.Module):
    """A linear map plus a two-layer network: what is linear need not be learned by the network."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(_Linear(inputs, hidden), nn.SiLU(), _Linear(hidden, hidden), nn.SiLU())
        self.last, self.linear = _Linear(hidden, outputs), _Linear(inputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        embedded: Tensor = self.last(self.layers(x)) + self.linear(x)
        return embedded


class _Linear(nn.Module):
    """`nn.Linear`, for weights (K, outputs, inputs) as well."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = (
            nn.Parameter(torch.zeros(*size, dtype=torch.float32)) for size in ((outputs, inputs), (outputs,))
        )

    def forward(self, x: Tensor) -> Tensor:
        return (x @ self.weight.mT).add_(self.bias.unsqueeze(-2))


def fit_critic(
    x: Tensor, y: Tensor, *, objective: Estimator = "infonce", generator: Generator | None = None, **training: Any
) -> SeparableCritic:
    """One critic of pairs x (N, d_x), y (N, d_y): see `fit_critics`, which trains several in the time of few."""
    return fit_critics([(x, y)], [objective], generator=generator, **training)[0]


@torch.enable_grad()
def fit_critics(
    pairs: Sequence[tuple[Tensor, Tensor]],
    objectives: Sequence[Estimator],
    *,
    steps: int = 600,
    batch_size: int = 256,
    learning_rate: float = 3e-3,
    weight_decay: float = 1.0,
    hidden: int = 128,
    features: int = 64,
    generator: Generator | None = None,
) -> list[SeparableCritic]:
    """Train K critics side by side in one batched network; they come back in eval mode, frozen.

    AdamW with a cosine schedule. A tenth of the pairs, but at least 50 or a half, is kept out of training; the weights
    that did best on it (on the first 2,000 of it), tried every 50 steps and before the first, are returned, and
    training ends early after a quarter of ``steps`` without progress. A critic that learned nothing returns an estimate
    of 0. Critics share draws and nothing else: each is what it is when trained alone, but for rounding.

    Args:
        pairs: K times x (N, d_x), y (N, d_y), all of the same shapes.
        objectives: for each what is maximised on a batch: InfoNCE (van den Oord et al. 2018), NWJ (Nguyen, Wainwright
            and Jordan 2010), the Donsker–Varadhan form of MINE (Belghazi et al. 2018), or for SMILE the Jensen–Shannon
            objective it is trained with (Song and Ermon 2020).

    Raises:
        InputError: see `samples.check_samples`; pairs of different shapes; fewer than 40 pairs; an unknown objective;
            sizes that are too small.
    """
    pairs = [check_samples(*pair) for pair in pairs]
    x, y = pairs[0]
    n = len(x)
    for other_x, other_y in pairs:
        if (other_x.shape, other_y.shape) != (x.shape, y.shape):
            raise InputError(
                f"critics trained together need pairs of the same shapes, got {tuple(x.shape)}, {tuple(y.shape)} and "
                f"{tuple(other_x.shape)}, {tuple(other_y.shape)}."
            )
    for objective in objectives:
        if objective not in get_args(Estimator):
            raise unknown("objective", objective, get_args(Estimator))
    sizes = {"steps": (steps, 1), "batch_size": (batch_size, 2), "hidden": (hidden, 1), "features": (features, 1)}
    for name, (size, least) in sizes.items():
        if size < least:
            raise InputError(f"{name} must be at least {least}, got {size}.")
    if not 0 < learning_rate < math.inf or not 0 <= weight_decay < math.inf:
        raise InputError(
            f"learning_rate must be positive and weight_decay at least 0, got {learning_rate} and {weight_decay}."
        )
    if n < LEAST_PAIRS:
        raise InputError(f"a critic needs at least {LEAST_PAIRS} pairs to be trained on, got {n}.")
    place = generator.device if generator is not None else x.device
    order = torch.randperm(n, generator=generator, device=place).to(x.device)
    apart = max(n // 10, min(n // 2, LEAST_HELD_OUT))
    held_out, trained = order[:apart][:LARGEST_HELD_OUT], order[apart:]
    first_weights = int(torch.randint(2**62, (), generator=generator, device=place))
    critics = []
    for (critic_x, critic_y), objective in zip(pairs, objectives, strict=True):
        critic = SeparableCritic(x.shape[1], y.shape[1], hidden=hidden, features=features).to(x.device)
        draws = Generator(place).manual_seed(first_weights)
        critic.initialise(critic_x[trained], critic_y[trained], 1.0 if objective == "nwj" else 0.0, draws)
        critics.append(critic)
    inputs = [critic.standardised(*pair) for critic, pair in zip(critics, pairs, strict=True)]
    stacked_x, stacked_y = (torch.stack(values) for values in zip(*inputs, strict=True))
    ensemble = _Ensemble([critic.networks for critic in critics], objectives)

    optimizer = torch.optim.AdamW([ensemble.flat], lr=learning_rate, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batch_size = min(batch_size, len(trained))
    best = torch.full((len(critics),), -math.inf, dtype=torch.float32, device=x.device)
    best_step, best_weights = torch.zeros_like(best), ensemble.flat.detach().clone()
    training = torch.ones_like(best, dtype=torch.bool)
    for step in range(steps + 1):
        if step % TRIED_EVERY == 0 or step == steps:
            with torch.no_grad():
                score = ensemble(stacked_x[:, held_out], stacked_y[:, held_out])
            better = training & (score > best)
            best, best_step = torch.where(better, score, best), torch.where(better, step, best_step)
            best_weights = torch.where(better[:, None], ensemble.flat.detach(), best_weights)
            training &= step - best_step <= max(steps // 4, TRIED_EVERY)
            if not training.any():
                break
        chosen = torch.randint(len(trained), (batch_size,), generator=generator, device=place).to(x.device)
        batch = trained[chosen]
        optimizer.zero_grad(set_to_none=True)
        ensemble(stacked_x[:, batch], stacked_y[:, batch]).sum().neg().backward()
        ensemble.clip(1.0)
        optimizer.step()
        schedule.step()
    for critic, weights in zip(critics, best_weights, strict=True):
        nn.utils.vector_to_parameters(weights, critic.networks.parameters())
        critic.eval().requires_grad_(False)
    return critics


class _Ensemble:
    """K networks of one shape as one: ``flat`` (K, P) holds the parameters of each."""

    def __init__(self, networks: Sequence[_Networks], objectives: Sequence[Estimator]) -> None:
        self._network, self._objectives = networks[0], objectives
        self._shapes = {name: parameter.shape for name, parameter in networks[0].named_parameters()}
        vectors = [nn.utils.parameters_to_vector(network.parameters()) for network in networks]
        self.flat = torch.stack(vectors).detach().requires_grad_()

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        """Each one's objective (K,) on pairs x (K, B, d_x), y (K, B, d_y)."""
        parts = self.flat.split([shape.numel() for shape in self._shapes.values()], dim=1)
        parameters = {
            name: part.view(-1, *shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)
        }
        scores = functional_call(self._network, parameters, (x, y))
        return torch.stack([objective_of(each, name) for each, name in zip(scores, self._objectives, strict=True)])

    def clip(self, norm: float) -> None:
        """Each one's gradient to at most this norm, as `nn.utils.clip_grad_norm_` does."""
        assert self.flat.grad is not None
        norms = self.flat.grad.norm(dim=1, keepdim=True)
        self.flat.grad.mul_((norm / (norms + 1e-6)).clamp(max=1))


def objective_of(scores: Tensor, objective: Estimator) -> Tensor:
    """What training maximises, from the scores (B, B) of a batch whose pairs lie on the diagonal."""
    b = len(scores)
    matched = scores.diagonal()
    if objective == "infonce":
        return (matched - scores.logsumexp(1)).mean() + math.log(b)
    if objective == "smile":
        apart = nn.functional.softplus(scores).sum() - nn.functional.softplus(matched).sum()
        return -nn.functional.softplus(-matched).mean() - apart / (b * (b - 1))
    others = scores.masked_fill(torch.eye(b, dtype=torch.bool, device=scores.device), -math.inf)
    log_mean = others.flatten().logsumexp(0) - math.log(b * (b - 1))
    return matched.mean() - (log_mean if objective == "mine" else (log_mean - 1).exp())
