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
from .axes import places_of, tick, value_axis
from .claims import Answers, Claim, Comparison, claims_of, judge
from .scale import SIZE, Parameter, settings_varied
from .sections import measured

NAME = "scale"
COLUMNS = 2
ABOUT = About(
    question="Do the paper’s claims hold at every scale?",
    text=(
        "The studies of this report differ in a number. Each claim of which networks were measured at two of its "
        "values or more is judged at each of them by itself, by the rule of the claims’ table, which is of the first "
        "of these studies alone.",
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
    setup: paper.Setup = paper.CIFAR10  # of the first of these studies


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
                found.append(Scale(own, line.name, answers, paper.Setup.of(next(iter(parts.values())).settings)))
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
        for judged in judge(answers, setup=scale.setup):
            if judged.verdict != "not run" and not judged.claim.at_every_size:
                cells.setdefault(judged.claim.name, {})[value] = judged.verdict
    return [(claim, cells[claim.name]) for claim in claims_of(scale.setup) if len(cells.get(claim.name, {})) > 1]


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


def printed_of(comparison: Comparison, setup: paper.Setup = paper.CIFAR10) -> float | None:
    """The paper's difference, as `points_of` takes it."""
    found = paper.difference(comparison.section, comparison.quantity, *_pair(comparison), setup)
    return found.value if found else None


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
    value_axis(axis, scale.parameter)
    stands = _Places(scale.parameter, axis.get_xscale() == "log")
    axis.axhline(0, color=FAINT, lw=1)
    palette = hues([Arm("", name) for comparison in claim.comparisons for name in _pair(comparison)])
    printed = [printed_of(comparison, claim.setup) for comparison in claim.comparisons]
    for count, (comparison, known) in enumerate(zip(claim.comparisons, printed, strict=True)):
        first, second = _pair(comparison)
        colour, points = palette[first], points_of(scale, comparison)
        shift = 0.35 * (count - (len(printed) - 1) / 2)  # the intervals of several lines stand beside each other
        x = [stands.at(point.value, shift) for point in points]
        dashes = "-" if second == BASELINE else ("--", ":", "-.")[count % 3]
        name = f"{label(first)} − {label(second)}"
        axis.plot(x, [point.change.value for point in points], f"o{dashes}", color=colour, lw=1.1, ms=4, label=name)
        for place, point in zip(x, points, strict=True):
            if point.change.low is not None and point.change.high is not None:
                axis.plot([place, place], [point.change.low, point.change.high], color=colour, lw=1.4)
        if known is not None:
            axis.plot(stands.beyond(7 + shift), known, "D", color=colour, mfc="none", ms=5)
    if any(value is not None for value in printed):
        axis.axvline(stands.beyond(3.5), color=FAINT, lw=0.6, ls=":")
        there = [*map(stands.at, scale.parameter.values), stands.beyond(7)]
        axis.set_xticks(there, [*map(tick, scale.parameter.values), "paper"])
        axis.set_xlim(right=stands.beyond(9))
    axis.minorticks_off()
    axis.set_title(fill(claim.text, 56), color=INK, fontsize=8)
    axis.set_ylabel(_unit(scale, claim), fontsize=8)
    axis.legend(fontsize=6.5, handlelength=3.2)
    axis.grid(axis="y")


class _Places(NamedTuple):
    """Where values stand on an axis, in steps of a thirtieth of its length."""

    parameter: Parameter
    log: bool

    def at(self, value: Any, steps: float = 0.0) -> float:
        return self._moved(places_of(self.parameter)[value], steps)

    def beyond(self, steps: float) -> float:
        """A place at the right of all values."""
        return self._moved(max(places_of(self.parameter).values()), steps)

    def _moved(self, place: float, steps: float) -> float:
        places = places_of(self.parameter).values()
        low, high = min(places), max(places)
        return place * (high / low) ** (steps / 30) if self.log else place + steps * (high - low) / 30


def _unit(scale: Scale, claim: Claim) -> str:
    """What the differences of a claim are in: those of its comparisons are of one quantity."""
    section, quantity = claim.comparisons[0].section, claim.comparisons[0].quantity
    measured_ = (one for answers in scale.answers.values() for one in answers.quantities.get(section, ()))
    unit = next((one.unit for one in measured_ if one.quantity == quantity), "")
    return f"difference ({'points' if unit == '%' else unit})" if unit else "difference"
