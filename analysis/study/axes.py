"""Settings of which a study lists several values: each combination of them is a point, a study of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from itertools import product
from typing import Any, NamedTuple

from ..errors import InputError
from ..interface import Section, Study
from ..presentation.axes import differing, point_words, settings_of
from ..schema import one_from_user, takes_one
from ..spec import ascending, expand, read_spec

FIXED = (*Study.FREE, "data")  # one value for all that stands in a report
_NO_LETTERS_OF_A_FOLDER = str.maketrans(dict.fromkeys('/\\:*?"<>|', "-"))


class Axis(NamedTuple):
    """A setting and its values, in their order."""

    section: str  # empty: the study itself
    name: str
    values: tuple[Any, ...]


def axes_of(values: Mapping[str, Any], sections: Mapping[str, Section]) -> list[Axis]:
    """Every setting that takes one value and is given a list: those of the study, then section by section, as declared.

    A list inside of a text like ``name(key=[…])`` stands for several texts.

    Raises:
        InputError: an empty list, a value that is listed twice or of another type.
    """
    kinds: dict[str, tuple[type, Any]] = {"": (Study, values)}
    kinds |= {name: (section.config, values.get(name)) for name, section in sections.items()}
    axes = []
    for section, (kind, given) in kinds.items():
        written = {str(key).replace("-", "_"): key for key in given} if isinstance(given, Mapping) else {}
        for name in (field.name for field in fields(kind) if field.name in written and takes_one(kind, field.name)):
            where = f"{section}.{name}" if section else name
            listed = None if where in FIXED else _listed(given[written[name]], where)
            if listed is not None:
                converted = [one_from_user(kind, name, one, where) for one in listed]
                axes.append(Axis(section, written[name], tuple(_each_once(converted, where))))
    return axes


def _listed(value: Any, where: str) -> list[Any] | None:
    """The values that are listed, also inside of a text; None for a single one."""
    several = isinstance(value, list | tuple)
    listed = [text for one in (value if several else [value]) for text in _spelt_out(one, where)]
    return listed if several or len(listed) > 1 else None


def _spelt_out(value: Any, where: str) -> list[Any]:
    if isinstance(value, str) and "(" in value:
        try:
            read_spec(value, where)
        except InputError:  # no call, such as the name of a file; what reads the setting says what is wrong with it
            return [value]
        return list(expand(value, where))
    return [value]


def _each_once(values: list[Any], where: str) -> list[Any]:
    if not values:
        raise InputError(f"{where} is an empty list; give at least one value.")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise InputError(f"{where} lists {value!r} twice.")
    return ascending(values)


def points(values: Mapping[str, Any], axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """A study's values once for each combination of those of the axes; the last axis varies fastest."""
    combined = []
    for chosen in product(*(axis.values for axis in axes)):
        laid = {key: dict(value) if isinstance(value, Mapping) else value for key, value in values.items()}
        for axis, value in zip(axes, chosen, strict=True):
            (laid[axis.section] if axis.section else laid)[axis.name] = value
        combined.append(laid)
    return combined


def named(studies: Sequence[Study]) -> list[Study]:
    """The points of a study, each under a name that can be a folder's: ``mine (train_size=2500, epochs=12)``."""
    designs = [settings_of(study.describe()) for study in studies]
    names = differing(designs)
    base = studies[0].name
    told = [f"{base} ({point_words(design, names).translate(_NO_LETTERS_OF_A_FOLDER)})" for design in designs]
    if max(map(len, told)) > 100 or len(set(told)) < len(told):
        told = [f"{base} (point {place})" for place in range(1, len(told) + 1)]
    return [replace(study, name=name, sweep=base) for study, name in zip(studies, told, strict=True)]
