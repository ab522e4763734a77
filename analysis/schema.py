"""Frozen dataclasses from and to plain values, by one reader of two strictnesses.

`from_user` is helpful to what a person wrote (YAML, flags): it converts where nothing can be meant otherwise, names the
nearest spelling, and raises an `InputError`. `from_stored` is strict with what mixlens wrote itself, since a file may
be damaged, or not ours: it converts nothing and raises a ValueError that names the field.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError, unknown

Kind = TypeVar("Kind")

JSON: dict[Any, tuple[type, ...]] = {float: (float, int), Mapping: (dict,), tuple: (list,)}  # if not the type itself
WORDS: dict[type, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
WORDS |= {Path: "a path", dict: "an object", list: "a list", NoneType: "null"}
LARGEST_INTEGER = 2**63 - 1  # what tables and arrays can hold
MOST_NAME = 255  # bytes of a file's or a folder's name


# What a setting is


class Range(NamedTuple):
    """Where a setting's value, or each of its values, must lie."""

    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    below: float | None = None

    def __contains__(self, value: object) -> bool:
        assert isinstance(value, int | float)
        return math.isfinite(value) and (
            (self.minimum is None or value >= self.minimum)
            and (self.above is None or value > self.above)
            and (self.maximum is None or value <= self.maximum)
            and (self.below is None or value < self.below)
        )

    def __str__(self) -> str:
        low, high = (next((end for end in ends if end is not None), None) for ends in (self[:2], self[2:]))
        if low is None or high is None:
            assert high is None  # no setting has an upper end alone
            return f"be at least {low}" if self.above is None else "be positive" if low == 0 else f"be above {low}"
        return f"lie in {'(' if self.minimum is None else '['}{low}, {high}{')' if self.maximum is None else ']'}"


def setting(
    default: Any = dataclasses.MISSING,
    help: str = "",  # noqa: A002
    source: str = "",
    *,
    keyed: bool | Callable[[Any], Any] = True,
    flag: str = "",
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    below: float | None = None,
    most: float = math.inf,
) -> Any:
    """A dataclass field that a user may set.

    Args:
        help: what it is, for the command line and the report.
        source: where its default is printed, or "ours".
        keyed: whether it changes the output of what it is a setting of, and so belongs to a task's key; or a function
            that says what of its value does.
        flag: a second flag for it on the command line, such as ``--model``.
        minimum, above, maximum, below: its range, held by `check_ranges`; of a tuple, that of every item.
        most: beyond which no machine could run it, so that a plan says so before anything is trained.
    """
    metadata = {"help": help, "source": source, "keyed": keyed, "flag": flag, "most": most}
    return dataclasses.field(default=default, metadata=metadata | {"range": Range(minimum, above, maximum, below)})


def check_ranges(config: Any) -> None:
    """Raises InputError for the first setting of a dataclass that lies outside its range."""
    for field in dataclasses.fields(config):
        where, value = field.metadata.get("range"), getattr(config, field.name)
        most = field.metadata.get("most", math.inf)
        if where is None or value is None or (where == Range() and most == math.inf):
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if where != Range() and item not in where:
                raise InputError(f"{field.name} must {where}, got {shown(item)}.")
            if math.inf > item > most:
                raise InputError(f"{field.name} must be at most {most:,}, got {shown(item)}.")


def changed(config: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, as plain JSON values."""
    return {
        f.name: plain(getattr(config, f.name))
        for f in dataclasses.fields(config)
        if getattr(config, f.name) != f.default
    }


def keyed(config: Any) -> dict[str, Any]:
    """What of a dataclass determines an output, as plain JSON values: `changed`, without what is not ``keyed``.

    A dataclass inside adds its own settings beside the others; two may not have the same name.
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        kept = field.metadata.get("keyed", True)
        if not kept:
            continue
        value = kept(value) if callable(kept) else value
        if dataclasses.is_dataclass(value):
            entry = keyed(value)
        else:
            entry = {} if value == field.default else {field.name: plain(value)}
        assert not found.keys() & entry.keys(), f"{type(config).__name__} has two settings of one name"
        found |= entry
    return found


def narrowed(kind: type[Kind], config: Any) -> Kind:
    """Those settings of ``config`` that ``kind`` has too: what a task is told, and can depend on, of its section's."""
    return kind(**{field.name: getattr(config, field.name) for field in dataclasses.fields(kind)})  # type: ignore[arg-type]


def plain(value: Any) -> Any:
    """Tuples as lists, mappings as dicts: what YAML and JSON hold."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value


def at_home(path: Path) -> Path:
    """A path with ~ as the home folder, where there is one."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def number(value: Any) -> Any:
    """The Python number that a NumPy scalar, a 0-d array or a 0-d tensor holds; anything else as it is."""
    if type(value) in (int, float):
        return value
    return value.item() if getattr(value, "shape", None) == () and hasattr(value, "item") else value


def canonical(config: Any) -> str:
    """JSON with sorted keys and no spaces: the same text for the same content. NaN and unknown types are refused."""
    return json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)


