"""The section's tasks: one sweep for each classifier of the study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch

from ..analysis.data.dataset import Dataset, evenly_spaced
from ..analysis.interface import Estimate, Row, Task
from ..analysis.proportion import proportion
from ..analysis.settings import changed
from ..analysis.store.results import row_of
from ..analysis.store.runs import CHECKPOINT, Run
from ..analysis.study.classifiers import Trained, classifiers, facts_of
from ..analysis.study.execute import Context
from ..analysis.study.plan import Study
from ..analysis.training.backend import Backend
from ..analysis.training.classifier import load_classifier
from ..analysis.training.config import ClassifierConfig
from .attacks import Attack, parse_attacks
from .config import SECTION, ProtocolName, RobustnessConfig
from .measures import WORST, accuracy, broken_by, masking_signs, median, smallest_epsilon
from .state import ARRAYS, Swept
from .sweep import compile_for_attacks, sweep


def tasks(study: Study, dataset: Dataset, backend: Backend) -> Sequence[Task]:
    """For each classifier one sweep over the test set, and what is measured on its bits."""
    config: RobustnessConfig = study.settings[SECTION.name]
    trained_with: ClassifierConfig = study.settings["classifier"]
    attacks = parse_attacks(config.attacks)
    evenly_spaced(len(dataset.test), config.images, "robustness.images")
    return [
        _measurement(config, trained_with, attacks, dataset, trained)
        for trained in classifiers(study, dataset, backend)
    ]


def _measurement(
    config: RobustnessConfig,
    trained_with: ClassifierConfig,
    attacks: Sequence[Attack],
    dataset: Dataset,
    trained: Trained,
) -> Task:
    own = {k: v for k, v in changed(config).items() if k not in ("batch_size", "attacks")}
    if config.images == len(dataset.test):
        del own["images"]  # all of them, which is the default
    if not all(attack.by_image for attack in attacks):
        own["batch_size"] = config.batch_size
    swept = Task(
        "robustness-sweep",
        2,
        f"attack {trained.augmentation}, seed {trained.seed}",
        {"data": dataset.checksum, "attacks": [attack.name for attack in attacks], **own},
        (trained.task,),
        partial(_sweep, config, trained_with, trained),
    )
    return Task(
        "robustness-measure",
        1,
        f"measure robustness, {trained.augmentation}, seed {trained.seed}",
        {"data": dataset.checksum},
        (swept,),
        partial(_measure, config, trained_with, trained),
    )


def _sweep(
    config: RobustnessConfig,
    trained_with: ClassifierConfig,
    trained: Trained,
    run: Run,
    inputs: tuple[Run, ...],
    context: Context,
) -> Sequence[Row]:
    """Leaves the sweep's arrays, from which everything else is computed."""
    dataset = context.dataset
    model: torch.nn.Module = load_classifier(inputs[0], trained_with, dataset, context.backend)
    if context.backend.compile:
        model = compile_for_attacks(model)
    chosen = evenly_spaced(len(dataset.test), config.images, "robustness.images")
    total = len(parse_attacks(config.attacks)) * len(chosen)
    context.reporter.start(f"attack {trained.augmentation}, seed {trained.seed}", total)
    found = sweep(
        model,
        dataset.test.images[chosen],
        dataset.test.labels[chosen],
        attacks=config.attacks,
        epsilons=config.epsilons,
        protocol=config.protocol,
        seed=config.seed,
        batch_size=config.batch_size,
        numbers=chosen.tolist(),
        checkpoint=run / CHECKPOINT,
        progress=partial(_advance, run, context),
    )
    context.reporter.finish()
    run.write_arrays({name: getattr(found, name) for name in ARRAYS} | {"images": chosen.numpy()})
    return []


def _advance(run: Run, context: Context, images: int) -> None:
    run.check_lease()
    context.reporter.advance(steps=images)


def _measure(
    config: RobustnessConfig,
    trained_with: ClassifierConfig,
    trained: Trained,
    run: Run,
    inputs: tuple[Run, ...],
    context: Context,
) -> Sequence[Row]:
    arrays = inputs[0].read_arrays(*ARRAYS)
    attacks = parse_attacks(config.attacks)
    names = tuple(attack.name for attack in attacks)
    found = Swept(names, config.epsilons, **{name: arrays[name] for name in ARRAYS})
    run.write_arrays({"bits": found.bits, "images": arrays["images"]})
    return rows_of(
        found,
        attacks,
        protocol=config.protocol,
        classes=len(context.dataset.classes),
        **facts_of(SECTION.name, trained_with, trained, run, context),
    )


def rows_of(
    found: Swept, attacks: Sequence[Attack], *, protocol: ProtocolName, classes: int, **facts: Any
) -> list[Row]:
    """Clean accuracy; accuracy at each ε and median ε of each attack and the worst case; distances; signs of masking.

    ``params`` of each row: protocol, norm, attack, and epsilon where there is one.
    """
    rows: list[Row] = []
    norm = f"L{attacks[0].norm.p}".replace("inf", "∞")

    def add(quantity: str, estimate: Estimate, note: str = "", **params: Any) -> None:
        if math.isfinite(estimate.value):  # a median that no ε of the sweep reaches is no row
            params = {"protocol": protocol, "norm": norm, **params}
            rows.append(row_of(estimate, quantity=quantity, params=params, note=note, **facts))

    add("clean_accuracy", proportion(int(found.correct.sum()), len(found.correct)))
    for name in (*found.attacks, WORST):
        if protocol == "nested-worst" and name != WORST:
            continue  # the worst case alone is defined
        broken = broken_by(found.bits, found.attacks, name)
        for epsilon, estimate in zip(found.epsilons, accuracy(broken), strict=True):
            add("accuracy", estimate, attack=name, epsilon=epsilon)
        smallest = np.where(found.correct, smallest_epsilon(broken, found.epsilons), 0.0)
        add("median_epsilon", median(smallest, norm), "of the smallest ε that breaks each image", attack=name)
    for attack, distances in zip(attacks, found.distance, strict=True):
        if attack.minimises and protocol != "nested-worst" and not np.isnan(distances[found.correct]).any():
            own = np.where(found.correct, distances, 0.0)
            add("median_distance", median(own, norm), "of the attack's own smallest perturbations", attack=attack.name)
    for sign in masking_signs(
        found.bits,
        found.attacks,
        found.epsilons,
        found.zero_gradient,
        iterated=[a.name for a in attacks if a.iterates_gradient],
        single_step=[a.name for a in attacks if a.follows_gradient and a.steps == 1],
        noise=[a.name for a in attacks if a.draws_noise],
        whole_range=norm == "L∞",
        classes=classes,
    ):
        images = Estimate(sign.size, None, found.bits.shape[2], "none", "fraction")
        add("masking_sign", images, sign.text, sign=sign.kind, **sign.params)
    return rows
