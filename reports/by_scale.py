"""The paper's claims where several studies differ in a number, such as epochs: each judged at every one. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.interface import BASELINE, Arm
from ..analysis.presentation.figures import FAINT, INK, drawing
from ..analysis.presentation.names import hues, label
from ..analysis.presentation.parts import About, Plot, Table
from ..analysis.statistics.effect import Effect, effect
from ..analysis.store.record import StudyRecord, combine
from . import paper
from .axes import tick, value_axis
from .claims import CLAIMS, Answers, Claim, Comparison, judge
from .scale import SIZE, Parameter, settings_varied
from .sections import measured

NAME = "scale"
COLUMNS = 2
ABOUT = About(
    question="Do the paper’s claims hold at every scale?",
    text=(
        "The studies of this report differ in a number. Each claim of which networks were measured at two of its "
        "values or more is judged at each of them by itself, by the rule of the claims’ table.",
    ),
    caveats=(
        "A verdict that changes along the way is no trend by itself: intervals that overlap may be one value.",
        "Each scale is judged by itself; nothing is corrected for the number of scales.",
    ),
)


class Scale(NamedTuple):
    """A setting that is a number, and what was measured at each of its values, ascending."""

    parameter: Parameter
    where: str  # what else tells these studies from others
    answers: Mapping[Any, Answers]


class Point(NamedTuple):
    """A comparison of a claim at a value of the scale: the difference as it is drawn."""

    value: Any
    change: Effect


def scales_of(record: StudyRecord) -> list[Scale]:
    """Every number in which studies of the report differ, with what each of them measured."""
    found = []
    for parameter in settings_varied(record):
        if parameter.numeric or parameter.name == SIZE:
            for line in parameter.lines:
                parts = {
                    value: combine(record.designs[line.points[value]], mixed=True)
                    for value in parameter.values
                    if value in line.points
                }
                answers = {value: Answers(part.study, measured(part)) for value, part in parts.items()}
                own = parameter._replace(values=tuple(answers))
                found.append(Scale(own, line.name, answers))
    return found


def sizes_of(scales: Sequence[Scale]) -> Mapping[int | None, Answers]:
    """What was measured at each size of the training set, where there are several; else nothing."""
    return next((scale.answers for scale in scales if scale.parameter.name == SIZE), {})


def scale_tables(scales: Sequence[Scale]) -> list[Table]:
    """For each scale, the verdict on every claim at each of its values."""
    shown = []
    for place, scale in enumerate(scales):
        verdicts = _verdicts(scale)
        if not verdicts:
            continue
        where = f" ({scale.where})" if scale.where else ""
        shown.append(
            Table(
                f"scale-verdicts-{place + 1}",
                f"Verdicts against {scale.parameter.words}{where}",
                "What each study says of the paper’s claims by itself; a dash where it did not measure what a claim "
                "is about.",
                ("Claim", *(f"{tick(value)} {scale.parameter.words}" for value in scale.parameter.values)),
                tuple(
                    (claim.text, *(cells.get(value, "—") for value in scale.parameter.values))
                    for claim, cells in verdicts
                ),
            )
        )
    return shown


def scale_plots(scales: Sequence[Scale]) -> list[Plot]:
    """For each scale a panel a claim: its differences against the scale, the paper's set apart at the right."""
    shown = []
    for place, scale in enumerate(scales):
        claims = [claim for claim, _ in _verdicts(scale)]
        if claims:
            shown.append(_plot(f"scale-claims-{place + 1}", scale, claims))
    return shown


def _verdicts(scale: Scale) -> list[tuple[Claim, dict[Any, str]]]:
    """The claims that were judged at two values or more, each with its verdicts."""
    cells: dict[str, dict[Any, str]] = {}
    for value, answers in scale.answers.items():
        for judged in judge(answers):
            if judged.verdict != "not run" and not judged.claim.at_every_size:
                cells.setdefault(judged.claim.name, {})[value] = judged.verdict
    return [(claim, cells[claim.name]) for claim in CLAIMS if len(cells.get(claim.name, {})) > 1]


def points_of(scale: Scale, comparison: Comparison) -> list[Point]:
    """A comparison's difference at each value, less the baseline if that is one of the two; of each ε the greatest."""
    first, second = _pair(comparison)
    found = []
    for value, answers in scale.answers.items():
        changes = [
            change
            for one in answers.quantities.get(comparison.section, ())
            if one.quantity == comparison.quantity
            and (change := effect(one, Arm(answers.study, first), Arm(answers.study, second))) is not None
        ]
        if changes:
            found.append(Point(value, max(changes, key=lambda change: change.value)))
    return found


