"""What was stored as JSON, checked against the dataclass it is to become: a file may be damaged, or not ours."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

Kind = TypeVar("Kind")

JSON: dict[Any, tuple[type, ...]] = {float: (float, int), Mapping: (dict,), tuple: (list,)}  # if not the type itself
WORDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
WORDS |= {dict: "an object", list: "a list", NoneType: "null"}


class _Expected(NamedTuple):
    words: str
    types: frozenset[type]
    choices: tuple[Any, ...] = ()  # of a Literal
    largest: float = 2**63 - 1  # what tables and arrays can hold; infinity and NaN are never written
    item: _Expected | None = None  # of a tuple
    record: type | None = None  # a dataclass in a dataclass


def checked(kind: type[Kind], content: Any) -> Kind:
    """Build a dataclass from the JSON object that `dataclasses.asdict` once made of it.

    Fields with a default may be missing, as in older files. Nothing is converted but lists to tuples.

    Raises:
        ValueError: a field is missing, unknown, of another type, or a number that is not finite; it is named.
    """
    expected, needed = _fields(kind)  # type: ignore[arg-type]  # mypy does not see that classes are hashable
    if type(content) is not dict:
        raise ValueError(f"it must be an object, found {shown(content)}")
    if missing := needed - content.keys():
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    if others := content.keys() - expected.keys():
        raise ValueError(f"{shown(min(others))} is none of its fields")
    return kind(**{name: _value(expected[name], name, value) for name, value in content.items()})


def shown(value: Any) -> str:
    """A value of any file in a message: one line, not too long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # thousands of digits or levels
        text = type(value).__name__
    return text if len(text) <= 60 else f"{text[:59]}…"


def finite(value: Any) -> bool:
    """Whether it is a number that a float can hold."""
    return type(value) in (int, float) and -sys.float_info.max <= value <= sys.float_info.max


def _value(expected: _Expected, name: str, value: Any) -> Any:
    words, types, choices, largest, item, record = expected
    found = type(value)
    fits = found in types and (not choices or value in choices)
    if not fits or ((found is float or found is int) and not -largest <= value <= largest):
        raise ValueError(f"{name} must be {words}, found {shown(value)}")
    if record is not None:
        return checked(record, value)
    return value if item is None else _items(item, name, value)


def _items(expected: _Expected, name: str, values: list[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    try:
        for value in values:
            found.append(_value(expected, "it", value))
    except ValueError as error:
        raise ValueError(f"{name}, number {len(found) + 1}: {error}") from error
    return tuple(found)


@cache
def _fields(kind: type) -> tuple[dict[str, _Expected], frozenset[str]]:
    """What each field may hold, and the names of those without a default."""
    hints, fields = get_type_hints(kind), dataclasses.fields(kind)
    nothing = dataclasses.MISSING
    needed = frozenset(f.name for f in fields if f.default is nothing and f.default_factory is nothing)
    return {field.name: _expected(hints[field.name]) for field in fields}, needed


def _expected(hint: Any) -> _Expected:
    origin, args = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, UnionType):
        parts = [_expected(part) for part in args]
        types = frozenset(kind for part in parts for kind in part.types)
        return _Expected(" or ".join(part.words for part in parts), types, largest=max(p.largest for p in parts))
    if origin is Literal:
        return _Expected(" or ".join(map(repr, args)), frozenset(map(type, args)), choices=args)
    if dataclasses.is_dataclass(hint):
        return _Expected(WORDS[dict], frozenset({dict}), record=origin)
    held = JSON.get(origin, (origin,))
    if origin is tuple:
        return _Expected(WORDS[list], frozenset(held), item=_expected(args[0]))
    return _Expected(WORDS[held[0]], frozenset(held), largest=sys.float_info.max if origin is float else 2**63 - 1)
