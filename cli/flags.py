"""Flags made from dataclasses: those of a study, of the machine, and of each section's settings."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from cyclopts import Group, Parameter, Token, convert

from ..analysis.interface import Machine, Study
from ..analysis.schema import plain, takes_one
from ..analysis.spec import split_list

STUDY = Group("Study", sort_key=0)
MACHINE = Group("Machine", sort_key=1)


def overrides_of(
    kind: type,
    name: str,
    group: Group,
    *,
    leave_out: tuple[str, ...] = (),
    as_text: bool = False,
    axes: bool = False,
) -> Any:
    """Optional flags for the fields of a dataclass, for a command's argument: what is not given is None.

    Args:
        name: what a flag begins with (``--vae`` for ``--vae.epochs``), or "*" for nothing.
        as_text: several values are one text with commas (``--seeds 0,1``), not several words; and text is one value.
        axes: what takes one value may be given several, with commas (``--vae.epochs 12,100``): a list of them.
    """
    hints = get_type_hints(kind)
    fields = []
    for field in dataclasses.fields(kind):
        if field.name in leave_out:
            continue
        hint, several = hints[field.name], get_origin(hints[field.name]) is tuple
        convertible = not (several and as_text) and int in (hint, *get_args(hint))
        one = axes and takes_one(kind, field.name) and hint is not bool and not (as_text and hint is str)
        parameter = Parameter(
            converter=partial(one_or_several, none=NoneType in get_args(hint))
            if one
            else whole
            if convertible
            else None,
            alias=field.metadata["flag"] or None,
            help=_help(field),
            show_default=False,
            negative=None if hint is bool else (),
            consume_multiple=several and not as_text,
            group=group,
        )
        annotated: Any = Annotated[(str if several and as_text else hint) | None, parameter]
        fields.append((field.name, annotated, dataclasses.field(default=None)))
    made = dataclasses.make_dataclass(f"{kind.__name__}Overrides", fields, frozen=True)
    made.__module__ = __name__  # before 3.12 it says "types", which cyclopts takes for a builtin
    return Annotated[made | None, Parameter(name=name, group=group)]


def whole(kind: Any, tokens: Sequence[Token]) -> Any:
    """A flag's whole number or numbers. Raises ValueError for 3.5, of which cyclopts makes 3."""
    for token in tokens if int in (kind, *get_args(kind)) else ():
        part = 0.0
        with contextlib.suppress(ValueError):  # what is no number at all, cyclopts names
            part = float(token.value) % 1
        if part:
            raise ValueError(f"a whole number is expected, got {token.value}.")
    return convert(kind, tokens)


def one_or_several(kind: Any, tokens: Sequence[Token], *, none: bool) -> Any:
    """A flag's value, or the list of those between its commas, where ``none`` may stand for no value."""
    (token,) = tokens
    parts = split_list(token.value)
    if "," not in token.value or parts == [token.value]:
        return whole(kind, tokens)
    values = [None if none and part == "none" else whole(kind, [token.evolve(value=part)]) for part in parts]
    return values[0] if len(values) == 1 else values


Whole = Annotated[int, Parameter(converter=whole)]


def given(overrides: Any) -> dict[str, Any]:
    """The flags that were given, by their setting's name."""
    if overrides is None:
        return {}
    return {f.name: plain(v) for f in dataclasses.fields(overrides) if (v := getattr(overrides, f.name)) is not None}


def given_of(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The same of several sections, by section; those of which nothing was given are left out."""
    return {name: values for name, flags in overrides.items() if (values := given(flags))}


def _help(field: dataclasses.Field[Any]) -> str:
    source = f" Source: {field.metadata['source']}." if field.metadata["source"] else ""
    text = field.metadata["help"]
    return text if "Default:" in text else f"{text} Default: {_shown(field.default)}.{source}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


STUDY_FLAGS = overrides_of(
    Study, "*", STUDY, leave_out=("sections", "settings", "aliases", "sweep"), as_text=True, axes=True
)
MACHINE_FLAGS = overrides_of(Machine, "*", MACHINE)
