"""The tasks that give a study its classifiers, trained or brought along, which several sections measure."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import nn

from ..data.dataset import Dataset
from ..errors import InputError
from ..information.uncertainty import from_independent
from ..interface import Row, Task
from ..masks.policies import Policy
from ..models.build import LIBRARIES
from ..plugins import source_of
from ..proportion import proportion
from ..settings import changed
from ..store.results import row_of
from ..store.runs import MODEL, Run
from ..training.backend import Backend, make_backend
from ..training.checkpoint import load_weights, save_weights
from ..training.classifier import check_data, load_classifier, make_network, predict, train_classifier, try_network
from ..training.config import SECTION, ClassifierConfig
from .plan import Study, training_settings

PRETRAINED = "pretrained"


class Trained(NamedTuple):
    """A classifier of the study: the task that makes its weights, and what its rows say of it."""

    task: Task
    augmentation: str
    seed: int


def tasks(study: Study, dataset: Dataset, backend: Backend) -> Sequence[Task]:
    config: ClassifierConfig = study.settings[SECTION.name]
    return [measurement(config, dataset, trained) for trained in classifiers(study, dataset, backend)]


def classifiers(study: Study, dataset: Dataset, backend: Backend) -> list[Trained]:
    """Every augmentation's classifiers, one a seed; or those whose weights the user brings.

    Raises:
        InputError: settings that do not fit the data, weights that are not there or not of this network.
    """
    config: ClassifierConfig = study.settings[SECTION.name]
    check_data(config, dataset)
    if config.weights:
        return _brought(config, dataset)
    try_network(config, dataset, make_network(config, dataset))
    precision = make_backend(str(backend.device), config.precision).precision
    return [
        Trained(_training(config, dataset, policy, seed, precision), policy.text, seed)
        for seed in study.seeds
        for policy in study.policies
    ]


def _brought(config: ClassifierConfig, dataset: Dataset) -> list[Trained]:
    """Networks with given weights, named by ``NAME=`` or the file; several of one name are its seeds 0, 1, ….

    They are loaded once here, so that weights that do not fit are known before anything runs.
    """
    found: list[Trained] = []
    for text in config.weights:
        name, given, file = ("", "", text) if Path(text).is_file() else text.rpartition("=")
        if given and not Path(file).is_file():  # the file's own name may hold the sign
            name, _, file = text.partition("=")
        if not file or (given and not name):
            raise InputError(f"weights must be FILE, NAME=FILE or {PRETRAINED!r}, got {text!r}.")
        path = None if file == PRETRAINED else Path(file)
        name = name if given else PRETRAINED if path is None else path.stem
        try_network(config, dataset, _load(config, dataset, path))
        seed = sum(other.augmentation == name for other in found)
        own = {k: v for k, v in changed(config).items() if k in ("model", "width", "size", "mean", "std")}
        source = PRETRAINED if path is None else hashlib.sha256(path.read_bytes()).hexdigest()
        settings = (
            own | _source(config) | {"weights": source, "classes": len(dataset.classes), "name": name, "seed": seed}
        )

        def work(run: Run, inputs: tuple[Run, ...], context: Any, path: Path | None = path) -> Sequence[Row]:
            save_weights(run / MODEL, _load(config, dataset, path))
            return []

        found.append(Trained(Task("classifier-load", 1, f"load {text}", settings, (), work), name, seed))
    return found


def _source(config: ClassifierConfig) -> dict[str, str]:
    """What else determines a network of the user's own: the file that makes it."""
    library, own, _ = config.model.partition(":")
    return {"source": source_of(config.model, "model")} if own and library not in LIBRARIES else {}


def _load(config: ClassifierConfig, dataset: Dataset, path: Path | None) -> nn.Module:
    network = make_network(config, dataset, pretrained=path is None)
    if path is not None:
        load_weights(path, network)
    return network


def _training(config: ClassifierConfig, dataset: Dataset, policy: Policy, seed: int, precision: str) -> Task:
    settings = training_settings(config, dataset, policy, seed, precision) | _source(config)

    def work(run: Run, inputs: tuple[Run, ...], context: Any) -> Sequence[Row]:
        train_classifier(
            config,
            context.dataset,
            policy,
            seed,
            run=run,
            backend=context.backend,
            reporter=context.reporter,
            label=f"classifier, {policy.text}, seed {seed}",
        )
        return []

    return Task("classifier-train", 1, f"train classifier, {policy.text}, seed {seed}", settings, (), work)


def measurement(config: ClassifierConfig, dataset: Dataset, trained: Trained) -> Task:
    """The task that leaves a classifier's test logits in its arrays, as ``logits`` (N, classes), and its accuracy."""
    return Task(
        "classifier-measure",
        2,
        f"measure classifier, {trained.augmentation}, seed {trained.seed}",
        {"data": dataset.checksum},
        (trained.task,),
        partial(_measure, config, trained),
    )


def _measure(
    config: ClassifierConfig, trained: Trained, run: Run, inputs: tuple[Run, ...], context: Any
) -> Sequence[Row]:
    dataset: Dataset = context.dataset
    model = load_classifier(inputs[0], config, dataset, context.backend)
    logits = predict(model, dataset.test.images, context.backend)
    labels = dataset.test.labels.to(logits.device)
    right, nll = logits.argmax(1) == labels, F.cross_entropy(logits, labels, reduction="none")
    found = {"accuracy": proportion(int(right.sum()), len(labels)), "nll": from_independent(nll, "none")}
    arrays = {"logits": logits, "accuracy": right, "nll": nll}
    run.write_arrays({name: values.cpu().numpy() for name, values in arrays.items()})
    facts = facts_of(SECTION.name, config, trained, run, context)
    return [row_of(estimate, quantity=quantity, **facts) for quantity, estimate in found.items()]


def facts_of(section: str, config: ClassifierConfig, trained: Trained, run: Run, context: Any) -> dict[str, Any]:
    """What every row of a classifier's measurement says beside its number."""
    return {
        "run": run.path.name.removesuffix(".partial"),
        "study": context.study,
        "section": section,
        "dataset": context.dataset.name,
        "split": "test",
        "augmentation": trained.augmentation,
        "model": config.model,
        "seed": trained.seed,
    }
