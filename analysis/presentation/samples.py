"""What samples are called in a report: it is written of images, and read of texts, recordings or volumes as well."""

from __future__ import annotations

import re
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from matplotlib.figure import Figure

WORDS = {
    "image": ("image", "images"),
    "sound": ("recording", "recordings"),
    "text": ("text", "texts"),
    "volume": ("volume", "volumes"),
    "waveform": ("recording", "recordings"),
}
MIXED = ("sample", "samples")  # of data sets of several kinds
KEPT = ("name", "rows", "header", "latex", "typst", "commands")  # of parts of a report: what is no sentence
_WORD = re.compile(r"\b(?:([Aa])n )?([Ii])mage(s?)\b")

Part = TypeVar("Part")


def called(part: Part, modality: str) -> Part:
    """A text, or what is made of texts, with images called by what they are; empty: of several kinds."""
    if modality == "image":
        return part
    one, many = WORDS.get(modality, MIXED)

    def word(match: re.Match[str]) -> str:
        found = many if match[3] else one
        article = f"{match[1]} " if match[1] else ""  # none of these words begins with a vowel
        return article + (found.capitalize() if match[2] == "I" else found)

    return cast(Part, _each(part, word))


def _each(part: Any, word: Any) -> Any:
    if isinstance(part, str):
        return _WORD.sub(word, part)
    if isinstance(part, list | tuple) and not hasattr(part, "_fields"):
        return type(part)(_each(one, word) for one in part)
    if is_dataclass(part) and not isinstance(part, type):
        texts = [one.name for one in fields(part) if one.name not in KEPT and one.init]
        values = {name: value for name in texts if not isinstance(value := getattr(part, name), Figure)}
        return replace(part, **{name: _each(value, word) for name, value in values.items()})
    return part
