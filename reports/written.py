"""Settings of studies as a person writes them: names before augmentations, several values of a setting with commas."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..analysis.presentation.axes import mixing_of


def as_written(studies: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The settings of each study, those of one sweep's points together where all of its points are there."""
    sweeps: dict[Any, list[Mapping[str, Any]]] = {}
    for place, settings in enumerate(studies):
        sweeps.setdefault(settings.get("sweep") or place, []).append(settings)
    together = [study for points in sweeps.values() for study in _swept(points)]
    return [{**study, "augmentations": _named(study)} for study in together]


def _swept(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    first = points[0]
    several: dict[tuple[str, str], list[Any]] = {}
    for section, kept in {"": first, **first}.items():
        for key in kept if isinstance(kept, Mapping) else ():
            values = [(point[section] if section else point)[key] for point in points]
            if key not in ("name", "sweep") and isinstance(values[0], int | float | str | None):
                several[section, key] = list(dict.fromkeys(values))
    if not first.get("sweep") or math.prod(map(len, several.values())) != len(points):
        return list(points)
    whole = {key: dict(value) if isinstance(value, Mapping) else value for key, value in first.items()}
    for (section, key), values in several.items():
        if len(values) > 1:
            text = ",".join("none" if value is None else str(value) for value in values)
            (whole[section] if section else whole)[key] = text
    return [{**whole, "name": first["sweep"]}]


def _named(settings: Mapping[str, Any]) -> list[str]:
    """Augmentations behind their names; those that were made of one list again by that list."""
    aliases: Mapping[str, str] = settings.get("aliases") or {}
    groups: dict[str, list[str]] = {}
    for text in settings["augmentations"]:
        name = mixing_of(aliases[text]).use if text in aliases else ""
        groups.setdefault(f"{name}=" if name else text, []).append(text)
    return [f"{name}{_listed(texts)}" if name.endswith("=") else name for name, texts in groups.items()]


def _listed(texts: Sequence[str]) -> str:
    """The call that stands for these, with lists: what varies slowest first, so that they follow each other alike."""
    mixings = [mixing_of(text) for text in texts]
    names = dict.fromkeys(name for mixing in mixings for name in mixing.arguments)
    values = {name: [mixing.arguments.get(name) for mixing in mixings] for name in names}
    changes = {name: [value != kept[0] for value in kept] for name, kept in values.items()}
    slowest = sorted(values, key=lambda name: (*changes[name], True).index(True), reverse=True)
    each = {name: list(dict.fromkeys(values[name])) for name in slowest}
    words = ",".join(f"{name}={kept if len(kept) > 1 else kept[0]!r}" for name, kept in each.items())
    return f"{mixings[0].use}({words})" if words else mixings[0].use
