"""What a study was asked otherwise than by default. Imports no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ..analysis.interface import Section, Study
from ..analysis.presentation.parts import Table
from ..analysis.schema import plain
from ..analysis.store.record import StudyRecord
from ..analysis.study.sections import installed_sections

HIDDEN = ("settings", "aliases", "sweep")  # what they say stands in other lines, and in names
ASKED = ("data", "augmentations", "seeds", "sections")  # shown though they be the default


def changed(config: type, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The settings of a section that are not its default: name and value, in the order of its fields."""
    for field in dataclasses.fields(config):
        default = plain(field.default)
        if (value := values.get(field.name, default)) != default:
            yield field.name, value


def settings_table(record: StudyRecord) -> Table:
    """A line for each setting that is not the default, a column for each study of the report."""
    sections, parts = installed_sections(), record.parts or (record,)
    columns = [dict(_lines(sections, part.settings)) for part in parts]
    names = dict.fromkeys(name for column in columns for name in column)
    heads = [part.name for part in parts] if len(parts) > 1 else ["Value"]
    return Table(
        "settings",
        "Settings",
        "What was asked, where it is not the default. All settings stand in study.json.",
        ("Setting", *heads),
        tuple((name, *(column.get(name, "default") for column in columns)) for name in names),
    )


def _lines(sections: Mapping[str, Section], settings: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    defaults = {field.name: plain(field.default) for field in dataclasses.fields(Study) if field.name not in HIDDEN}
    for name, default in defaults.items():
        if name in settings and (name in ASKED or settings[name] != default):
            yield name, _shown(settings[name])
    for name, values in settings.items():
        if name in defaults or name in HIDDEN or not isinstance(values, Mapping):
            continue
        known = changed(sections[name].config, values) if name in sections else values.items()
        yield from ((f"{name}.{key}", _shown(value)) for key, value in known)


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)
