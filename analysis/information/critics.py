"""A neural critic: a network that scores pairs (x, y) high when they belong together, for variational estimates."""

from __future__ import annotations

import copy
import math
from typing import Literal, get_args

import torch
from torch import Generator, Tensor, nn

from ..errors import InputError, unknown
from .samples import check_samples

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
        self.x, self.y = _Embedding(d_x, hidden, features), _Embedding(d_y, hidden, features + 1)
        for name, d in (("x", d_x), ("y", d_y)):
            self.register_buffer(f"shift_{name}", torch.zeros(d, dtype=torch.float64))
            self.register_buffer(f"scale_{name}", torch.ones(d, dtype=torch.float64))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        left = self.x(((x - self.shift_x) / self.scale_x).float())
        right = self.y(((y - self.shift_y) / self.scale_y).float())
        return torch.addmm(right[:, -1], left, right[:, :-1].T)

    @torch.no_grad()
    def initialise(self, x: Tensor, y: Tensor, level: float, generator: Generator | None) -> None:
        """Random g, and h = 0, so that f is ``level`` everywhere; the inputs' moments from samples."""
        for name, values in (("x", x), ("y", y)):
            getattr(self, f"shift_{name}").copy_(values.mean(0))
            getattr(self, f"scale_{name}").copy_(values.std(0).clamp_min(1e-12))
        for module in self.modules():
            if isinstance(module, nn.Linear):
                size = 1 / math.sqrt(module.in_features)
                place = generator.device if generator is not None else module.weight.device
                module.weight.copy_(size * torch.randn(module.weight.shape, generator=generator, device=place))
                if module.bias is not None:
                    module.bias.zero_()
        self.y.last.weight.zero_()
        self.y.linear.weight.zero_()
        self.y.last.bias[-1] = level


class _Embedding(nn.Module):
    """A linear map plus a two-layer network: what is linear need not be learned by the network."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.last = nn.Linear(hidden, outputs)
        self.linear = nn.Linear(inputs, outputs, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.layers(x)) + self.linear(x)


@torch.enable_grad()
def fit_critic(
    x: Tensor,
    y: Tensor,
    *,
    objective: Estimator = "infonce",
    steps: int = 600,
    batch_size: int = 512,
    learning_rate: float = 3e-3,
    weight_decay: float = 1.0,
    hidden: int = 128,
    features: int = 64,
    generator: Generator | None = None,
) -> SeparableCritic:
    """Train a critic on pairs x (N, d_x), y (N, d_y); it comes back in eval mode, frozen.

    AdamW with a cosine schedule. A tenth of the pairs, but at least 50 or a half, is kept out of training; the weights
    that did best on it (on the first 2,000 of it), tried every 50 steps and before the first, are returned, and
    training ends early after a quarter of ``steps`` without progress. A critic that learned nothing returns an estimate
    of 0.

    Args:
        objective: what is maximised on each batch: InfoNCE (van den Oord et al. 2018), NWJ (Nguyen, Wainwright and
            Jordan 2010), the Donsker–Varadhan form of MINE (Belghazi et al. 2018), or for SMILE the Jensen–Shannon
            objective it is trained with (Song and Ermon 2020).

    Raises:
        InputError: see `samples.check_samples`; fewer than 40 pairs; an unknown objective; sizes that are too small.
    """
    x, y = check_samples(x, y)
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
    n = len(x)
    if n < LEAST_PAIRS:
        raise InputError(f"a critic needs at least {LEAST_PAIRS} pairs to be trained on, got {n}.")
    place = generator.device if generator is not None else x.device
    order = torch.randperm(n, generator=generator, device=place).to(x.device)
    apart = max(n // 10, min(n // 2, LEAST_HELD_OUT))
    held_out, trained = order[:apart][:LARGEST_HELD_OUT], order[apart:]
    with torch.random.fork_rng(devices=[]):  # layers draw weights from torch's own generator, which are replaced
        critic = SeparableCritic(x.shape[1], y.shape[1], hidden=hidden, features=features).to(x.device)
    critic.initialise(x[trained], y[trained], 1.0 if objective == "nwj" else 0.0, generator)
    optimizer = torch.optim.AdamW(critic.parameters(), lr=learning_rate, weight_decay=weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    batch_size = min(batch_size, len(trained))
    best, best_step, best_weights = -math.inf, 0, critic.state_dict()
    for step in range(steps + 1):
        if step % TRIED_EVERY == 0 or step == steps:
            with torch.no_grad():
                score = objective_of(critic(x[held_out], y[held_out]), objective).item()
            if score > best:
                best, best_step, best_weights = score, step, copy.deepcopy(critic.state_dict())
            elif step - best_step > max(steps // 4, TRIED_EVERY):
                break
        chosen = torch.randint(len(trained), (batch_size,), generator=generator, device=place).to(x.device)
        batch = trained[chosen]
        loss = -objective_of(critic(x[batch], y[batch]), objective)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(critic.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    critic.load_state_dict(best_weights)
    return critic.eval().requires_grad_(False)


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
