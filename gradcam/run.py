"""The section's tasks: the heatmap sums of each classifier of the study."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from ..analysis.data.dataset import Dataset, evenly_spaced
from ..analysis.errors import InputError
from ..analysis.interface import Measurement, Task
from ..analysis.schema import narrowed, setting
from ..analysis.statistics.proportion import proportion
from ..analysis.statistics.uncertainty import from_independent
from ..analysis.store.runs import Run
from ..analysis.study.plan import Asked
from ..analysis.study.worker import Context
from ..classifier.config import NetworkSettings
from ..classifier.measures import to_unit
from ..classifier.model import load_classifier, make_classifier
from .config import PREDICTED, SECTION, TRUE, GradCAMConfig, HeatmapSettings
from .layers import choose_layers
from .measures import Sums, heatmap_sums, heatmaps
from .methods import find_method


@dataclass(frozen=True)
class Measuring:
    layers: tuple[str, ...]
    settings: HeatmapSettings
    source: str = ""  # of a method of the user's own: SHA-256 of the file that makes it
    at_once: int | None = setting(None, keyed=False)  # images
    network: NetworkSettings = setting(NetworkSettings(), keyed=False)  # as the input says too


def tasks(asked: Asked) -> Sequence[Task]:
    """For each classifier one measurement over the test set. The layers are tried on the untrained network."""
    config: GradCAMConfig = asked.config
    dataset = asked.dataset
    if config.target not in (PREDICTED, TRUE) and int(config.target) >= len(dataset.classes):
        raise InputError(
            f"gradcam.target is {config.target}, but {dataset.name} has classes 0 to {len(dataset.classes) - 1}."
        )
    evenly_spaced(len(dataset.test), config.images, "gradcam.images")
    method = find_method(config.method)
    settings = replace(narrowed(HeatmapSettings, config), method=method.name)
    if config.images == len(dataset.test):
        settings = replace(settings, images=None)  # all of them, which is the default
    network_settings = narrowed(NetworkSettings, asked.study.settings["classifier"])
    layers = _try_layers(config, network_settings, dataset)
    measured = []
    for classifier in asked.used["classifier"]:
        network = classifier.network
        measured.append(
            Task(
                kind="gradcam-measure",
                version=1,
                work=f"{__name__}:measure",
                config=Measuring(layers, settings, method.source, config.batch_size, network_settings),
                section=SECTION.name,
                label=f"measure heatmaps, {network}",
                inputs=classifier.inputs,
                data=dataset.checksum,
                network=network,
                images=settings.images or len(dataset.test) if method.name == "gradcam" else 0,
            )
        )
    return measured


def _try_layers(config: GradCAMConfig, network_settings: NetworkSettings, dataset: Dataset) -> tuple[str, ...]:
    """The layers' names, once their maps could be made on two images, before hours of training. Raises InputError."""
    model = make_classifier(network_settings, dataset)
    x = dataset.test.images[:2].float().div(255)
    layers = choose_layers(model, x, config.layers)
    heatmaps(model, x, layers, method=config.method)
    return layers


def measure(config: Measuring, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    dataset, test, settings = context.dataset, context.dataset.test, config.settings
    chosen = evenly_spaced(len(test), settings.images, "gradcam.images")
    shown = evenly_spaced(len(chosen), min(settings.shown, len(chosen)), "gradcam.shown")
    context.reporter.start(context.label, len(chosen))
    sums = heatmap_sums(
        load_classifier(inputs[0], config.network, dataset, context.backend),
        test.images[chosen],
        test.labels[chosen],
        config.layers,
        to_input=partial(to_unit, backend=context.backend),
        method=settings.method,
        norm=settings.norm,
        upsample=settings.upsample,
        target=settings.target,
        batch_size=config.at_once,
        shown=shown.tolist(),
        progress=lambda images: context.reporter.advance(steps=images),
    )
    context.reporter.finish()
    maps = zip(config.layers, sums.shown, strict=True)
    run.write_arrays(
        {
            "images": chosen.numpy(),
            "sums": sums.sums.float().cpu().numpy(),
            "zero": sums.zero.cpu().numpy(),
            "predicted": sums.predicted.cpu().numpy(),
            "shown": chosen[shown].numpy(),
            "pictures": test.images[chosen[shown]].permute(0, 2, 3, 1).numpy(),
        }
        | {f"map:{name}": values.half().cpu().numpy() for name, values in maps}
    )
    return _measurements_of(sums, settings)


def _measurements_of(sums: Sums, settings: HeatmapSettings) -> list[Measurement]:
    measured = []
    for layer, values, zero, area in zip(sums.layers, sums.sums.double(), sums.zero, sums.areas, strict=True):
        estimates = {
            "heatmap_sum": from_independent(values, "none", "pixels"),
            "heatmap_mean": from_independent(values / area, "none", ""),
            "zero_maps": proportion(int(zero.sum()), len(zero)),
        }
        params: dict[str, Any] = {"layer": layer, "method": settings.method, "norm": settings.norm}
        params |= {"target": settings.target, "upsample": settings.upsample, "area": area}
        measured += [Measurement(quantity, estimate, params) for quantity, estimate in estimates.items()]
    return measured
