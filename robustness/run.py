"""The section's tasks: one sweep for each classifier of the study, and what its bits say."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from ..analysis.data.dataset import evenly_spaced
from ..analysis.interface import Estimate, Measurement, Task
from ..analysis.schema import narrowed, setting
from ..analysis.statistics.proportion import proportion
from ..analysis.store.runs import CHECKPOINT, Run
from ..analysis.study.plan import Asked
from ..analysis.study.worker import Context
from ..classifier.config import NetworkSettings
from ..classifier.model import load_classifier
from .attacks import Attack, parse_attacks
from .config import SECTION, TOGETHER, ProtocolName, RobustnessConfig, SweepSettings, check_within_range
from .measures import WORST, accuracy, broken_by, masking_signs, median, smallest_epsilon
from .probe import try_attacks
from .state import ARRAYS, Swept
from .sweep import compile_for_attacks, sweep


@dataclass(frozen=True)
class Sweeping:
    attacks: tuple[str, ...]
    settings: SweepSettings
    network: NetworkSettings = setting(keyed=False)  # as the input says too
    at_once: int | None = setting(keyed=False)
    batch_size: int | None = None  # the same, where results depend on it
    sources: tuple[str, ...] = ()  # of attacks of the user's own: SHA-256 of the files that make them


@dataclass(frozen=True)
class Measuring:
    attacks: tuple[str, ...] = setting(keyed=False)  # all as the input says too
    settings: SweepSettings = setting(keyed=False)


def tasks(asked: Asked) -> Sequence[Task]:
    """For each classifier one sweep over the test set, and what is measured on its bits."""
    config: RobustnessConfig = asked.config
    attacks = parse_attacks(config.attacks)
    if math.isinf(attacks[0].norm.p):
        check_within_range(config.epsilons)
    try_attacks(attacks, asked.dataset)
    names = tuple(attack.name for attack in attacks)
    evenly_spaced(len(asked.dataset.test), config.images, "robustness.images")
    settings = narrowed(SweepSettings, config)
    if config.images == len(asked.dataset.test):
        settings = replace(settings, images=None)  # all of them, which is the default
    sources = tuple(attack.source for attack in attacks if attack.source)
    together = None if all(attack.by_image for attack in attacks) else config.batch_size or TOGETHER
    if config.precision == "tf32":
        asked.backend.check_tf32()
    network_settings = narrowed(NetworkSettings, asked.study.settings["classifier"])
    measured = []
    for classifier in asked.used["classifier"]:
        network = classifier.network
        swept = Task(
            kind="robustness-sweep",
            version=2,
            work=f"{__name__}:attack",
            config=Sweeping(names, settings, network_settings, config.batch_size, together, sources),
            section=SECTION.name,
            label=f"attack {network}",
            inputs=classifier.inputs,
            data=asked.dataset.checksum,
            network=network,
            packages=("foolbox",),
            images=_passes(attacks) * len(config.epsilons) * (config.images or len(asked.dataset.test)),
        )
        measured.append(
            Task(
                kind="robustness-measure",
                version=1,
                work=f"{__name__}:measure",
                config=Measuring(names, settings),
                section=SECTION.name,
                label=f"measure robustness, {network}",
                inputs=(swept,),
                data=asked.dataset.checksum,
                network=network,
            )
        )
    return measured


def _passes(attacks: Sequence[Attack]) -> float:
    """Of an image at one ε, there and back, were nothing broken before; 0 where an attack does not say its steps."""
    costs = [attack.cost for attack in attacks]
    return sum(costs) / 2 if all(costs) else 0.0


def attack(config: Sweeping, run: Run, inputs: Sequence[Run], context: Context) -> None:
    """Leaves the sweep's arrays, from which everything else is computed."""
    dataset, settings = context.dataset, config.settings
    model: torch.nn.Module = load_classifier(inputs[0], config.network, dataset, context.backend)
    if context.backend.compile:
        model = compile_for_attacks(model)
    chosen = evenly_spaced(len(dataset.test), settings.images, "robustness.images")
    context.reporter.start(context.label, len(config.attacks) * len(chosen))
    with context.backend.tf32() if settings.precision == "tf32" else nullcontext():
        swept = sweep(
            model,
            dataset.test.images[chosen],
            dataset.test.labels[chosen],
            attacks=config.attacks,
            epsilons=settings.epsilons,
            protocol=settings.protocol,
            seed=settings.seed,
            batch_size=config.batch_size or config.at_once,
            numbers=chosen.tolist(),
            checkpoint=run / CHECKPOINT,
            progress=partial(_advance, run, context),
            say=lambda text: context.reporter.say(f"{context.label}: {text}"),
        )
    context.reporter.finish()
    run.write_arrays({name: getattr(swept, name) for name in ARRAYS} | {"images": chosen.numpy()})


