"""The section's tasks: one measurement for each classifier of the study, from its stored test logits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
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
from .config import SECTION, CalibrationConfig, MeasuringSettings
from .temperature import curves, scale
from .votes import fingerprint, published_votes, read_votes


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
                version=1,
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
    weights = resamples(len(labels), settings.resamples, _generator(settings, "resamples"))
    measured: list[Measurement] = []

    def add(quantity: str, estimate: Estimate, note: str = "", **params: Any) -> None:
        if math.isfinite(estimate.value):
            measured.append(Measurement(quantity, estimate, params, note))

    arrays: dict[str, np.ndarray[Any, Any]] = {}
    softness = {"as trained": measures.log_probabilities(logits)}
    scaled = scale(logits, labels, _generator(settings, "halves"))
    if scaled is not None:
        softness["scaled"], temperatures = scaled
        add("temperature", Estimate(sum(temperatures) / 2, None, len(labels), "none", ""), "mean of the two halves'")
    smoothing = settings.smoothing if votes is not None and measures.are_votes(votes) else ()
    for name, log_p in softness.items():
        for quantity, terms in measures.against_labels(log_p, labels).items():
            arrays[f"{name}:{quantity}"] = terms.float().numpy()
            add(quantity, bootstrap_mean(terms, weights, measures.UNITS.get(quantity, "nats")), temperature=name)
        confidence, predicted = log_p.exp().max(1)
        right = (predicted == labels).double()
        for quantity, adaptive in (("ece", False), ("adaptive_ece", True)):
            error = partial(_calibration_error, confidence, right, settings.bins, adaptive)
            add(quantity, bootstrap(error, weights, "fraction", least=0.0), temperature=name, bins=settings.bins)
        bins = measures.bins_of(confidence, right, settings.bins)
        arrays |= {f"{name}:{part}": getattr(bins, part).numpy() for part in ("confidence", "accuracy", "count")}
        if votes is not None:
            for quantity, extra, terms in measures.against_people(log_p, votes, smoothing):
                params: dict[str, Any] = {"temperature": name, **extra}
                infinite = terms.isinf()
                if infinite.any():
                    share = bootstrap_mean(infinite.double(), weights, "fraction")
                    add(f"{quantity}_infinite", share, "images on which it is infinite", **params)
                else:
                    add(quantity, bootstrap_mean(terms, weights, measures.UNITS.get(quantity, "nats")), **params)
                    if extra.get("smoothing", 0) == 0:
                        arrays[f"{name}:{quantity}"] = terms.float().numpy()
            pair = (measures.entropy(log_p), measures.entropy(measures.smoothed(votes, 0)))
            correlation = bootstrap(partial(measures.rank_correlation, *pair), weights, "")
            add("entropy_correlation", correlation, temperature=name)
    if votes is not None:
        arrays |= curves(logits, votes, smoothing)
        add("entropy_people", bootstrap_mean(measures.entropy(measures.smoothed(votes, 0)), weights, "nats"))
        for pseudo in smoothing if votes.sum(1).min() >= 2 else ():
            floor = measures.split_half(votes, pseudo, _generator(settings, "votes"))
            add("split_half", bootstrap_mean(floor, weights, "nats"), "D(half‖other half) of people", smoothing=pseudo)
    run.write_arrays(arrays)
    return measured


def _calibration_error(confidence: Tensor, right: Tensor, bins: int, adaptive: bool, weights: Tensor) -> Tensor:
    return measures.bins_of(confidence, right, bins, adaptive=adaptive, weights=weights).error


def _generator(settings: MeasuringSettings, purpose: str) -> Generator:
    return Generator().manual_seed(stream_seed("calibration", purpose, settings.seed))
