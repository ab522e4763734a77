"""The section's tasks: each classifier of the study on shuffled test images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Measurement, Task
from mixlens.analysis.schema import narrowed, setting
from mixlens.analysis.statistics.proportion import proportion
from mixlens.analysis.store.runs import Run
from mixlens.analysis.study.plan import Asked
from mixlens.analysis.study.worker import Context
from mixlens.classifier.config import NetworkSettings
from mixlens.classifier.measures import predict
from mixlens.classifier.model import load_classifier

from .config import SECTION, ShuffleConfig
from .measures import shuffle_tiles


@dataclass(frozen=True)
class Measuring:
    """All that the work is told. What is no part of its key does not change its output, or is in its input's key."""

    settings: ShuffleConfig
    network: NetworkSettings = setting(keyed=False)


def tasks(asked: Asked) -> Sequence[Task]:
    """For each classifier one measurement at every grid. A mistake is known here, before hours of training."""
    sides = asked.dataset.test.images.shape[2:]
    for grid in asked.config.grids:
        if any(side % grid for side in sides):
            shown = "×".join(map(str, sides))
            raise InputError(f"shuffle.grids: {grid} does not divide the images' sides, {shown}.")
    config = Measuring(asked.config, narrowed(NetworkSettings, asked.study.settings["classifier"]))
    return [
        Task(
            kind="shuffle-measure",
            version=1,
            work=f"{__name__}:measure",
            config=config,
            section=SECTION.name,
            label=f"measure shuffled accuracy, {classifier.network}",
            inputs=classifier.inputs,  # what the classifier's own measurement is built on: the trained network
            data=asked.dataset.checksum,
            network=classifier.network,
        )
        for classifier in asked.used["classifier"]
    ]


def measure(config: Measuring, run: Run, inputs: Sequence[Run], context: Context) -> Sequence[Measurement]:
    """The work of a task, in this process or another: what it leaves in ``run``, and the numbers it returns."""
    test = context.dataset.test
    model = load_classifier(inputs[0], config.network, context.dataset, context.backend)
    measured, bits = [], {}
    for grid in config.settings.grids:
        images = shuffle_tiles(test.images[:], grid, torch.Generator().manual_seed(config.settings.seed))
        right = predict(model, images, context.backend).argmax(1).cpu() == test.labels
        bits[f"right:{grid}"] = right.numpy()
        measured.append(Measurement("accuracy", proportion(int(right.sum()), len(right)), {"grid": grid}))
    run.write_arrays(bits)
    return measured