def key_of(config: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of a canonical config."""
    return hashlib.sha256(canonical(config).encode()).hexdigest()


# What a person wrote


def from_user(kind: type[Kind], values: Mapping[str, Any], where: str) -> Kind:
    """Build a dataclass from a mapping that a person wrote. ``where`` names its place in messages ("vae", "study").

    Whole numbers become floats where these are due, and so does text that holds one (YAML reads 1e-3 as text); a single
    value becomes a tuple of one.

    Raises:
        InputError: an unknown key (with the nearest spelling), a value of another type, a value the class refuses.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a mapping of settings, got {values!r}.")
    expected, _ = _fields(kind)  # type: ignore[arg-type]  # mypy does not see that classes are hashable
    names = {name.replace("_", "-"): name for name in expected}
    given: dict[str, Any] = {}
    for key, value in values.items():
        name = names.get(str(key).replace("_", "-"))
        if name is None:
            raise unknown(f"setting in {where}:", key, names.values())
        if name in given:
            raise InputError(f"{where} has {name} twice, with _ and with -. Keep one.")
        given[name] = _converted(expected[name], value, f"{where}.{name}")
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def takes_one(kind: type, name: str) -> bool:
    """Whether a field takes one number, text or truth value, and not a list or a mapping."""
    expected = _fields(kind)[0][name]
    return expected.item is None and expected.record is None and expected.types <= {int, float, str, bool, NoneType}


def one_from_user(kind: type, name: str, value: Any, where: str) -> Any:
    """What `from_user` makes of one value of a field. Raises InputError for one of another type."""
    return _converted(_fields(kind)[0][name], value, where)


def _converted(expected: _Expected, value: Any, where: str) -> Any:
    if value is None and NoneType in expected.types:
        return None
    if expected.choices:
        if value not in expected.choices:
            raise unknown(f"value for {where}:", value, map(str, expected.choices))
        return value
    if expected.item is not None:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_converted(expected.item, item, where) for item in items)
    if float in expected.types:
        given = value
        if type(value) is int:
            value = float(value) if abs(value) <= sys.float_info.max else math.inf
        if isinstance(value, str):
            with contextlib.suppress(ValueError):
                value = float(value)
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{where} must be a number, got {shown(given)}.")
    if Path in expected.types and isinstance(value, str | Path):
        return _nameable(at_home(Path(value)), where)
    if type(value) is int and abs(value) > LARGEST_INTEGER:
        raise InputError(f"{where} must be at most 2^63 − 1, got {shown(value)}.")
    if type(value) not in expected.types:
        raise InputError(f"{where} must be {expected.words.removesuffix(' or null')}, got {value!r}.")
    return value


def _nameable(path: Path, where: str) -> Path:
    """Raises InputError for a path that no file system can have."""
    for part in path.parts:
        if len(os.fsencode(part)) > MOST_NAME:
            raise InputError(f"{where}: a name in a path has at most {MOST_NAME} bytes, got {shown(part)}.")
    return path


# What mixlens wrote


def from_stored(kind: type[Kind], content: Any) -> Kind:
    """Build a dataclass from the JSON object that `dataclasses.asdict` once made of it.

    Fields with a default may be missing, as in older files. Nothing is converted but lists to tuples.

    Raises:
        ValueError: a field is missing, unknown, of another type, or a number that is not finite; it is named.
    """
    expected, needed = _fields(kind)  # type: ignore[arg-type]
    if type(content) is not dict:
        raise ValueError(f"it must be an object, found {shown(content)}")
    if missing := needed - content.keys():
        raise ValueError(f"it has no {', '.join(sorted(missing))}")
    if others := content.keys() - expected.keys():
        raise ValueError(f"{shown(min(others))} is none of its fields")
    return kind(**{name: _as_stored(expected[name], name, value) for name, value in content.items()})


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


def _as_stored(expected: _Expected, name: str, value: Any) -> Any:
    words, types, choices, largest, item, record = expected
    kind = type(value)
    fits = kind in types and (not choices or value in choices)
    if not fits or ((kind is float or kind is int) and not -largest <= value <= largest):
        raise ValueError(f"{name} must be {words}, found {shown(value)}")
    if record is not None:
        return from_stored(record, value)
    return value if item is None else _items_as_stored(item, name, value)


def _items_as_stored(expected: _Expected, name: str, values: list[Any]) -> tuple[Any, ...]:
    items: list[Any] = []
    try:
        for value in values:
            items.append(_as_stored(expected, "it", value))
    except ValueError as error:
        raise ValueError(f"{name}, number {len(items) + 1}: {error}") from error
    return tuple(items)


# What a type allows


class _Expected(NamedTuple):
    words: str
    types: frozenset[type]
    choices: tuple[Any, ...] = ()  # of a Literal
    largest: float = LARGEST_INTEGER  # infinity and NaN are never written
    item: _Expected | None = None  # of a tuple
    record: type | None = None  # a dataclass in a dataclass


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
        items = [part.item for part in parts if part.item is not None]
        return _Expected(
            " or ".join(part.words for part in parts),
            types,
            largest=max(part.largest for part in parts),
            item=items[0] if items else None,
        )
    if origin is Literal:
        return _Expected(" or ".join(map(repr, args)), frozenset(map(type, args)), choices=args)
    if dataclasses.is_dataclass(hint):
        return _Expected(WORDS[dict], frozenset({dict}), record=origin)
    held = JSON.get(origin, (origin,))
    if origin is tuple:
        return _Expected(WORDS[list], frozenset(held), item=_expected(args[0]))
    largest = sys.float_info.max if origin is float else LARGEST_INTEGER
    return _Expected(WORDS.get(held[0], str(origin)), frozenset(held), largest=largest)
