"""The section's tasks: the heatmap sums of each classifier of the study."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from ..analysis.data.dataset import Dataset, evenly_spaced
from ..analysis.errors import InputError
from ..analysis.information.uncertainty import from_independent
from ..analysis.interface import Estimate, Row, Task
from ..analysis.proportion import proportion
from ..analysis.settings import changed
from ..analysis.store.results import row_of
from ..analysis.store.runs import Run
from ..analysis.study.classifiers import Trained, classifiers, facts_of
from ..analysis.study.execute import Context
from ..analysis.study.plan import Study
from ..analysis.training.backend import Backend
from ..analysis.training.classifier import load_classifier, make_classifier, to_unit
from ..analysis.training.config import ClassifierConfig
from .config import PREDICTED, SECTION, TRUE, GradCAMConfig
from .layers import choose_layers
from .measures import heatmap_sums, heatmaps


def tasks(study: Study, dataset: Dataset, backend: Backend) -> Sequence[Task]:
    """For each classifier one measurement over the test set. The layers are tried on the untrained network."""
    config: GradCAMConfig = study.settings[SECTION.name]
    trained_with: ClassifierConfig = study.settings["classifier"]
    if config.target not in (PREDICTED, TRUE) and int(config.target) >= len(dataset.classes):
        raise InputError(
            f"gradcam.target is {config.target}, but {dataset.name} has classes 0 to {len(dataset.classes) - 1}."
        )
    evenly_spaced(len(dataset.test), config.images, "gradcam.images")
    trained = classifiers(study, dataset, backend)
    layers = _try_layers(config, trained_with, dataset)
    return [_measurement(config, trained_with, layers, dataset, each) for each in trained]


def _try_layers(config: GradCAMConfig, trained_with: ClassifierConfig, dataset: Dataset) -> tuple[str, ...]:
    """The layers' names, once their maps could be made on two images, before hours of training. Raises InputError."""
    model = make_classifier(trained_with, dataset)
    x = dataset.test.images[:2].float().div(255)
    layers = choose_layers(model, x, config.layers)
    heatmaps(model, x, layers, method=config.method)
    return layers


def _measurement(
    config: GradCAMConfig,
    trained_with: ClassifierConfig,
    layers: tuple[str, ...],
    dataset: Dataset,
    trained: Trained,
) -> Task:
    own = {k: v for k, v in changed(config).items() if k not in ("layers", "batch_size")}
    if config.images == len(dataset.test):
        del own["images"]  # all of them, which is the default
    return Task(
        "gradcam-measure",
        1,
        f"measure heatmaps, {trained.augmentation}, seed {trained.seed}",
        {"data": dataset.checksum, "layers": list(layers), **own},
        (trained.task,),
        partial(_measure, config, trained_with, layers, trained),
    )


def _measure(
    config: GradCAMConfig,
    trained_with: ClassifierConfig,
    layers: tuple[str, ...],
    trained: Trained,
    run: Run,
    inputs: tuple[Run, ...],
    context: Context,
) -> Sequence[Row]:
    dataset, test = context.dataset, context.dataset.test
    chosen = evenly_spaced(len(test), config.images, "gradcam.images")
    shown = evenly_spaced(len(chosen), min(config.shown, len(chosen)), "gradcam.shown")
    context.reporter.start(f"heatmaps, {trained.augmentation}, seed {trained.seed}", len(chosen))
    found = heatmap_sums(
        load_classifier(inputs[0], trained_with, dataset, context.backend),
        test.images[chosen],
        test.labels[chosen],
        layers,
        to_input=partial(to_unit, backend=context.backend),
        method=config.method,
        norm=config.norm,
        upsample=config.upsample,
        target=config.target,
        batch_size=config.batch_size,
        shown=shown.tolist(),
        progress=lambda images: context.reporter.advance(steps=images),
    )
    context.reporter.finish()
    maps = zip(layers, found.shown, strict=True)
    run.write_arrays(
        {
            "images": chosen.numpy(),
            "sums": found.sums.float().cpu().numpy(),
            "zero": found.zero.cpu().numpy(),
            "predicted": found.predicted.cpu().numpy(),
            "shown": chosen[shown].numpy(),
            "pictures": test.images[chosen[shown]].permute(0, 2, 3, 1).numpy(),
        }
        | {f"map:{name}": values.half().cpu().numpy() for name, values in maps}
    )
    facts = facts_of(SECTION.name, trained_with, trained, run, context)
    rows: list[Row] = []
    for layer, sums, zero, area in zip(layers, found.sums.double(), found.zero, found.areas, strict=True):
        estimates: dict[str, Estimate] = {
            "heatmap_sum": from_independent(sums, "none", "pixels"),
            "heatmap_mean": from_independent(sums / area, "none", ""),
            "zero_maps": proportion(int(zero.sum()), len(zero)),
        }
        params: dict[str, Any] = {"layer": layer, "method": config.method, "norm": config.norm, "target": config.target}
        params |= {"upsample": config.upsample, "area": area}
        rows += [row_of(estimate, quantity=name, params=params, **facts) for name, estimate in estimates.items()]
    return rows
