"""The task that runs every estimator on Gaussian worlds whose informations are known, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..analysis.information.oracle import compare
from ..analysis.information.world import GaussianWorld
from ..analysis.interface import Measurement, Task
from ..analysis.store.runs import Run
from ..analysis.study.worker import Context
from .config import SECTION

WORLDS = ((0.5, 4), (1, 4), (4, 4), (4, 64), (12, 64), (78, 64))  # I(Z_A;X) in nats, dimensions
OFFSET, STRETCH = 0.1, 1.2  # a marginal gap, as trained encoders have


@dataclass(frozen=True)
class Trying:
    samples: int  # of each world
    critic_steps: int


def oracle_task(samples: int, critic_steps: int) -> Task:
    """All estimators on so many samples of each world; nothing of a study's data or seeds enters it."""
    return Task(
        kind="vae-oracle",
        version=5,
        work=f"{__name__}:measure",
        config=Trying(samples, critic_steps),
        section=SECTION.name,
        label="try the estimators where the truth is known",
    )


def measure(config: Trying, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    measured = []
    for number, (nats, dimensions) in enumerate(WORLDS):
        world = GaussianWorld.with_information(nats, dimensions, offset=OFFSET, stretch=STRETCH)
        for tried in compare(world, config.samples, seed=number, steps=config.critic_steps):
            params = {"estimator": tried.estimator, "information": nats, "dimensions": dimensions, "truth": tried.truth}
            measured.append(Measurement(tried.quantity, tried.estimate, params))
    return measured
