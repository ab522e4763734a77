"""At which scale a study was made: the box and the warning on a report's front page. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from ..analysis.interface import BASELINE, Arm
from ..analysis.presentation.names import label, listed, visible
from ..analysis.presentation.numbers import duration, over_seeds
from ..analysis.store.record import StudyRecord
from . import paper
from .claims import Judged
from .front import brought

BELOW = 3.0  # points of accuracy below the paper's baseline from which a network counts as under-trained
NEAR = 5.0  # points of accuracy above chance
ACCURACY = ("classifier", "accuracy")
CLEAN = ("robustness", "clean_accuracy")  # of the images that are attacked: where nothing else says how good they are


def heading(record: StudyRecord) -> str:
    """The study's title, or what it is: augmentations, data and seeds."""
    if title := record.settings.get("title"):
        return visible(str(title))
    arms, seeds = record.compared
    if brought(record):
        count = sum(task.kind == "classifier-load" for task in record.tasks)
        return f"{count} network{'s' if count != 1 else ''} measured as given, on {_data_sets(record)}"
    mixed = list(dict.fromkeys(label(record.alias(arm)) for arm in arms if not arm.is_baseline))
    what = listed(mixed) if 0 < len(mixed) <= 4 else f"{len(mixed)} augmentations" if mixed else "Baseline networks"
    return f"{what} on {_data_sets(record)}, {len(seeds)} seed{'s' if len(seeds) != 1 else ''}"


def facts(record: StudyRecord) -> list[tuple[str, str]]:
    """Data, networks, epochs, seeds, accuracy reached, hardware and time: name and value."""
    parts = record.parts or (record,)
    found = {
        "Data": _each(_data(part.settings) for part in parts),
        "VAE": _each(_vae(part.settings.get("vae")) for part in parts),
        "Classifier": _each(_classifier(part.settings.get("classifier")) for part in parts),
        "Seeds": ", ".join(map(str, record.compared[1])),
        "Test images": _images(record),
        "Baseline's accuracy": _each(_accuracy(_accuracies(record, design)) for design in record.designs),
        "Hardware": _each(map(_machine, record.environments())),
        "Computing": duration(sum(record.seconds(task) for task in record.tasks if task.state == "done")),
    }
    return [(name, value) for name, value in found.items() if value]


def scale(record: StudyRecord, judged: Judged) -> str:
    """At which scale a verdict was reached: training images, epochs, seeds, test images."""
    section = judged.claim.comparisons[0].section
    trained = section if section == "vae" else ACCURACY[0]
    designs = record.designs.values() if judged.claim.at_every_size else [record.designs[judged.study]]
    parts = [part.settings for design in designs for part in design]
    sizes = _each(f"{size:,}" if (size := settings["train_size"]) else "all" for settings in parts)
    epochs = _each(str(settings[trained]["epochs"]) for settings in parts if settings.get(trained))
    seeds = _each(str(one.change.seeds) for one in judged.evidence)
    images = _each(f"{one.change.images:,}" for one in judged.evidence if one.change.images > 1)
    said = {"training images": sizes, "epochs": epochs, "seeds": seeds, "test images": images}
    return ", ".join(f"{value} {name}" for name, value in said.items() if value)


def warning(record: StudyRecord) -> str:
    """What to hold against every number: networks near chance, or on the paper's data far below the paper's."""
    return " ".join(filter(None, (_near_chance(record), _under_trained(record))))


def _near_chance(record: StudyRecord) -> str:
    """A network counts as near chance within `NEAR` points of 1/classes, or where its Wilson interval reaches it."""
    measured = [row for row in record.rows() if "head" not in row.params]  # of whole labels
    known = [[row for row in measured if (row.section, row.quantity) == place] for place in (ACCURACY, CLEAN)]
    of_study = {name: parts[0].classes for name, parts in record.designs.items()}
    near: dict[int, dict[str, list[float]]] = {}
    for row in known[0] or known[1]:
        if (classes := of_study[row.study]) is None:
            continue
        if row.value < 1 / classes + NEAR / 100 or (row.ci_low is not None and row.ci_low <= 1 / classes):
            names = near.setdefault(classes, {})
            names.setdefault(record.label(Arm(row.study, row.augmentation)), []).append(100 * row.value)
    if not near:
        return ""
    words = [
        f"Near chance, {100 / classes:.3g}% of {classes} classes: "
        + listed([f"{name} ({', '.join(f'{value:.1f}' for value in values)}%)" for name, values in names.items()])
        for classes, names in near.items()
    ]
    return (
        f"{'. '.join(words)}. Such a network has learned next to nothing, and no difference to it means anything. "
        f"(Near: less than {NEAR:g} points above, or with chance in its 95% interval.)"
    )


def _under_trained(record: StudyRecord) -> str:
    """By the first study of each data set and network."""
    if brought(record):
        return ""
    firsts = paper.first_studies(record)
    low = []
    for setup, study in firsts.items():
        printed = paper.values("classifier", setup).get(BASELINE, {}).get("accuracy")
        values = _accuracies(record, study)
        if printed and values and (reached := 100 * fmean(values)) < printed.value - BELOW:
            where = f" on {setup.data}" if len(firsts) > 1 else ""
            low.append(f"the baseline{where} reaches {reached:.2f}% where the paper's has {printed.value:.2f}%")
    if not low:
        return ""
    return (
        f"These networks are under-trained: {'; '.join(low)}. No order of augmentations here speaks for or against the "
        "paper's, whose networks were trained to the end."
    )


def _accuracies(record: StudyRecord, design: str) -> list[float]:
    section, quantity = ACCURACY
    return [
        row.value
        for row in record.rows()
        if (row.study, row.section, row.quantity, row.augmentation) == (design, section, quantity, BASELINE)
        and "head" not in row.params  # of whole labels
    ]


def _accuracy(values: Sequence[float]) -> str:
    return f"{over_seeds(100 * pd.Series(values))} %" if values else ""


def _images(record: StudyRecord) -> str:
    """How many the numbers are over: of most sections, and of those that look at fewer; of each part's own data."""
    if len({str(part.settings["data"]) for part in record.parts}) > 1:
        return _each(map(_images, record.parts))
    most: dict[str, int] = {}
    for row in record.rows():
        if row.augmentation:
            most[row.section] = max(row.n, most.get(row.section, 0))
    all_ = max(most.values(), default=0)
    fewer = [f"{n:,} in {section}" for section, n in most.items() if n < all_]
    return ", ".join([f"{all_:,}", *fewer]) if most else ""


def _data_sets(record: StudyRecord) -> str:
    return listed(list(dict.fromkeys(str(part.settings["data"]) for part in record.parts or (record,))))


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
    device, threads = environment.get("device"), environment.get("threads")
    where = f"CPU with {threads} thread{'s' * (threads != 1)}" if device == "cpu" and threads else device
    said = dict.fromkeys(filter(None, (environment.get("hardware"), where)))
    return f"{', '.join(map(str, said))}, torch {environment.get('torch')}"


def _each(values: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(value for value in values if value))
