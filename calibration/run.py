"""The section's tasks: one measurement for each classifier of the study, from its stored test logits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from ..analysis.errors import InputError
from ..analysis.interface import Estimate, Measurement, Task
from ..analysis.schema import narrowed, setting
from ..analysis.statistics.bootstrap import bootstrap, bootstrap_mean, resamples
from ..analysis.store.runs import Run
from ..analysis.study.plan import Asked
from ..analysis.study.worker import Context
from ..analysis.training.backend import stream_seed
from . import measures
from .classwise import classwise_error, classwise_gaps
from .config import AS_TRAINED, SCALED, SCALED_TO_PEOPLE, SECTION, CalibrationConfig, MeasuringSettings
from .smooth import smooth_error
from .strata import Stratum, strata
from .temperature import curves, scale
from .votes import fingerprint, published_votes, read_votes

IN_STRATA = ("soft_cross_entropy", "human_model", "model_human")


@dataclass(frozen=True)
class Measuring:
    settings: MeasuringSettings
    people: str = ""  # fingerprint of their votes; empty: there are none
    counts: str = setting("", keyed=False)  # where these are


def tasks(asked: Asked) -> Sequence[Task]:
    """For each classifier one measurement of its logits on the whole test set."""
    config: CalibrationConfig = asked.config
    counts = config.counts or published_votes(asked.study.data, asked.root)
    people = fingerprint(read_votes(counts, asked.dataset, asked.root)) if counts else ""
    measured = []
    for classifier in asked.used["classifier"]:
        network = classifier.network
        measured.append(
            Task(
                kind="calibration-measure",
                version=2,
                work=f"{__name__}:measure",
                config=Measuring(narrowed(MeasuringSettings, config), people, counts),
                section=SECTION.name,
                label=f"measure calibration, {network}",
                inputs=(classifier,),
                data=asked.dataset.checksum,
                network=network,
            )
        )
    return measured


def measure(config: Measuring, run: Run, inputs: Sequence[Run], context: Context) -> list[Measurement]:
    settings, labels = config.settings, context.dataset.test.labels.cpu()
    logits = torch.from_numpy(inputs[0].read_arrays("logits")["logits"])
    votes = read_votes(config.counts, context.dataset, context.root) if config.people else None
    if votes is not None and fingerprint(votes) != config.people:
        raise InputError(f"the votes of {config.counts} changed while the study ran; run it again.")
    rows = _Rows(resamples(len(labels), settings.resamples, _generator(settings, "resamples")))
    softness = {AS_TRAINED: measures.log_probabilities(logits)}
    targets = {SCALED: labels} | ({} if votes is None else {SCALED_TO_PEOPLE: measures.smoothed(votes, 0).exp()})
    for name, target in targets.items():
        scaled = scale(logits, target, _generator(settings, "halves"))
        if scaled is not None:
            softness[name], temperatures = scaled
            mean = Estimate(sum(temperatures) / 2, None, len(labels), "none", "")
            rows.add("temperature", mean, "mean of the two halves'", temperature=name)
    for name, log_p in softness.items():
        _against_labels(rows, name, log_p, labels, settings.bins)
    if votes is not None:
        smoothing = settings.smoothing if measures.are_votes(votes) else ()
        groups = strata(votes)
        for name, log_p in softness.items():
            _against_people(rows, name, log_p, votes, smoothing, groups)
        rows.arrays |= curves(logits, votes, smoothing)
        rows.mean("entropy_people", measures.entropy(measures.smoothed(votes, 0)))
        for pseudo in smoothing if votes.sum(1).min() >= 2 else ():
            floor = measures.split_half(votes, pseudo, _generator(settings, "votes"))
            rows.mean("split_half", floor, "D(half‖other half) of people", smoothing=pseudo)
    run.write_arrays(rows.arrays)
    return rows.measured


@dataclass
class _Rows:
    """What is measured, on the same resamples of the images (R, N), and the arrays beside it."""

    weights: Tensor
    measured: list[Measurement] = field(default_factory=list)
    arrays: dict[str, np.ndarray[Any, Any]] = field(default_factory=dict)

    def add(self, quantity: str, estimate: Estimate, note: str = "", **params: Any) -> None:
        if math.isfinite(estimate.value):
            self.measured.append(Measurement(quantity, estimate, params, note))

    def mean(self, quantity: str, terms: Tensor, note: str = "", **params: Any) -> None:
        estimate = bootstrap_mean(terms, self.weights, measures.UNITS.get(quantity, "nats"))
        self.add(quantity, estimate, note, **params)

    def error(self, quantity: str, statistic: Callable[[Tensor], Tensor], **params: Any) -> None:
        self.add(quantity, bootstrap(statistic, self.weights, "fraction", least=0.0), **params)


def _against_labels(rows: _Rows, name: str, log_p: Tensor, labels: Tensor, bins: int) -> None:
    for quantity, terms in measures.against_labels(log_p, labels).items():
        rows.arrays[f"{name}:{quantity}"] = terms.float().numpy()
        rows.mean(quantity, terms, temperature=name)
    confidence, predicted = log_p.exp().max(1)
    right = (predicted == labels).double()
    for quantity, adaptive in (("ece", False), ("adaptive_ece", True)):
        rows.error(quantity, partial(_ece, confidence, right, bins, adaptive), temperature=name, bins=bins)
    classwise = partial(classwise_error, classwise_gaps(log_p, labels, bins), log_p.shape[1])
    rows.error("classwise_ece", classwise, temperature=name, bins=bins)
    rows.error("smooth_ece", partial(smooth_error, confidence, right), temperature=name)
    diagram = measures.bins_of(confidence, right, bins)
    rows.arrays |= {f"{name}:{part}": getattr(diagram, part).numpy() for part in ("confidence", "accuracy", "count")}


def _against_people(
    rows: _Rows, name: str, log_p: Tensor, votes: Tensor, smoothing: Sequence[float], groups: Sequence[Stratum]
) -> None:
    for quantity, extra, terms in measures.against_people(log_p, votes, smoothing):
        params: dict[str, Any] = {"temperature": name, **extra}
        infinite = terms.isinf()
        if infinite.any():
            share = bootstrap_mean(infinite.double(), rows.weights, "fraction")
            rows.add(f"{quantity}_infinite", share, "images on which it is infinite", **params)
            continue
        rows.mean(quantity, terms, **params)
        raw = extra.get("smoothing", 0) == 0
        if raw:
            rows.arrays[f"{name}:{quantity}"] = terms.float().numpy()
        if quantity in IN_STRATA and (raw or quantity == "model_human"):  # the others need no smoothing
            for group in groups:
                inside = terms.where(group.images, torch.nan)
                rows.mean(quantity, inside, f"images on which {group.bounds}", stratum=group.name, **params)
    pair = (measures.entropy(log_p), measures.entropy(measures.smoothed(votes, 0)))
    correlation = bootstrap(partial(measures.rank_correlation, *pair), rows.weights, "")
    rows.add("entropy_correlation", correlation, temperature=name)


def _ece(confidence: Tensor, right: Tensor, bins: int, adaptive: bool, weights: Tensor) -> Tensor:
    return measures.bins_of(confidence, right, bins, adaptive=adaptive, weights=weights).error


def _generator(settings: MeasuringSettings, purpose: str) -> Generator:
    return Generator().manual_seed(stream_seed("calibration", purpose, settings.seed))
