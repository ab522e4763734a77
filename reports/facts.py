"""At which scale a study was made: the box and the warning on a report's front page. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from statistics import fmean
from typing import Any

import pandas as pd

from ..analysis.interface import BASELINE
from ..analysis.presentation.names import label, visible
from ..analysis.presentation.numbers import duration, over_seeds
from ..analysis.store.record import StudyRecord
from . import paper
from .front import listed

BELOW = 3.0  # points of accuracy below the paper's baseline from which a network counts as under-trained
ACCURACY = ("classifier", "accuracy")


def heading(record: StudyRecord) -> str:
    """The study's title, or what it is: augmentations, data and seeds."""
    if title := record.settings.get("title"):
        return visible(str(title))
    arms, seeds = record.compared
    mixed = list(dict.fromkeys(label(record.alias(arm)) for arm in arms if not arm.is_baseline))
    what = listed(mixed) if 0 < len(mixed) <= 4 else f"{len(mixed)} augmentations" if mixed else "Baseline networks"
    return f"{what} on {record.settings['data']}, {len(seeds)} seed{'s' if len(seeds) != 1 else ''}"


def facts(record: StudyRecord) -> list[tuple[str, str]]:
    """Data, networks, epochs, seeds, accuracy reached, hardware and time: name and value."""
    parts = record.parts or (record,)
    found = {
        "Data": _each(_data(part.settings) for part in parts),
        "VAE": _each(_vae(part.settings.get("vae")) for part in parts),
        "Classifier": _each(_classifier(part.settings.get("classifier")) for part in parts),
        "Seeds": ", ".join(map(str, record.compared[1])),
        "Test images": _each(f"{n:,}" for n in sorted({row.n for row in record.rows() if row.augmentation})),
        "Baseline's accuracy": _accuracy(record),
        "Hardware": _each(map(_machine, record.environments())),
        "Computing": duration(sum(record.seconds(task) for task in record.tasks if task.state == "done")),
    }
    return [(name, value) for name, value in found.items() if value]


def warning(record: StudyRecord) -> str:
    """What to hold against every number: on the paper's data, networks far below the paper's. Else empty."""
    values = _accuracies(record)
    if not values:
        return ""
    reached = 100 * fmean(values)
    printed = paper.VALUES["classifier"][BASELINE]["accuracy"]
    if record.settings["data"] == paper.DATA_SET and reached < printed.value - BELOW:
        return (
            f"These networks are under-trained: the baseline reaches {reached:.1f}% where the paper's has "
            f"{printed.value}%. Mixing helps late in training; no order of augmentations here speaks for or against "
            "the paper's."
        )
    return ""


def _accuracies(record: StudyRecord) -> list[float]:
    section, quantity = ACCURACY
    return [
        row.value
        for row in record.rows()
        if (row.study, row.section, row.quantity, row.augmentation) == (record.study, section, quantity, BASELINE)
    ]


def _accuracy(record: StudyRecord) -> str:
    values = _accuracies(record)
    return f"{over_seeds(100 * pd.Series(values))} %" if values else ""


def _data(settings: Mapping[str, Any]) -> str:
    size = settings.get("train_size")
    return str(settings["data"]) + (f", {size:,} training images" if size else "")


def _vae(settings: Mapping[str, Any] | None) -> str:
    if not settings:
        return ""
    return f"{settings['latents']} latents, {settings['epochs']} epochs, rate {settings['learning_rate']:g}"


def _classifier(settings: Mapping[str, Any] | None) -> str:
    if not settings:
        return ""
    brought = settings.get("weights")
    trained = f"{len(brought)} as given" if brought else f"{settings['epochs']} epochs, {settings['schedule']}"
    return f"{settings['model']}, {trained}"


def _machine(environment: Mapping[str, Any]) -> str:
    return f"{environment.get('hardware') or environment.get('device')}, torch {environment.get('torch')}"


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))