def _advance(run: Run, context: Context, images: int) -> None:
    run.check_lease()
    context.reporter.advance(steps=images)


def measure(config: Measuring, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    arrays = inputs[0].read_arrays(*ARRAYS, "images")
    swept = Swept(config.attacks, config.settings.epsilons, **{name: arrays[name] for name in ARRAYS})
    run.write_arrays({"bits": swept.bits, "images": arrays["images"]})
    return measurements_of(
        swept,
        parse_attacks(config.attacks),
        protocol=config.settings.protocol,
        precision=config.settings.precision,
        classes=len(context.dataset.classes),
    )


def measurements_of(
    swept: Swept, attacks: Sequence[Attack], *, protocol: ProtocolName, classes: int, precision: str = "fp32"
) -> list[Measurement]:
    """Clean accuracy; accuracy at each ε and median ε of each attack and the worst case; distances; signs of masking.

    ``params`` of each: protocol, norm, attack, and epsilon where there is one; the precision, if it is not fp32.
    """
    measured: list[Measurement] = []
    norm = f"L{attacks[0].norm.p}".replace("inf", "∞")
    common = {"protocol": protocol, "norm": norm} | ({} if precision == "fp32" else {"precision": precision})

    def add(quantity: str, estimate: Estimate, note: str = "", **params: Any) -> None:
        if math.isfinite(estimate.value):  # a median that no ε of the sweep reaches is no row
            measured.append(Measurement(quantity, estimate, {**common, **params}, note))

    add("clean_accuracy", proportion(int(swept.correct.sum()), len(swept.correct)))
    for name in (*swept.attacks, WORST):
        if protocol == "nested-worst" and name != WORST:
            continue  # the worst case alone is defined
        broken = broken_by(swept.bits, swept.attacks, name)
        for epsilon, estimate in zip(swept.epsilons, accuracy(broken), strict=True):
            add("accuracy", estimate, attack=name, epsilon=epsilon)
        smallest = np.where(swept.correct, smallest_epsilon(broken, swept.epsilons), 0.0)
        add("median_epsilon", median(smallest, norm), "of the smallest ε that breaks each image", attack=name)
    for attack, distances in zip(attacks, swept.distance, strict=True):
        if attack.minimises and protocol != "nested-worst" and not np.isnan(distances[swept.correct]).any():
            own = np.where(swept.correct, distances, 0.0)
            add("median_distance", median(own, norm), "of the attack's own smallest perturbations", attack=attack.name)
    for sign in masking_signs(
        swept.bits,
        swept.attacks,
        swept.epsilons,
        swept.zero_gradient,
        iterated=[a.name for a in attacks if a.iterates_gradient],
        single_step=[a.name for a in attacks if a.follows_gradient and a.steps == 1],
        noise=[a.name for a in attacks if a.draws_noise],
        whole_range=norm == "L∞",
        classes=classes,
    ):
        images = Estimate(sign.size, None, swept.bits.shape[2], "none", "fraction")
        add("masking_sign", images, sign.text, sign=sign.kind, **sign.params)
    return measured
