"""Plain mappings (YAML, command line) into frozen dataclasses, strictly: unknown keys and wrong types are errors."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import InputError, unknown

Config = TypeVar("Config")


def setting(default: Any, help: str, source: str = "") -> Any:  # noqa: A002
    """A dataclass field with its help text and, where it has one, its source in the paper."""
    return dataclasses.field(default=default, metadata={"help": help, "source": source})


def from_mapping(kind: type[Config], values: Mapping[str, Any], where: str) -> Config:
    """Build a dataclass from a mapping. ``where`` names its place in messages ("vae", "study").

    Raises:
        InputError: an unknown key (with the nearest spelling), a value of another type, a value the class refuses.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where} must be a mapping of settings, got {values!r}.")
    hints = get_type_hints(kind)
    names = {f.name.replace("_", "-"): f.name for f in dataclasses.fields(kind)}  # type: ignore[arg-type]
    given: dict[str, Any] = {}
    for key, value in values.items():
        name = names.get(str(key).replace("_", "-"))
        if name is None:
            raise unknown(f"setting in {where}:", key, names.values())
        given[name] = _convert(value, hints[name], f"{where}.{name}")
    try:
        return kind(**given)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def changed(config: Any) -> dict[str, Any]:
    """The fields of a dataclass that differ from their defaults, as plain JSON values."""
    return {
        f.name: plain(getattr(config, f.name))
        for f in dataclasses.fields(config)
        if getattr(config, f.name) != f.default
    }


def plain(value: Any) -> Any:
    """Tuples as lists, mappings as dicts: what YAML and JSON hold."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(v) for v in value]
    return value


def _convert(value: Any, hint: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return _convert(value, next(arg for arg in args if arg is not type(None)), where)
    if origin is Literal:
        if value not in args:
            raise unknown(f"value for {where}:", value, map(str, args))
        return value
    if origin is tuple:
        items = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(item, args[0], where) for item in items)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is float and isinstance(value, str):  # YAML 1.1 reads 1e-3 as text
        with contextlib.suppress(ValueError):
            value = float(value)
    if hint is float and isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{where} must be a number, got {value!r}.")
    if hint is int and isinstance(value, bool):
        raise InputError(f"{where} must be a whole number, got {value!r}.")
    if not isinstance(value, hint):
        names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
        raise InputError(f"{where} must be {names.get(hint, hint)}, got {value!r}.")
    return value
