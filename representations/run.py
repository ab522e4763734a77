"""The section's tasks: what each classifier's layers know, how alike two classifiers are, affinity and diversity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from ..analysis.data.dataset import Dataset, Split, evenly_spaced
from ..analysis.data.modality import Changes
from ..analysis.errors import InputError, unknown
from ..analysis.interface import BASELINE, Augmentation, Estimate, Measurement, Network, Task
from ..analysis.masks.policies import Policy
from ..analysis.schema import narrowed, setting
from ..analysis.store.runs import Run
from ..analysis.study.plan import Asked
from ..analysis.study.worker import Context
from ..analysis.training.backend import stream_seed
from ..classifier.config import NetworkSettings, TrainingSettings
from ..classifier.model import load_classifier, make_classifier, resize, scaling
from ..classifier.run import Training
from . import measures
from .augmented import Seen, over_batches, see
from .config import MOST_IMAGES, MOST_TRAINING_IMAGES, SECTION, InformationSettings, RepresentationsConfig
from .layers import choose_layers, features
from .similarity import cka


@dataclass(frozen=True)
class Measuring:
    layers: tuple[str, ...]
    images: int
    training_images: int
    settings: InformationSettings
    network: NetworkSettings = setting(NetworkSettings(), keyed=False)  # as the input says too


@dataclass(frozen=True)
class Comparing:
    layers: tuple[str, ...] = setting(keyed=False)  # as the inputs say too
    seed: int = setting(keyed=False)  # of the baseline


@dataclass(frozen=True)
class Augmenting:
    images: int
    draws: int
    seed: int
    training: TrainingSettings = setting(TrainingSettings(), keyed=False)  # as the first input says too, and this:
    augmentation: Mapping[str, Any] | None = setting(None, keyed=False)


def tasks(asked: Asked) -> Sequence[Task]:
    """For each classifier a measurement of its layers; comparisons with baselines; affinity and diversity.

    The layers are tried on the untrained network. Networks that were brought along have no augmentation that could be
    made again, so they get no affinity or diversity.
    """
    config: RepresentationsConfig = asked.config
    network_settings = narrowed(NetworkSettings, asked.study.settings["classifier"])
    measuring = Measuring(
        _try_layers(config, network_settings, asked.dataset),
        *_images(config, asked.dataset),
        narrowed(InformationSettings, config),
        network_settings,
    )
    make = partial(Task, version=1, section=SECTION.name, data=asked.dataset.checksum)
    measured = {
        classifier.network: make(
            kind="representations-measure",
            work=f"{__name__}:measure",
            config=measuring,
            label=f"measure representations, {classifier.network}",
            inputs=classifier.inputs,
            network=classifier.network,
            packages=("scikit-learn",),
        )
        for classifier in asked.used["classifier"]
    }
    baselines = {network.seed: network for network in measured if network.augmentation == BASELINE}
    compared = [
        make(
            kind="representations-compare",
            work=f"{__name__}:compare",
            config=Comparing(measuring.layers, baseline.seed or 0),
            label=f"compare representations, {network} and {baseline}",
            inputs=(own, measured[baseline]),
            network=network,
        )
        for network, own in measured.items()
        if (baseline := _compared_with(network, baselines)) is not None
    ]
    trained = {network: own.inputs[0] for network, own in measured.items()}
    augmented = [
        make(
            kind="representations-augment",
            work=f"{__name__}:augment",
            config=Augmenting(
                measuring.images, config.draws, config.seed, own.config.settings, own.config.augmentation
            ),
            label=f"measure affinity and diversity, {network}",
            inputs=(own, trained[baselines[network.seed]]) if network.seed in baselines else (own,),
            network=network,
        )
        for network, own in trained.items()
        if isinstance(own.config, Training)
    ]
    return [*measured.values(), *compared, *augmented]


def _compared_with(network: Network, baselines: Mapping[int | None, Network]) -> Network | None:
    """The baseline of the same seed; of a baseline the one before it, if there is any."""
    if network.augmentation != BASELINE:
        return baselines.get(network.seed)
    seeds = list(baselines)
    place = seeds.index(network.seed)
    return baselines[seeds[place - 1]] if place else None


def _images(config: RepresentationsConfig, dataset: Dataset) -> tuple[int, int]:
    """How many test and training images are measured. Raises InputError where there are not so many."""
    numbers = []
    for name, split, most in (
        ("images", dataset.test, MOST_IMAGES),
        ("training_images", dataset.train, MOST_TRAINING_IMAGES),
    ):
        count = getattr(config, name) or min(len(split), most)
        if count > len(split):
            which = "test" if split is dataset.test else "training"
            raise InputError(
                f"representations.{name} is {count}, but there are {len(split)} {which} images; give at most that."
            )
        numbers.append(count)
    labels = dataset.train.labels[evenly_spaced(len(dataset.train), numbers[1], "representations.training_images")]
    if len(labels.unique()) < 2:
        raise InputError(
            f"representations.training_images: the {numbers[1]} evenly spaced ones are all of one class. Give more."
        )
    return numbers[0], numbers[1]


def _try_layers(config: RepresentationsConfig, network_settings: NetworkSettings, dataset: Dataset) -> tuple[str, ...]:
    """The layers' names, found on two images before hours of training. Raises InputError."""
    pictures = dataset.test.images[:2].float().div(255)
    layers = choose_layers(make_classifier(network_settings, dataset), pictures, config.layers)
    if config.front is not None and config.front not in layers:
        raise unknown("layer in representations.front:", config.front, layers)
    return layers


