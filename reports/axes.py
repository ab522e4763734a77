"""Figures of what was measured against a parameter, in each section (like Fig. 3, 6a and 6b). Imports no torch."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.interface import Arm, PaperValues, Study, printed_of
from ..analysis.presentation.figures import INK, drawing, name_lines
from ..analysis.presentation.names import colours
from ..analysis.presentation.parts import Plot
from ..analysis.statistics.effect import Measured
from ..analysis.statistics.seeds import sd
from ..analysis.store.record import StudyRecord
from ..analysis.study.sections import installed_sections
from . import paper
from .scale import SIZE, Line, Parameter, over_arguments, over_settings

PANELS = 3  # at most, of quantities
DECADE = 10  # a ratio of values beyond which they stand on a logarithmic axis
MARKS = "os^Dvp"


def axis_plots(record: StudyRecord, section: str, measured: Sequence[Measured], printed: PaperValues) -> list[Plot]:
    """A figure for each parameter of which a section measured networks at several values.

    It has the section's quantities of the front page; where it has none there, the first that it compares.
    """
    shown = [one for one in measured if one.front] or [one for one in measured if not one.apart]
    shown = shown[:PANELS]
    present = {arm for one in shown for arm, _ in one.terms}
    arms = [arm for arm in record.arms if arm in present]
    parameters = [*over_settings(record, arms), *over_arguments(record, arms)]
    return [_plot(section, parameter, shown, record, printed) for parameter in parameters]


def values_of(one: Measured, arm: Arm) -> pd.Series:
    """A quantity's value of each seed of an arm."""
    return pd.Series([one.factor * float(np.mean(terms)) for (other, _), terms in one.terms.items() if other == arm])


def places_of(parameter: Parameter) -> dict[Any, float]:
    """Where each value stands on the axis: numbers at their value, anything else one by one."""
    if parameter.numeric:
        return {value: float(value) for value in parameter.values}
    return {value: float(place) for place, value in enumerate(parameter.values)}


def value_axis(axis: Axes, parameter: Parameter) -> None:
    """Ticks at the measured values alone; a logarithmic axis where positive ones span more than a decade."""
    places = places_of(parameter)
    if parameter.numeric and min(places.values()) > 0 and max(places.values()) > DECADE * min(places.values()):
        axis.set_xscale("log")
    long = sum(len(tick(value)) for value in places) > 24
    axis.set_xticks(list(places.values()), [tick(value) for value in places], rotation=35 if long else 0)
    axis.minorticks_off()
    if not parameter.numeric:
        axis.set_xlim(-0.4, len(places) - 0.6)
    axis.set_xlabel(parameter.words)


def tick(value: Any) -> str:
    """A value as an axis or a heading has it."""
    if value is None:
        return "all"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)


def _plot(
    section: str, parameter: Parameter, measured: Sequence[Measured], record: StudyRecord, printed: PaperValues
) -> Plot:
    places, firsts = places_of(parameter), [next(iter(line.points.values())) for line in parameter.lines]
    palette = colours([*firsts, *dict.fromkeys(arm.baseline for arm in firsts)], among=record.arms)
    marked = False
    with drawing():
        figure = Figure(figsize=(min(8.6, 1.4 + 3.6 * len(measured)), 3.1), layout="constrained")
        axes = figure.subplots(1, len(measured), squeeze=False)[0]
        for axis, one in zip(axes, measured, strict=True):
            for line, arm, mark in zip(parameter.lines, firsts, MARKS * len(firsts), strict=False):
                colour = palette[arm]
                _draw(axis, one, line, places, colour, mark)
                known = _printed(record, parameter, line, printed, one.quantity)
                if known is not None:
                    axis.plot(places[known[0]], known[1], "D", color=colour, mfc="none", ms=6)
                    marked = True
            _baselines(axis, one, parameter, record, palette)
            axis.set_title(one.title + (f" ({one.unit})" if one.unit else ""), color=INK, fontsize=9)
            axis.grid(axis="y")
            value_axis(axis, parameter)
        name_lines(figure, axes[0])
    titles = ", ".join(dict.fromkeys(one.title for one in measured))
    several = any(
        len(values_of(one, arm)) > 1 for one in measured for line in parameter.lines for arm in line.points.values()
    )
    return Plot(
        re.sub(r"[^\w-]", "-", f"{section}-against-{parameter.name}"),
        f"{titles} against {parameter.words}",
        "Points at the values that were measured: mean over training seeds"
        + (", with its standard deviation as a band." if several else ", of which there is one.")
        + (" Dashed: the baseline." if _has_baseline(parameter) else "")
        + (" Hollow diamonds: the paper’s values, of its networks and schedules." if marked else ""),
        f"Line charts of {titles} against {parameter.words} at {', '.join(map(tick, parameter.values))}; a line for "
        f"each of {', '.join(line.name for line in parameter.lines)}. The numbers are in the section’s tables.",
        figure,
    )


def _draw(axis: Axes, one: Measured, line: Line, places: Mapping[Any, float], colour: str, mark: str) -> None:
    by_place = {places[value]: values_of(one, arm) for value, arm in line.points.items()}
    points = sorted((place, values) for place, values in by_place.items() if len(values))
    x = [place for place, _ in points]
    mean = np.array([values.mean() for _, values in points])
    spread = np.array([sd(values) or 0.0 for _, values in points])
    if spread.any():
        axis.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.2, lw=0)
    axis.plot(x, mean, color=colour, lw=1.4, marker=mark, ms=4, label=line.name)


def _has_baseline(parameter: Parameter) -> bool:
    return not any(arm.is_baseline for line in parameter.lines for arm in line.points.values())


def _baselines(
    axis: Axes, one: Measured, parameter: Parameter, record: StudyRecord, palette: Mapping[Arm, str]
) -> None:
    """A line across for the baseline of each study, where it is none of the lines: it has no such argument."""
    if _has_baseline(parameter):
        for arm in dict.fromkeys(arm.baseline for line in parameter.lines for arm in line.points.values()):
            values = values_of(one, arm)
            if len(values):
                axis.axhline(values.mean(), color=palette[arm], lw=1.2, ls="--", label=record.label(arm))


def _printed(
    record: StudyRecord, parameter: Parameter, line: Line, printed: PaperValues, quantity: str
) -> tuple[Any, float] | None:
    """The point of a line that is as the paper's, with what it prints; None where the line has none.

    An augmentation without arguments is the paper's.
    """
    for value, arm in line.points.items():
        known = printed_of(printed, arm, quantity)
        there = not parameter.setting or value == _settings(record).get(parameter.name, ...)
        if known is not None and there:
            return value, known.value
    return None


def _settings(record: StudyRecord) -> dict[str, Any]:
    """Where the paper stands in each setting: at the default, unless that is ours; on all of its training images."""
    kinds = {"": Study} | {f"{name}.": section.config for name, section in installed_sections().items()}
    return {
        f"{section}{field.name}": field.default
        for section, kind in kinds.items()
        for field in dataclasses.fields(kind)
        if field.metadata.get("source") not in (None, "", "ours")
    } | {SIZE: paper.TRAIN_IMAGES.get(paper.Setup.of(record.settings).data)}
