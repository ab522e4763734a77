"""The section's tasks: the study's classifiers, trained or brought along, and their accuracy.

Other sections measure these networks: they are handed this section's tasks, whose first input holds the weights.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from ..analysis.data.dataset import Dataset, Evaluation, checksum_of
from ..analysis.errors import InputError, first_line
from ..analysis.interface import Estimate, Measurement, Network, Task
from ..analysis.masks.policies import Policy
from ..analysis.models.build import canonical, source_of_network
from ..analysis.schema import narrowed, setting
from ..analysis.spec import read_spec, source_of
from ..analysis.statistics.proportion import proportion
from ..analysis.statistics.uncertainty import from_independent, from_influence
from ..analysis.store.runs import MODEL, Run, parse_json
from ..analysis.study.plan import Asked
from ..analysis.study.worker import Context
from ..analysis.training.checkpoint import OtherShapesError, load_weights, save_weights
from ..analysis.training.recipe import KIND as RECIPE
from ..analysis.training.turns import Turns
from .config import SECTION, ClassifierConfig, NetworkSettings, TrainingSettings
from .measures import Recall, among_largest, predict, predict_heads, recall, right_and_nll, roc_auc
from .model import load_classifier, make_network, try_network
from .train import (
    EVALUATED_IMAGES,
    check_batches,
    recipe_named,
    train_classifier,
    try_mixing,
    try_recipe,
)

PRETRAINED = "pretrained"
WORDS = "words.json"  # beside weights of texts: which words the embedding's rows stand for
TOP = 5  # of so many answers one may be right, where there are more than twice as many classes (Table 3)


@dataclass(frozen=True)
class Training:
    settings: TrainingSettings
    seed: int
    augmentation: Mapping[str, Any] | None = None  # None: the baseline
    source: str = ""  # of a network of the user's own, or of a model's folder: SHA-256 of what makes it
    recipe_source: str = ""  # the same of a recipe


@dataclass(frozen=True)
class Loading:
    network: NetworkSettings
    weights: str  # SHA-256 of their file, or PRETRAINED
    classes: int
    name: str
    seed: int
    source: str = ""
    file: str = setting("", keyed=False)


@dataclass(frozen=True)
class Measuring:
    network: NetworkSettings = setting(keyed=False)  # follows from the input
    others: tuple[str, ...] = ()  # the data set's other images, by name, each with its checksum
    last_epochs: int = 0


def tasks(asked: Asked) -> Sequence[Task]:
    """For each classifier one measurement over the test set, which takes its weights from its input.

    Raises:
        InputError: settings that do not fit the data, weights that are not there or not of this network.
    """
    config: ClassifierConfig = replace(asked.config, model=canonical(asked.config.model))
    networks = _brought(config, asked) if config.weights else _trained(config, asked)
    others = _others(asked.dataset)
    return [
        Task(
            kind="classifier-measure",
            version=3 if _has_top(asked.dataset) or _has_areas(asked.dataset) else 2,
            work=f"{__name__}:measure",
            config=Measuring(narrowed(NetworkSettings, config), others, config.last_epochs),
            section=SECTION.name,
            label=f"measure classifier, {task.network}",
            inputs=(task,),
            data=asked.dataset.checksum,
            network=task.network,
            images=len(asked.dataset.test) / 3,  # not back, which takes twice as long
        )
        for task in networks
    ]


def _has_top(dataset: Dataset) -> bool:
    return not dataset.heads and len(dataset.classes) > 2 * TOP


def _has_areas(dataset: Dataset) -> bool:
    return bool(dataset.heads) and set(dataset.sizes) == {2}


def _trained(config: ClassifierConfig, asked: Asked) -> list[Task]:
    settings = narrowed(TrainingSettings, config)
    settings = replace(settings, transforms=asked.dataset.modality.read_changes(settings.transforms))
    check_batches(settings, asked.dataset, asked.backend.ranks)
    network = make_network(settings, asked.dataset)
    settings = replace(settings, recipe=recipe_named(settings, asked.dataset, network))
    try_network(settings, asked.dataset, network, asked.backend)
    try_mixing(settings, asked.dataset, network, asked.policies)
    precise = replace(asked.backend, precision=asked.backend.resolve(config.precision), ranks=None)
    epochs = try_recipe(settings, asked.dataset, precise, asked.policies)
    if config.last_epochs > epochs:
        raise InputError(
            f"classifier.last_epochs is {config.last_epochs}, of the {epochs} epochs of recipe {settings.recipe}; give "
            "at most as many as are trained, 0 for none."
        )
    source = source_of_network(config.model)
    recipe_source = source_of(read_spec(settings.recipe, RECIPE).use, RECIPE) if settings.recipe else ""
    return [
        Task(
            kind="classifier-train",
            version=2,
            work=f"{__name__}:train",
            config=Training(
                settings if policy.takes_mode else replace(settings, mix_mode=TrainingSettings.mix_mode),
                seed,
                None if policy.is_baseline else policy.fingerprint(),
                source,
                recipe_source,
            ),
            section=SECTION.name,
            label=f"train classifier, {policy.text}, seed {seed}",
            data=asked.dataset.checksum,
            precision=asked.backend.resolve(config.precision),
            network=Network(policy.text, seed, config.model),
            images=settings.epochs * len(asked.dataset.train),
            divides=True,
        )
        for seed in asked.study.seeds
        for policy in asked.policies
    ]


def _brought(config: ClassifierConfig, asked: Asked) -> list[Task]:
    """Networks with given weights, named by ``NAME=`` or the file; several of one name are its seeds 0, 1, ….

    They are loaded once here, so that weights that do not fit are known before anything runs.
    """
    settings, dataset = narrowed(NetworkSettings, config), asked.dataset
    source = source_of_network(config.model)
    found: list[Task] = []
    for text in config.weights:
        name, given, file = ("", "", text) if os.path.isfile(text) else text.rpartition("=")
        if given and not os.path.isfile(file):  # the file's own name may hold the sign
            name, _, file = text.partition("=")
        if not file or (given and not name):
            raise InputError(f"weights must be FILE, NAME=FILE or {PRETRAINED!r}, got {text!r}.")
        name = name if given else PRETRAINED if file == PRETRAINED else Path(file).stem
        seed = sum(task.network.augmentation == name for task in found)
        loading = Loading(settings, "", len(dataset.classes), name, seed, source, file)
        try_network(settings, dataset, _load(loading, dataset), asked.backend)
        found.append(
            Task(
                kind="classifier-load",
                version=1,
                work=f"{__name__}:load",
                config=replace(loading, weights=_digest(file)),
                section=SECTION.name,
                label=f"load {text}",
                network=Network(name, seed, config.model),
            )
        )
    return found


def _digest(file: str) -> str:
    return PRETRAINED if file == PRETRAINED else hashlib.sha256(Path(file).read_bytes()).hexdigest()


def _load(loading: Loading, dataset: Dataset) -> nn.Module:
    network = make_network(loading.network, dataset, pretrained=loading.file == PRETRAINED)
    if loading.file == PRETRAINED:
        return network
    try:
        load_weights(Path(loading.file), network)
    except OtherShapesError as error:
        if dataset.vocabulary is None:
            raise
        raise InputError(
            f"{error} An embedding has a row for each word of the data, of which {dataset.name!r} has "
            f"{len(dataset.vocabulary.words):,}, and one for padding: give it as it was trained on, its words= too."
        ) from error
    _check_words(Path(loading.file), dataset)
    return network


def _check_words(file: Path, dataset: Dataset) -> None:
    beside = file.with_name(WORDS)
    if dataset.vocabulary is None or not beside.is_file():  # then nobody can tell
        return
    try:
        theirs = parse_json(beside.read_bytes())
        if not isinstance(theirs, list):
            raise ValueError("it must be a list")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{beside}, the words that the weights beside it know, is damaged ({first_line(error)}). Put it right, or "
            "give the weights from a folder without one if they are of this data's words."
        ) from error
    for row, (word, ours) in enumerate(zip_longest(theirs, dataset.vocabulary.words), 1):
        if word != ours:
            raise InputError(
                f"the weights at {file} are of other words than {dataset.name!r} has: their word {row} is {word!r} (by "
                f"{WORDS} beside them), the data's {ours!r}. Give the data as they were trained on."
            )


def _leave_words(run: Run, dataset: Dataset) -> None:
    if dataset.vocabulary is not None:
        run.write_json(WORDS, dataset.vocabulary.words)


def train(config: Training, run: Run, inputs: Sequence[Run], context: Context) -> Turns[None]:
    _leave_words(run, context.dataset)
    return train_classifier(
        config.settings,
        context.dataset,
        Policy.of(config.augmentation),
        config.seed,
        run=run,
        backend=context.backend,
        reporter=context.reporter,
        label=context.label,
    )


def load(config: Loading, run: Run, inputs: Sequence[Run], context: Context) -> None:
    network = _load(config, context.dataset)
    if _digest(config.file) != config.weights:
        raise InputError(f"the weights at {config.file} changed while the study ran; run it again.")
    save_weights(run / MODEL, network)
    if Path(config.file).with_name(WORDS).is_file():  # which were found to be the data's
        _leave_words(run, context.dataset)


def _others(dataset: Dataset) -> tuple[str, ...]:
    return tuple(f"{name} {checksum_of(other)}" for name, other in sorted(dataset.others.items()))


def measure(config: Measuring, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    """Leaves the test logits in its arrays, as ``logits`` (N, classes); of several heads as `_measure_heads`.

    Of more than ten classes the top-5 accuracy is measured too. Of other images it leaves which are right.
    """
    test, backend = context.dataset.test, context.backend
    if config.others != _others(context.dataset):
        raise InputError("the other images to be measured on are not those that this was planned for; run it again.")
    model = load_classifier(inputs[0], config.network, context.dataset, backend)
    if context.dataset.heads:
        measured = _measure_heads(predict_heads(model, test.images, backend), context.dataset, run)
        return measured + _last(inputs[0], config.last_epochs, len(test))
    logits = predict(model, test.images, backend)
    labels = test.labels.to(logits.device)
    right, nll = right_and_nll(logits, labels)
    arrays = {"logits": logits, "accuracy": right, "nll": nll}
    measured = [
        Measurement("accuracy", proportion(int(right.sum()), len(right))),
        Measurement("nll", from_independent(nll, "none")),
    ]
    if _has_top(context.dataset):
        share = proportion(int(among_largest(logits, labels, TOP).sum()), len(right))
        measured.append(Measurement("accuracy_top5", share))
    for name, other in context.dataset.others.items():
        for quantity, found in right_on(other, predict(model, other.split.images, backend)).items():
            arrays[f"{quantity}:{name}"] = found
            measured.append(Measurement(quantity, proportion(int(found.sum()), len(found)), {"set": name}))
    run.write_arrays({name: values.cpu().numpy() for name, values in arrays.items()})
    return measured + _last(inputs[0], config.last_epochs, len(test))


def _last(training: Run, epochs: int, tested: int) -> list[Measurement]:
    """The median accuracy after each of the last epochs, on the test images of the training's curves.

    It has no error of its own: the networks of one training, on the same images, are not independent.
    """
    if not epochs:
        return []
    values = [record["test_accuracy"] for record in training.read_history("test_accuracy")[-epochs:]]
    count = min(tested, EVALUATED_IMAGES)
    note = f"median of the last {epochs} epochs" + f", on {count:,} test images" * (count < tested)
    return [Measurement("accuracy_median", Estimate(median(values), None, count, "none", "fraction"), note=note)]


def _measure_heads(logits: Sequence[Tensor], dataset: Dataset, run: Run) -> list[Measurement]:
    """Of each head its accuracy, nll and recall, with ``head`` in their params; of whole labels the same without.

    A whole label is right where every head is, its nll is the sum of theirs, and its recall their mean by the heads'
    weights. Leaves each head's ``logits:NAME`` (N, classes), and the terms of every quantity, ``accuracy:NAME``, ….
    Where all heads have two classes the ROC-AUC is measured too (`_areas`).
    """
    labels = dataset.test.labels.to(logits[0].device)
    arrays: dict[str, Tensor] = {}
    each: dict[str, tuple[Tensor, Tensor, Recall]] = {}
    for head, outputs, own in zip(dataset.heads, logits, labels.unbind(1), strict=True):
        right, nll = right_and_nll(outputs, own)
        each[head.name] = right, nll, recall(right.cpu(), own.cpu())
        arrays[f"logits:{head.name}"] = outputs
    rights, losses, recalls = zip(*each.values(), strict=True)
    shares = torch.tensor([head.weight for head in dataset.heads], dtype=torch.float64)
    mean = Recall(*(shares / shares.sum() @ torch.stack(parts) for parts in zip(*recalls, strict=True)))
    whole = torch.stack(rights).all(0), torch.stack(losses).sum(0), mean
    measured: list[Measurement] = []
    for name, (right, nll, one) in {"": whole, **each}.items():
        params, suffix = ({"head": name}, f":{name}") if name else ({}, "")
        arrays |= {f"accuracy{suffix}": right, f"nll{suffix}": nll, f"recall{suffix}": one.terms.float()}
        measured += [
            Measurement("accuracy", proportion(int(right.sum()), len(right)), params),
            Measurement("nll", from_independent(nll, "none"), params),
            Measurement("recall", from_influence(*one, "none", "fraction", "influence functions"), params),
        ]
    if _has_areas(dataset):
        areas = {
            head.name: roc_auc(outputs.cpu(), own.cpu())
            for head, outputs, own in zip(dataset.heads, logits, labels.unbind(1), strict=True)
        }
        if found := {name: terms for name, terms in areas.items() if terms is not None}:
            measured += _areas(found, dataset, arrays)
        else:
            measured[0] = measured[0]._replace(note="no ROC-AUC: of each head all test labels are of one class")
    run.write_arrays({name: values.cpu().numpy() for name, values in arrays.items()})
    return measured


def _areas(areas: Mapping[str, Tensor], dataset: Dataset, arrays: dict[str, Tensor]) -> list[Measurement]:
    """The ROC-AUC of each head that has one, with ``head`` in its params, and their mean by the heads' weights.

    Kaggle's score of toxic comments, whose weights are the same, and Table 5's. A head whose test labels are all of
    one class has none; the mean's note names it. Their terms are left in ``arrays``.
    """
    shares = torch.tensor([head.weight for head in dataset.heads if head.name in areas], dtype=torch.float64)
    terms = torch.stack(list(areas.values()))
    mean = shares / shares.sum() @ terms
    without = [head.name for head in dataset.heads if head.name not in areas]
    note = f"without {', '.join(without)}: all test labels are of one class" if without else ""
    measured = []
    for name, own in {"": mean, **areas}.items():
        params, suffix = ({"head": name}, f":{name}") if name else ({}, "")
        arrays[f"roc_auc{suffix}"] = own
        estimate = from_influence(own, own, "none", "fraction", "DeLong")
        measured.append(Measurement("roc_auc", estimate, params, "" if name else note))
    return measured


def right_on(other: Evaluation, logits: Tensor) -> dict[str, Tensor]:
    """Which of other images (N,) are right by their logits (N, classes), each prediction among their classes alone.

    As the quantity of its share: the largest logit, and of more than ten classes also whether it is among the five.
    """
    classes = torch.tensor(other.among, device=logits.device)
    logits = logits[:, classes]
    own = other.split.labels.to(logits.device).unsqueeze(1) == classes  # (N, their classes)
    counts = {"other_accuracy": 1} | ({"other_accuracy_top5": TOP} if len(classes) > 2 * TOP else {})
    return {quantity: own.gather(1, logits.topk(count, 1).indices).any(1) for quantity, count in counts.items()}