def measure(config: Measuring, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    """Leaves each layer's features of the test images for comparisons, and one number an image of two bounds."""
    dataset, settings = context.dataset, config.settings
    test, train = _part(dataset.test, config.images), _part(dataset.train, config.training_images)
    model = load_classifier(inputs[0], config.network, dataset, context.backend)
    evaluated = features(model, test.images[:], config.layers, context.backend)
    fit = features(model, train.images[:], config.layers, context.backend)
    context.reporter.start(context.label, len(config.layers))
    arrays = {f"features:{layer}": values for layer, values in evaluated.items()}
    measured = []
    for layer in config.layers:
        label = measures.label_information(
            fit[layer], train.labels, evaluated[layer], test.labels, len(dataset.classes)
        )
        measured.append(Measurement("label_information", label, {"layer": layer}))
        arrays[f"label_information:{layer}"] = _samples(label)
        pair = measures.coordinates(fit[layer], evaluated[layer], settings.dimensions)
        for noise in settings.noise:
            generator = Generator().manual_seed(stream_seed("representations", "noise", settings.seed))
            for quantity, estimate in measures.image_information(*pair, noise, generator).items():
                params = {"layer": layer, "noise": noise, "dimensions": pair[0].shape[1]}
                measured.append(Measurement(quantity, estimate, params))
                if quantity == "rate_mixture":
                    arrays[f"{quantity}:{noise:g}:{layer}"] = _samples(estimate)
        context.reporter.advance(steps=1)
    context.reporter.finish()
    run.write_arrays({name: values.float().numpy() for name, values in arrays.items()})
    return measured


def _samples(estimate: Estimate) -> Tensor:
    assert estimate.samples is not None
    return estimate.samples


def _part(split: Split, count: int) -> Split:
    """So many of its images, in memory; recordings stay such, whose transforms are theirs."""
    chosen = evenly_spaced(len(split), count, "representations.images")
    few = split.in_memory(chosen)
    return Split(few.images, few.labels.cpu())


def compare(config: Comparing, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    names = [f"features:{layer}" for layer in config.layers]
    own, baseline = (run.read_arrays(*names) for run in inputs)
    measured = []
    for layer, name in zip(config.layers, names, strict=True):
        debiased, biased = cka(torch.from_numpy(own[name]), torch.from_numpy(baseline[name]))
        params, note = {"layer": layer, "other_seed": config.seed}, f"with the baseline of seed {config.seed}"
        measured += [Measurement("cka", debiased, params, note), Measurement("cka_biased", biased, params, note)]
    return measured


def augment(config: Augmenting, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    """Diversity of the augmentation's own network; with the baseline of its seed, if there is one, affinity too."""
    dataset, training = context.dataset, config.training
    mix = Policy.of(config.augmentation).build(len(dataset.classes), training.mix_mode)
    train = _part(dataset.train, min(config.images, len(dataset.train)))
    in_files = dataset.modality.NAME == "image" and not isinstance(dataset.train.images, Tensor)
    changes = Changes(training.flip, 0 if in_files else training.crop, training.transforms)
    fitted = _seen(config, inputs[0], train, mix, changes, context)
    size, note = min(training.batch_size, len(train)), "on augmented training images, in eval mode"
    measured = [
        Measurement("diversity", over_batches(fitted.loss, size, "nats"), note=note),
        Measurement(
            "label_entropy", over_batches(fitted.entropy, size, "nats"), note="the least that diversity can be"
        ),
    ]
    if len(inputs) > 1:
        test = _part(dataset.test, config.images)
        clean, mixed = (_seen(config, inputs[1], test, each, None, context) for each in (None, mix))
        size, note = min(training.batch_size, len(test)), "of the baseline's network of the same seed"
        measured += [
            Measurement("affinity", over_batches(mixed.right - clean.right, size, "fraction"), note=note),
            Measurement("affinity_loss", over_batches(mixed.loss - clean.loss, size, "nats"), note=note),
            Measurement("clean_accuracy", over_batches(clean.right, size, "fraction"), note=note),
        ]
    return measured


def _seen(
    config: Augmenting,
    weights: Run,
    split: Split,
    mix: Augmentation | None,
    changes: Changes | None,
    context: Context,
) -> Seen:
    """As in training: normalised, in its batches, mixed by its mode. Every network sees the images in one order."""
    training, backend = config.training, context.backend
    model = load_classifier(weights, training, context.dataset, backend)
    generators = {
        purpose: backend.generator("representations", purpose, config.seed) for purpose in ("images", "mixing")
    }
    batches = context.dataset.modality.batches(
        split,
        *scaling(training, context.dataset),
        min(training.batch_size, len(split)),
        changes=changes,
        device=backend.device,
        generator=generators["images"],
        shuffle=True,
        channels_last=backend.channels_last,
    )
    order = batches.order()
    assert order is not None
    return see(
        lambda x: model.network(resize(x, training.size)).float(),
        batches,
        order,
        mix,
        classes=len(context.dataset.classes),
        draws=1 if mix is None and changes in (None, Changes()) else config.draws,
        generator=generators["mixing"],
    )