def printed_of(comparison: Comparison) -> float | None:
    """The paper's difference, as `points_of` takes it."""
    known = paper.VALUES.get(comparison.section, {})
    one, other = (known.get(name, {}).get(comparison.quantity) for name in _pair(comparison))
    return None if one is None or other is None else one.value - other.value


def _pair(comparison: Comparison) -> tuple[str, str]:
    first, second = comparison.first, comparison.second
    return (second, first) if first == BASELINE else (first, second)


def _plot(name: str, scale: Scale, claims: Sequence[Claim]) -> Plot:
    across = min(COLUMNS, len(claims))
    down = -(-len(claims) // across)
    with drawing():
        figure = Figure(figsize=(8.6 if across > 1 else 5.2, 2.9 * down), layout="constrained")
        axes = figure.subplots(down, across, squeeze=False)
        for axis in axes.flat[len(claims) :]:
            axis.set_visible(False)
        for axis, claim in zip(axes.flat, claims, strict=False):
            _panel(axis, scale, claim)
    words = scale.parameter.words
    return Plot(
        name,
        f"The claims’ differences against {words}" + (f" ({scale.where})" if scale.where else ""),
        "Dots: differences on the same seeds and images, with 95% intervals over both, each by itself. Hollow diamonds "
        "at the right: the paper’s differences, of its networks and schedules. Of a claim about every ε the ε at which "
        "the first lies furthest above is shown.",
        f"A panel for each of: {'; '.join(claim.text for claim in claims)}. In each, a line for every difference of "
        f"the claim against {words}; the verdicts are in the table above.",
        figure,
    )


def _panel(axis: Axes, scale: Scale, claim: Claim) -> None:
    lines = [(comparison, points_of(scale, comparison)) for comparison in claim.comparisons]
    value_axis(axis, scale.parameter)
    places = [float(value) for value in scale.parameter.values]
    low, high = min(places), max(places)
    log = axis.get_xscale() == "log"
    step = (high / low) ** 0.06 if log else 0.03 * (high - low)
    end = high * step**4 if log else high + 6 * step
    printed = [printed_of(comparison) for comparison, _ in lines]
    palette = hues([Arm("", name) for comparison, _ in lines for name in _pair(comparison)])
    axis.axhline(0, color=FAINT, lw=1)
    for count, ((comparison, points), known) in enumerate(zip(lines, printed, strict=True)):
        first, second = _pair(comparison)
        shift = count - (len(lines) - 1) / 2
        x = [_shifted(float(point.value), shift, step, log) for point in points]
        style = {"color": palette[first], "ls": "-" if second == BASELINE else ("--", ":", "-.")[count % 3]}
        axis.plot(
            x,
            [point.change.value for point in points],
            lw=1.1,
            marker="o",
            ms=4,
            label=f"{label(first)} − {label(second)}",
            **style,
        )
        for place, point in zip(x, points, strict=True):
            if point.change.low is not None and point.change.high is not None:
                axis.plot([place, place], [point.change.low, point.change.high], color=palette[first], lw=1.4)
        if known is not None:
            axis.plot(_shifted(end, shift, step, log), known, "D", color=palette[first], mfc="none", ms=5)
    if any(value is not None for value in printed):
        axis.axvline(end / step**2 if log else end - 3 * step, color=FAINT, lw=0.6, ls=":")
        axis.set_xticks([*places, end], [*map(tick, scale.parameter.values), "paper"])
    axis.minorticks_off()
    axis.set_title(fill(claim.text, 56), color=INK, fontsize=8)
    axis.set_ylabel(_unit(scale, claim), fontsize=8)
    axis.legend(fontsize=6.5, handlelength=1.6)
    axis.grid(axis="y")


def _unit(scale: Scale, claim: Claim) -> str:
    """What the differences of a claim are in: those of its comparisons are of one quantity."""
    section, quantity = claim.comparisons[0].section, claim.comparisons[0].quantity
    measured_ = (one for answers in scale.answers.values() for one in answers.quantities.get(section, ()))
    unit = next((one.unit for one in measured_ if one.quantity == quantity), "")
    return f"difference ({'points' if unit == '%' else unit})" if unit else "difference"


def _shifted(place: float, shift: float, step: float, log: bool) -> float:
    """Beside its place, so that the intervals of several lines stand beside each other."""
    return place * step ** (0.35 * shift) if log else place + 0.35 * step * shift
