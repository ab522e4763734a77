"""The command that makes a section again, from the settings it was made with. Imports no torch."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from ..analysis.interface import Section, Study
from ..analysis.store.record import StudyRecord
from ..analysis.study.sections import installed_sections
from .sections import sections_of
from .settings import changed
from .written import as_written


def commands_of(record: StudyRecord, section: str) -> list[str]:
    """One command for each study of the report that ran the section, or else for the first that uses it.

    Points of one study, where settings had several values, have one together. None relies on a preset or a file of
    settings.
    """
    sections, parts = installed_sections(), record.parts or (record,)
    ran = [part for part in parts if section in part.settings["sections"]]
    studies = ran or [part for part in parts if section in sections_of(part)][:1]
    written = as_written([study.settings for study in studies])
    return list(dict.fromkeys(_command(sections, sections[section], settings) for settings in written))


def _command(sections: Mapping[str, Section], section: Section, settings: Mapping[str, Any]) -> str:
    words = ["mixlens", section.command or section.name]
    for field in dataclasses.fields(Study):
        value = settings.get(field.name)
        if field.name not in ("sections", "settings", "aliases", "sweep") and value:
            words += [f"--{field.name.replace('_', '-')}", _shown(value)]
    for name in (*section.uses, section.name):
        words += _flags(name, sections[name].config, settings.get(name, {}))
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """For a shell; in double quotes where single ones would have to be broken for each that the word holds."""
    plain = "'" in word and not any(letter in word for letter in '"$`\\!')
    return f'"{word}"' if plain else shlex.quote(word)


def _shown(value: Any) -> str:
    if not isinstance(value, list):
        return str(value)
    return ",".join(map(str, value)) + ("," if len(value) == 1 and isinstance(value[0], int) else "")  # not a count


def _flags(name: str, config: type, values: Mapping[str, Any]) -> Iterator[str]:
    """``--vae.epochs 12`` for each setting that is not the default."""
    for key, value in changed(config, values):
        flag = key.replace("_", "-")
        if isinstance(value, bool):
            yield f"--{name}.{flag}" if value else f"--{name}.no-{flag}"
        else:
            yield f"--{name}.{flag}"
            yield from map(str, value if isinstance(value, list) else [value])
