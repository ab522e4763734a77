"""Two studies, or two augmentations of any studies, on the same seeds and images. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from ..analysis.errors import InputError, unknown
from ..analysis.interface import Arm
from ..analysis.presentation.names import label
from ..analysis.statistics.effect import EACH, Effect, Measured, effect
from ..analysis.statistics.holm import holm
from ..analysis.store.parts import PARTS, one_record
from ..analysis.store.record import RECORD, StudyRecord
from .sections import measured

FIRST, SECOND = Arm("", "first"), Arm("", "second")


@dataclass(frozen=True)
class Compared:
    """One line: what was compared in which quantity, and the effect (second minus first)."""

    pair: str
    quantity: str
    effect: Effect


class Comparison(NamedTuple):
    lines: list[Compared]
    left_out: list[str]  # what cannot be compared, and why


def compare_studies(first: str, second: str) -> Comparison:
    """Every quantity that both have, Holm-corrected over all lines. Arguments: FOLDER or FOLDER:AUGMENTATION.

    The worst case of other attacks is another quantity, and is left out.

    Raises:
        InputError: no such study or augmentation, the same twice, other data, nothing measured in both.
    """
    (one, name_one), (two, name_two) = _read(first), _read(second)
    if (one.folder.resolve(), name_one) == (two.folder.resolve(), name_two):
        raise InputError(f"{first} and {second} are the same; name two studies or two augmentations to compare.")
    for key in ("data", "train_size"):
        if one.settings[key] != two.settings[key]:
            raise InputError(
                f"{first} and {second} cannot be compared image by image: {key} is {one.settings[key]!r} in one and "
                f"{two.settings[key]!r} in the other."
            )
    if bool(name_one) != bool(name_two):
        raise InputError("compare two studies (FOLDER FOLDER) or two augmentations (FOLDER:NAME FOLDER:NAME).")
    pairs = [(name_one, name_two)] if name_one else [(name, name) for name in _names(one) if name in _names(two)]
    for record in (one, two):
        if not record.rows():
            raise InputError(
                f"study {record.name!r} in {record.folder} has no finished measurement to compare yet. Run it."
            )
    there, here = measured(one), measured(two)
    lines, left_out = [], []
    for a, b in pairs:
        for section, quantities in there.items():
            for quantity, other in _alike(quantities, here.get(section, ())):
                if quantity.over != other.over:
                    left_out.append(_why(quantity, other))
                    continue
                change = effect(_both(quantity, one.arm(a), other, two.arm(b)), SECOND, FIRST)
                if change is not None:
                    unit = f" ({'points' if quantity.unit == '%' else quantity.unit})" if quantity.unit else ""
                    names = label(one.alias(one.arm(a))), label(two.alias(two.arm(b)))
                    words = names[0] if a == b else f"{names[1]} − {names[0]}"
                    lines.append(Compared(words, quantity.title + unit, change))
    left_out = list(dict.fromkeys(left_out))
    if not lines:
        why = "".join(f" Left out: {line}" for line in left_out)
        raise InputError(f"{first} and {second} have no quantity that both measured on the same seed.{why}")
    corrected = holm([line.effect for line in lines])
    return Comparison(
        [replace(line, effect=change) for line, change in zip(lines, corrected, strict=True)],
        left_out,
    )


def _why(one: Measured, other: Measured) -> str:
    here, there = (", ".join(measured.over) for measured in (one, other))
    return f"{one.title}: the worst of {here} in the first, of {there} in the second."


def _alike(there: Sequence[Measured], here: Sequence[Measured]) -> Iterator[tuple[Measured, Measured]]:
    """What both measured, once a quantity: where the ε that stand for an attack differ, another that both have."""
    for quantity in (one for one in there if not one.apart):
        mine, theirs = (
            {one.title: one for one in measured if _family(one) == _family(quantity)} for measured in (there, here)
        )
        main = [quantity.title, *(one.title for one in theirs.values() if not one.apart)]
        common = [title for title in mine if title in theirs]
        chosen = next((title for title in main if title in common), common[len(common) // 2] if common else "")
        if chosen:
            yield mine[chosen], theirs[chosen]


def _family(one: Measured) -> str:
    return one.quantity.removesuffix(EACH)


def _read(text: str) -> tuple[StudyRecord, str]:
    """A study, and one of its augmentations if named; folder and augmentation may both hold colons."""
    starts = [text, *(text[:place] for place, letter in enumerate(text) if letter == ":")]
    marks = [(start, name) for start in starts for name in (RECORD, PARTS)]
    folder = next((start for start, name in marks if os.path.exists(os.path.join(start, name))), text.partition(":")[0])
    name = text[len(folder) + 1 :]
    record = one_record(Path(folder))
    aliases = {record.alias(arm): arm.augmentation for arm in record.compared[0]}
    name = aliases.get(name, name)
    if not name or name in _names(record):
        return record, name
    from ..analysis.masks.policies import parse_policy  # and its torch

    with suppress(InputError):
        name = parse_policy(name).text  # fmix(alpha=5) is fmix(alpha=5.0)
    if name not in _names(record):
        raise unknown("augmentation", name, aliases)
    return record, name


def _names(record: StudyRecord) -> list[str]:
    return [arm.augmentation for arm in record.compared[0]]


def _both(first: Measured, a: Arm, second: Measured, b: Arm) -> Measured:
    """The terms of both arms, as those of two arms of one study."""
    terms = {(FIRST, seed): values for (arm, seed), values in first.terms.items() if arm == a}
    terms |= {(SECOND, seed): values for (arm, seed), values in second.terms.items() if arm == b}
    return replace(first, terms=terms)
