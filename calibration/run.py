"""The section's tasks: one measurement for each classifier of the study, from its stored test logits."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import binomtest, spearmanr
from torch import Generator, Tensor

from ..analysis.data.dataset import Dataset
from ..analysis.errors import InputError
from ..analysis.interface import Estimate, Row, Task
from ..analysis.settings import changed
from ..analysis.store.results import row_of
from ..analysis.store.runs import Run
from ..analysis.study.classifiers import Trained, classifiers, facts_of, measurement
from ..analysis.study.execute import Context
from ..analysis.study.plan import Study
from ..analysis.training.backend import Backend, stream_seed
from ..analysis.training.config import ClassifierConfig
from . import measures
from .config import SECTION, CalibrationConfig
from .uncertainty import bootstrap, bootstrap_mean, resamples


def tasks(study: Study, dataset: Dataset, backend: Backend) -> Sequence[Task]:
    """For each classifier one measurement of its logits on the whole test set."""
    config: CalibrationConfig = study.settings[SECTION.name]
    trained_with: ClassifierConfig = study.settings["classifier"]
    counts = human_counts(config, dataset)
    own = {k: v for k, v in changed(config).items() if k != "counts"}
    if counts is not None:
        own["people"] = hashlib.sha256(counts.numpy().tobytes()).hexdigest()
    return [
        Task(
            "calibration-measure",
            1,
            f"measure calibration, {trained.augmentation}, seed {trained.seed}",
            {"data": dataset.checksum, **own},
            (measurement(trained_with, dataset, trained),),
            partial(_measure, config, trained_with, trained, counts),
        )
        for trained in classifiers(study, dataset, backend)
    ]


def human_counts(config: CalibrationConfig, dataset: Dataset) -> Tensor | None:
    """People's votes (test images, classes) or their probabilities, float64: as given, else the data set's, else None.

    Raises:
        InputError: a file that is no array; neither votes nor probabilities; or not of this test set in its order.
    """
    counts, where = dataset.human, f"human labels of {dataset.name}"
    if config.counts:
        where = f"calibration.counts: {config.counts}"
        try:
            loaded = np.load(Path(config.counts), allow_pickle=False)
            if loaded.dtype.kind not in "biuf":
                raise TypeError(loaded.dtype)
            counts = torch.from_numpy(loaded.astype(np.float64))
        except FileNotFoundError:
            raise InputError(f"{where}: there is no such file.") from None
        except Exception as error:  # zipfile, numpy and pickle each have their own
            raise InputError(f"{where} is no .npy array of numbers ({type(error).__name__}).") from error
    if counts is None:
        return None
    wanted = (len(dataset.test), len(dataset.classes))
    if tuple(counts.shape) != wanted:
        raise InputError(
            f"{where} has the shape {tuple(counts.shape)}; expected {wanted}, a row for each test image in their order "
            "and a column for each class."
        )
    try:
        counts = measures.check_counts(counts.double())
        if not measures.are_votes(counts):
            measures.check_probabilities(counts)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    _check_order(counts, dataset, where)
    return counts


def _check_order(counts: Tensor, dataset: Dataset, where: str) -> None:
    """Refuse people whose first choices agree with the labels no more often than in a random order."""
    first, labels = counts.argmax(1), dataset.test.labels.cpu()
    classes, n = len(dataset.classes), len(labels)
    chance = (first.bincount(minlength=classes) / n * labels.bincount(minlength=classes) / n).sum().item()
    agree = int((first == labels).sum())
    if chance < 1 and binomtest(agree, n, chance, alternative="greater").pvalue > 0.001:
        raise InputError(
            f"{where}: people's first choice is the label on {agree / n:.1%} of the images, no more than by chance "
            f"({chance:.1%}): the rows are in another order, or of another data set."
        )


def _measure(
    config: CalibrationConfig,
    trained_with: ClassifierConfig,
    trained: Trained,
    counts: Tensor | None,
    run: Run,
    inputs: tuple[Run, ...],
    context: Context,
) -> Sequence[Row]:
    labels = context.dataset.test.labels.cpu()
    logits = torch.from_numpy(inputs[0].read_arrays("logits")["logits"])
    drawn = resamples(len(labels), config.resamples, _generator(config, "resamples"))
    smoothing = config.smoothing if counts is not None and measures.are_votes(counts) else ()
    facts = facts_of(SECTION.name, trained_with, trained, run, context)
    rows: list[Row] = []

    def add(quantity: str, estimate: Estimate, note: str = "", **params: Any) -> None:
        if math.isfinite(estimate.value):
            rows.append(row_of(estimate, quantity=quantity, params=params, note=note, **facts))

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    softness = {"as trained": measures.log_probabilities(logits)}
    fitted = scale(logits, labels, _generator(config, "halves"))
    if fitted is not None:
        softness["scaled"], temperatures = fitted
        add("temperature", Estimate(sum(temperatures) / 2, None, len(labels), "none", ""), "mean of the two halves'")
    for name, log_p in softness.items():
        for quantity, terms in against_labels(log_p, labels).items():
            arrays[f"{name}:{quantity}"] = terms.float().numpy()
            add(quantity, bootstrap_mean(terms, drawn, "nats" if quantity != "brier" else ""), temperature=name)
        confidence, predicted = log_p.exp().max(1)
        right = (predicted == labels).double()
        for quantity, adaptive in (("ece", False), ("adaptive_ece", True)):
            error = partial(_error, confidence, right, config.bins, adaptive)
            add(quantity, bootstrap(error, drawn, "fraction", least=0.0), temperature=name, bins=config.bins)
        found = measures.bins_of(confidence, right, config.bins)
        arrays |= {f"{name}:{part}": getattr(found, part).numpy() for part in ("confidence", "accuracy", "count")}
        if counts is not None:
            for quantity, own, terms in against_people(log_p, counts, smoothing):
                params: dict[str, Any] = {"temperature": name, **own}
                infinite = terms.isinf()
                if infinite.any():
                    share = bootstrap_mean(infinite.double(), drawn, "fraction")
                    add(f"{quantity}_infinite", share, "images on which it is infinite", **params)
                else:
                    add(quantity, bootstrap_mean(terms, drawn, UNITS.get(quantity, "nats")), **params)
                    if own.get("smoothing", 0) == 0:
                        arrays[f"{name}:{quantity}"] = terms.float().numpy()
            pair = (measures.entropy(log_p), measures.entropy(measures.smoothed(counts, 0)))
            add("entropy_correlation", bootstrap(partial(_spearman, *pair), drawn, ""), temperature=name)
    if counts is not None:
        arrays |= curves(logits, counts, smoothing)
        add("entropy_people", bootstrap_mean(measures.entropy(measures.smoothed(counts, 0)), drawn, "nats"))
        for pseudo in smoothing if counts.sum(1).min() >= 2 else ():
            floor = measures.split_half(counts, pseudo, _generator(config, "votes"))
            add("split_half", bootstrap_mean(floor, drawn, "nats"), "D(half‖other half) of people", smoothing=pseudo)
    run.write_arrays(arrays)
    return rows


TEMPERATURES = tuple(float(t) for t in np.round(np.geomspace(1 / 8, 8, 25), 4))
UNITS = {"total_variation": "", "second_best": "fraction"}


def scale(logits: Tensor, labels: Tensor, generator: Generator) -> tuple[Tensor, list[float]] | None:
    """Log-probabilities after temperature scaling, each half of the images at the temperature fitted on the other.

    None where no finite temperature fits a half: it is right everywhere, or its logits say nothing of the labels.
    """
    order = torch.randperm(len(labels), generator=generator)
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    log_p = torch.empty(logits.shape, dtype=torch.float64)
    temperatures = []
    for fit, apply in (halves, halves[::-1]):
        try:
            temperatures.append(measures.fit_temperature(logits[fit], labels[fit]))
        except InputError:
            return None
        log_p[apply] = measures.log_probabilities(logits[apply], temperatures[-1])
    return log_p, temperatures


def against_labels(log_p: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
    return {
        "nll": measures.nll(log_p, labels),
        "brier": measures.brier(log_p, labels),
        "entropy_model": measures.entropy(log_p),
    }


def against_people(
    log_p: Tensor, counts: Tensor, smoothing: Sequence[float]
) -> list[tuple[str, dict[str, float], Tensor]]:
    """(quantity, params, terms): both directions at every smoothing, 0 (people's raw frequencies) among them."""
    raw = measures.smoothed(counts, 0)
    found: list[tuple[str, dict[str, float], Tensor]] = [
        ("soft_cross_entropy", {}, measures.cross_entropy(raw, log_p)),
        ("jensen_shannon", {}, measures.jensen_shannon(raw, log_p)),
        ("total_variation", {}, measures.total_variation(raw, log_p)),
        ("second_best", {}, measures.second_best(log_p, counts)),
    ]
    for pseudo in (0.0, *smoothing):
        people = measures.smoothed(counts, pseudo)
        found.append(("human_model", {"smoothing": pseudo}, measures.divergence(people, log_p)))
        found.append(("model_human", {"smoothing": pseudo}, measures.divergence(log_p, people)))
    return found


def curves(logits: Tensor, counts: Tensor, smoothing: Sequence[float]) -> dict[str, np.ndarray[Any, Any]]:
    """Both directions at `TEMPERATURES`: what softness alone does to the same network."""
    at = [measures.log_probabilities(logits, temperature) for temperature in TEMPERATURES]
    people = measures.smoothed(counts, 0)
    found = {"curve:human_model": [measures.divergence(people, log_p).mean().item() for log_p in at]}
    for pseudo in smoothing:
        people = measures.smoothed(counts, pseudo)
        found[f"curve:model_human:{pseudo:g}"] = [measures.divergence(log_p, people).mean().item() for log_p in at]
    return {"temperatures": np.array(TEMPERATURES)} | {name: np.array(values) for name, values in found.items()}


def _error(confidence: Tensor, right: Tensor, bins: int, adaptive: bool, rows: Tensor) -> float:
    return measures.bins_of(confidence[rows], right[rows], bins, adaptive=adaptive).error


def _spearman(first: Tensor, second: Tensor, rows: Tensor) -> float:
    if any(len(values[rows].unique()) == 1 for values in (first, second)):
        return math.nan  # all the same: no order to compare
    return float(spearmanr(first[rows].numpy(), second[rows].numpy()).statistic)


def _generator(config: CalibrationConfig, purpose: str) -> Generator:
    return Generator().manual_seed(stream_seed("calibration", purpose, config.seed))
