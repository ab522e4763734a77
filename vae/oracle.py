"""The task that runs every estimator on Gaussian worlds whose informations are known, for the report."""

from __future__ import annotations

from collections.abc import Sequence

from ..analysis.information.oracle import compare
from ..analysis.information.world import GaussianWorld
from ..analysis.interface import Row, Task
from ..analysis.store.results import row_of
from ..analysis.store.runs import Run
from ..analysis.study.execute import Context

SECTION = "information"  # of the rows: they belong to the estimators, not to the data
WORLDS = ((0.5, 4), (1, 4), (4, 4), (4, 64), (12, 64), (78, 64))  # I(Z_A;X) in nats, dimensions
OFFSET, STRETCH = 0.1, 1.2  # a marginal gap, as trained encoders have
STEPS = 500


def oracle_task(n: int) -> Task:
    """All estimators on n samples of each world; nothing of a study's data or seeds enters it."""

    def work(run: Run, inputs: tuple[Run, ...], context: Context) -> Sequence[Row]:
        worlds = {
            (nats, dimensions): GaussianWorld.with_information(nats, dimensions, offset=OFFSET, stretch=STRETCH)
            for nats, dimensions in WORLDS
        }
        return [
            row_of(
                found.estimate,
                run=run.path.name.removesuffix(".partial"),
                study=context.study,
                section=SECTION,
                dataset="gaussian-world",
                split="test",
                augmentation="none",
                model="linear-gaussian",
                seed=seed,
                quantity=found.quantity,
                params={
                    "estimator": found.estimator,
                    "information": nats,
                    "dimensions": dimensions,
                    "truth": found.truth,
                },
            )
            for seed, ((nats, dimensions), world) in enumerate(worlds.items())
            for found in compare(world, n, seed=seed, steps=STEPS)
        ]

    return Task("vae-oracle", 2, "try the estimators where the truth is known", {"samples": n}, (), work)
