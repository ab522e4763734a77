"""Samples with known mutual information, frozen for tests/analysis/information/test_bmi.py.

Distributions of Czyż, Grabowski, Vogt, Beerenwinkel and Marx, "Beyond Normal: On the Evaluation of Mutual Information
Estimators" (NeurIPS 2023, arXiv:2306.11078), written here from their definitions: normal, Student t, and smooth
invertible maps of x and of y, which leave the information as it is. Every task has its own stream of random numbers.

    python scripts/make_fixtures.py [FILE]
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.special import digamma, gammaln

N = 2000
TARGET = Path(__file__).resolve().parents[1] / "tests/analysis/information/bmi.npz"
SPEED = 1 / 3  # of the spiral

Pair = tuple[np.ndarray, np.ndarray]


class Task(NamedTuple):
    draw: Callable[[np.random.Generator, int], Pair]  # x (n, d_x), y (n, d_y)
    truth: float  # nats


def bivariate(rho: float) -> Task:
    def draw(rng: np.random.Generator, n: int) -> Pair:
        x, noise = rng.standard_normal((2, n, 1))
        return x, rho * x + math.sqrt(1 - rho**2) * noise

    return Task(draw, _of_correlation(rho))


def dense(d: int, correlation: float = 0.5) -> Task:
    """All 2d coordinates have the same correlation with one another: a common part, and an own part each."""

    def draw(rng: np.random.Generator, n: int) -> Pair:
        common, own = rng.standard_normal((n, 1)), rng.standard_normal((n, 2 * d))
        values = math.sqrt(correlation) * common + math.sqrt(1 - correlation) * own
        return values[:, :d], values[:, d:]

    # By symmetry only the sums Σ x_i and Σ y_i are correlated.
    return Task(draw, _of_correlation(d * correlation / (1 + (d - 1) * correlation)))


def two_pairs(d: int, noise: float = 1.0, signal: float = 2.0) -> Task:
    """x_i = ε e_i + λ u_i and y_i = ε f_i + λ u_i for two i, brought to variance 1; the other coordinates are noise."""
    size = math.hypot(noise, signal)

    def draw(rng: np.random.Generator, n: int) -> Pair:
        shared = rng.standard_normal((n, 2))
        x, y = rng.standard_normal((2, n, d))
        for values in (x, y):
            values[:, :2] = (noise * values[:, :2] + signal * shared) / size
        return x, y

    return Task(draw, 2 * _of_correlation(signal**2 / size**2))


def student(d: int, degrees: int) -> Task:
    """Multivariate t with identity dispersion: uncorrelated, dependent by the common scale alone."""

    def draw(rng: np.random.Generator, n: int) -> Pair:
        values = rng.standard_normal((n, 2 * d)) / np.sqrt(rng.chisquare(degrees, (n, 1)) / degrees)
        return values[:, :d], values[:, d:]

    def f(t: float) -> float:
        return float(gammaln(t / 2) - t / 2 * digamma(t / 2))

    return Task(draw, f(degrees) + f(degrees + 2 * d) - 2 * f(degrees + d))


def spiral(task: Task) -> Task:
    """x ↦ exp(v A |x|²) x, A the generator of rotations in one plane; in another plane for y."""
    return _mapped(task, lambda x: rotated(x, (0, 1)), lambda y: rotated(y, (1, 2)))


def half_cube(task: Task) -> Task:
    """Each coordinate t ↦ sign(t) |t|^1.5."""
    return _mapped(task, stretched, stretched)


def rotated(values: np.ndarray, plane: tuple[int, int], speed: float = SPEED) -> np.ndarray:
    angle = speed * np.square(values).sum(1)
    first, second = (values[:, i] for i in plane)
    turned = values.copy()
    turned[:, plane[0]] = np.cos(angle) * first - np.sin(angle) * second
    turned[:, plane[1]] = np.sin(angle) * first + np.cos(angle) * second
    return turned


def stretched(values: np.ndarray) -> np.ndarray:
    return np.sign(values) * np.abs(values) ** 1.5


def _mapped(task: Task, of_x: Callable[[np.ndarray], np.ndarray], of_y: Callable[[np.ndarray], np.ndarray]) -> Task:
    def draw(rng: np.random.Generator, n: int) -> Pair:
        x, y = task.draw(rng, n)
        return of_x(x), of_y(y)

    return Task(draw, task.truth)


def _of_correlation(rho: float) -> float:
    return -0.5 * math.log1p(-(rho**2))


TASKS = {
    "normal-1": bivariate(0.75),
    "dense-2": dense(2),
    "dense-5": dense(5),
    "dense-25": dense(25),
    "two-pairs-3": two_pairs(3),
    "two-pairs-5": two_pairs(5),
    "two-pairs-25": two_pairs(25),
    "student-1-df-1": student(1, 1),
    "student-2-df-1": student(2, 1),
    "student-3-df-2": student(3, 2),
    "student-5-df-2": student(5, 2),
    "spiral-two-pairs-3": spiral(two_pairs(3)),
    "half-cube-normal-1": half_cube(bivariate(0.75)),
    "half-cube-two-pairs-3": half_cube(two_pairs(3)),
}


def sample(name: str, n: int = N) -> Pair:
    x, y = TASKS[name].draw(np.random.default_rng(list(name.encode())), n)
    return x.astype(np.float32), y.astype(np.float32)


def main() -> None:
    arrays: dict[str, np.ndarray] = {}
    for name, task in TASKS.items():
        x, y = sample(name)
        arrays |= {f"{name}/x": x, f"{name}/y": y, f"{name}/truth": np.array(task.truth)}
    np.savez_compressed(sys.argv[1] if len(sys.argv) > 1 else TARGET, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
