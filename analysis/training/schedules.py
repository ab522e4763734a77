"""Learning rates over training: factors on the optimiser's initial rate, by the (fractional) epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class StepDecay:
    """Times ``gamma`` at each of ``milestones``."""

    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __call__(self, epoch: float) -> float:
        return self.gamma ** sum(epoch >= milestone for milestone in self.milestones)


@dataclass(frozen=True)
class OneCycle:
    """Up from 1/``start`` to 1 and down to 0, each half a cosine (Smith and Topin 2018).

    The rates of PyTorch's OneCycleLR, which ends at 1/10⁴ of its first rate rather than at 0; momentum stays.
    """

    epochs: int
    warm_up: float = 0.3  # of all epochs
    start: float = 25.0

    def __call__(self, epoch: float) -> float:
        done = epoch / self.epochs
        if done < self.warm_up:
            low = 1 / self.start
            return 1 - (1 - low) * (1 + math.cos(math.pi * done / self.warm_up)) / 2
        return (1 + math.cos(math.pi * (done - self.warm_up) / (1 - self.warm_up))) / 2


@dataclass(frozen=True)
class Cosine:
    """From 1 down to 0 along half a cosine (Loshchilov and Hutter 2017): PyTorch's CosineAnnealingLR, step by step."""

    epochs: int

    def __call__(self, epoch: float) -> float:
        return (1 + math.cos(math.pi * epoch / self.epochs)) / 2


@dataclass(frozen=True)
class WarmUp:
    """Evenly from ``start`` to 1 over the first ``epochs`` (Goyal et al. 2017), times what the schedule says."""

    schedule: Callable[[float], float]
    epochs: int
    start: float

    def __call__(self, epoch: float) -> float:
        done = min(1.0, epoch / self.epochs)
        return (self.start + (1 - self.start) * done) * self.schedule(epoch)
