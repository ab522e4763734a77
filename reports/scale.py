"""Parameters along which a report's networks lie: settings of its studies, arguments of its augmentations. No torch.

Networks that are alike in all but one of them make a line over its values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..analysis.interface import Arm
from ..analysis.presentation.axes import argument, differing, in_order, mixing_of, point_words, settings_of
from ..analysis.presentation.names import label
from ..analysis.store.record import StudyRecord

SIZE = "train_size"
WORDS = {SIZE: "training images", "alpha": "α", "decay_power": "decay power"}


class Line(NamedTuple):
    """What differs in the parameter alone, as people know it, and of each value what has it: arms, or studies."""

    name: str
    points: Mapping[Any, Any]


class Parameter(NamedTuple):
    """A setting by its dotted name, or an augmentation's argument; the values on its lines, in order; the lines."""

    name: str
    values: tuple[Any, ...]
    lines: tuple[Line, ...]
    setting: bool = True

    @property
    def short(self) -> str:
        return self.name.rpartition(".")[2]

    @property
    def words(self) -> str:
        return WORDS.get(self.short, self.short.replace("_", " "))

    @property
    def numeric(self) -> bool:
        return all(type(value) in (int, float) for value in self.values)


def designs_of(record: StudyRecord) -> dict[str, dict[str, Any]]:
    """The settings of each study in a report by their dotted names; all training images as their number, if known."""
    designs = {}
    for name, parts in record.designs.items():
        designs[name] = settings_of(parts[0].settings)
        if designs[name].get(SIZE) is None:
            designs[name][SIZE] = parts[0].train_images
    return designs


def settings_varied(record: StudyRecord) -> list[Parameter]:
    """Settings in which studies differ and the lines of studies over their values.

    Where studies that differ in one setting differ in others too, each in its own way, they are a line all the same,
    over the first of these that is a number; not of studies of other data.
    """
    designs = designs_of(record)
    names = [name for name in differing(list(designs.values())) if _plain(name, designs)]
    found = []
    for name in names:
        others = [other for other in differing(list(designs.values())) if other != name]
        groups: dict[Any, dict[Any, str]] = {}
        for study, design in designs.items():
            rest = repr([design.get(other) for other in others])
            groups.setdefault(rest, {}).setdefault(design.get(name), study)
        lines = [
            Line(point_words(designs[next(iter(group.values()))], others), group)
            for group in groups.values()
            if len(group) > 1
        ]
        if lines:
            found.append(_parameter(name, lines if len(groups) > 1 else [lines[0]._replace(name="")]))
    if found or len({design.get("data") for design in designs.values()}) > 1:  # a number of other data is no scale
        return found
    for name in names:
        values = [design.get(name) for design in designs.values()]
        if len(set(values)) == len(values) and all(type(value) in (int, float) for value in values):
            return [_parameter(name, [Line("", dict(zip(values, designs, strict=True)))])]
    return []


def _plain(name: str, designs: Mapping[str, Mapping[str, Any]]) -> bool:
    return all(isinstance(design.get(name), int | float | str | None) for design in designs.values())


def _parameter(name: str, lines: Sequence[Line]) -> Parameter:
    values = in_order(value for line in lines for value in line.points)
    return Parameter(name, tuple(values), tuple(lines))


def over_settings(record: StudyRecord, arms: Sequence[Arm]) -> list[Parameter]:
    """`settings_varied`, with a line of arms for each augmentation that was measured at several of its values."""
    found = []
    for parameter in settings_varied(record):
        lines = []
        for line in parameter.lines:
            for augmentation in dict.fromkeys(arm.augmentation for arm in arms):
                points = {value: Arm(study, augmentation) for value, study in line.points.items()}
                there = {value: arm for value, arm in points.items() if arm in arms}
                if len(there) > 1:
                    known = label(record.alias(next(iter(there.values()))))
                    lines.append(Line(f"{known} [{line.name}]" if line.name else known, there))
        if lines:
            found.append(_parameter(parameter.name, lines))
    return found


def over_arguments(record: StudyRecord, arms: Sequence[Arm]) -> list[Parameter]:
    """Arguments of augmentations, with a line of arms for each augmentation and study that has several of its values.

    Where it is not written, an argument of a known augmentation is its default; one of a user's own is not known.
    """
    mixings = {arm: mixing_of(arm.augmentation) for arm in arms}
    names = list(dict.fromkeys(name for mixing in mixings.values() for name in mixing.arguments))
    found = []
    for name in names:
        groups: dict[Any, dict[Any, Arm]] = {}
        for arm, mixing in mixings.items():
            value = argument(mixing, name)
            rest = repr((arm.study, mixing.use, [argument(mixing, other) for other in names if other != name]))
            if isinstance(value, int | float | str):
                groups.setdefault(rest, {}).setdefault(value, arm)
        lines = [
            Line(_without(name, record, list(points.values())), points) for points in groups.values() if len(points) > 1
        ]
        if lines:
            found.append(_parameter(name, lines)._replace(setting=False))
    return found


def _without(name: str, record: StudyRecord, arms: Sequence[Arm]) -> str:
    """What a line over an argument is called: its augmentation with the other arguments that are written."""
    mixing, known = mixing_of(arms[0].augmentation), {mixing_of(record.alias(arm)).use for arm in arms}
    rest = ",".join(f"{other}={value!r}" for other, value in sorted(mixing.arguments.items()) if other != name)
    use = known.pop() if len(known) == 1 else mixing.use
    return label(f"{use}({rest})" if rest else use, record.told_apart.get(arms[0].study, arms[0].study))
