"""The section's tasks: each classifier of the study on shuffled test images."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Row, Task
from mixlens.analysis.proportion import proportion
from mixlens.analysis.settings import changed
from mixlens.analysis.store.results import row_of
from mixlens.analysis.store.runs import Run
from mixlens.analysis.study.classifiers import Trained, classifiers, facts_of
from mixlens.analysis.study.plan import Study
from mixlens.analysis.training.backend import Backend
from mixlens.analysis.training.classifier import load_classifier, predict
from mixlens.analysis.training.config import ClassifierConfig

from .config import SECTION, ShuffleConfig
from .measures import shuffle_tiles


def tasks(study: Study, dataset: Dataset, backend: Backend) -> Sequence[Task]:
    """For each classifier one measurement at every grid. A mistake is known here, before hours of training."""
    config: ShuffleConfig = study.settings[SECTION.name]
    trained_with: ClassifierConfig = study.settings["classifier"]
    for grid in config.grids:
        if any(side % grid for side in dataset.test.images.shape[2:]):
            sides = "×".join(map(str, dataset.test.images.shape[2:]))
            raise InputError(f"shuffle.grids: {grid} does not divide the images' sides, {sides}.")
    return [
        Task(
            "shuffle-measure",
            1,
            f"measure shuffled accuracy, {trained.augmentation}, seed {trained.seed}",
            {"data": dataset.checksum, **changed(config)},
            (trained.task,),
            partial(_measure, config, trained_with, trained),
        )
        for trained in classifiers(study, dataset, backend)
    ]


def _measure(
    config: ShuffleConfig, trained_with: ClassifierConfig, trained: Trained, run: Run, inputs: Any, context: Any
) -> Sequence[Row]:
    dataset: Dataset = context.dataset
    model = load_classifier(inputs[0], trained_with, dataset, context.backend)
    labels = dataset.test.labels
    facts = facts_of(SECTION.name, trained_with, trained, run, context)
    rows, bits = [], {}
    for grid in config.grids:
        images = shuffle_tiles(dataset.test.images, grid, torch.Generator().manual_seed(config.seed))
        right = predict(model, images, context.backend).argmax(1).cpu() == labels
        bits[f"right:{grid}"] = right.numpy()
        estimate = proportion(int(right.sum()), len(right))
        rows.append(row_of(estimate, quantity="accuracy", params={"grid": grid}, **facts))
    run.write_arrays(bits)
    return rows
