"""Differences to the baseline over whole curves: a simultaneous band, the area between, crossings. Imports no torch.

From bits; the area is that of `mixlens.robustness.curves`, and the difference of two areas the area between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.interface import Arm
from ..analysis.presentation.figures import FAINT, INK, drawing
from ..analysis.presentation.names import colours, short
from ..analysis.presentation.numbers import change
from ..analysis.presentation.parts import Plot, Table
from ..analysis.statistics.band import Band, band
from ..analysis.statistics.level import ENOUGH_SEEDS
from ..analysis.store.record import StudyRecord
from .comparisons import Networks, arms_of, attacks_of, how, title
from .config import SECTION
from .curves import OVER, Stretch, crossings, stretches
from .measures import WORST

FIGURE_1 = ("uniform-noise", "deepfool", WORST)  # the panels of the paper's Fig. 1; its Fig. 5 has all attacks
TICKS = 4  # at most


class Compared(NamedTuple):
    """An arm against its baseline under one attack, in points of accuracy at each positive ε."""

    attack: str
    arm: Arm
    epsilons: tuple[float, ...]
    band: Band
    seeds: int


def tables(record: StudyRecord, rows: pd.DataFrame) -> list[Table]:
    """The area between the curves, where they cross, and at which ε the band leaves out zero."""
    compared = _compared(Networks(record, rows), rows, attacks_of(rows))
    if not compared:
        return []
    body = []
    for one in compared:
        above, below = (stretches(one.epsilons, which) for which in (one.band.low > 0, one.band.high < 0))
        cross = crossings(one.epsilons, one.band.value.round(9).tolist())
        name = f"{title(one.attack)}, {record.label(one.arm)}"
        between = change(record.family.of(SECTION.name, f"{one.attack}{OVER}", one.arm))
        body.append((name, between, *map(_listed, (cross, above, below))))
    accuracy = rows[rows["quantity"] == "accuracy"]
    return [
        Table(
            "robustness-whole-curves",
            "Whole curves against the baseline",
            "Area between: the difference to the baseline in accuracy, averaged over log ε from the smallest positive "
            "ε of the sweep to the largest by the trapezoid rule (what is expected at an ε drawn log-uniformly), in "
            "points with its 95% interval; that of the worst case is judged as the summary says. Crosses: where the "
            "mean difference changes its sign, by straight lines over log ε. Above, below: the ε of the sweep at which "
            f"the band of the figure leaves out zero. {how(accuracy)}.",
            ("Attack, augmentation", "area between (points)", "crosses at ε", "above at ε", "below at ε"),
            tuple(body),
        )
    ]


def plots(record: StudyRecord, rows: pd.DataFrame) -> list[Plot]:
    """The difference to the baseline against ε: one line of panels an augmentation, a panel an attack."""
    attacks = attacks_of(rows)
    shown = [attack for attack in attacks if attack in FIGURE_1] if set(FIGURE_1) <= set(attacks) else attacks[-3:]
    compared = [one for one in _compared(Networks(record, rows), rows, shown) if len(one.epsilons) > 1]
    if not compared:
        return []
    arms, palette = list(dict.fromkeys(one.arm for one in compared)), colours(arms_of(rows))
    with drawing():
        figure = Figure(figsize=(8.6, 1.5 * len(arms) + 0.7), layout="constrained")
        axes = figure.subplots(len(arms), len(shown), sharex="col", sharey=True, squeeze=False)
        for line, arm in zip(axes, arms, strict=True):
            for axis, attack in zip(line, shown, strict=True):
                axis.axhline(0, color=FAINT, lw=1, zorder=0)
                axis.grid(axis="both")
                for one in compared:
                    if (one.arm, one.attack) == (arm, attack):
                        _draw(axis, one, palette[arm])
            line[0].set_ylabel(short(record.label(arm), line=18), fontsize=8)
        for axis, last, attack in zip(axes[0], axes[-1], shown, strict=True):
            axis.set_title(title(attack), color=INK)
            last.set_xlabel("ε")
            _crop(axis, [one for one in compared if one.attack == attack])
    few = any(one.seeds < ENOUGH_SEEDS for one in compared)
    over = f"images, and seeds where there are {ENOUGH_SEEDS} or more" if few else "seeds and images"
    return [
        Plot(
            "robustness-bands",
            "Differences to the baseline against ε (points of accuracy)",
            "Lines: accuracy less the baseline’s, mean over seeds. Bands: each holds its whole curve at 95%, over "
            f"{over}; not corrected for the number of curves. Where a band leaves out zero, the curves differ at that "
            "ε; the table of whole curves lists these, of every attack. Panels end where nothing differs any more.",
            "Line charts of the difference to the baseline against ε, with a band, one line of panels for each of "
            f"{', '.join(map(record.label, arms))}, one panel for each of {', '.join(map(title, shown))}.",
            figure,
        )
    ]


def _compared(networks: Networks, rows: pd.DataFrame, attacks: Sequence[str]) -> list[Compared]:
    found = []
    for attack in attacks:
        tried = networks.curves(attack)
        for arm in (arm for arm in arms_of(rows) if not arm.is_baseline):
            pairs = [
                (tried[arm, seed], tried[arm.baseline, seed])
                for other, seed in tried
                if other == arm and (arm.baseline, seed) in tried
            ]
            if pairs and len({held.shape for pair in pairs for _, held in pair}) == 1:
                points = np.stack([100 * np.subtract(ours, theirs, dtype=float) for (_, ours), (_, theirs) in pairs])
                found.append(Compared(attack, arm, pairs[0][0][0], band(points), len(pairs)))
    return found


def _draw(axis: Axes, one: Compared, colour: str) -> None:
    axis.fill_between(one.epsilons, one.band.low, one.band.high, color=colour, alpha=0.2, lw=0)
    axis.plot(one.epsilons, one.band.value, color=colour, lw=1.4, marker="o", ms=2.5)


def _crop(axis: Axes, compared: Sequence[Compared]) -> None:
    """From the last ε before anything differs to the first after."""
    epsilons = np.unique(np.concatenate([one.epsilons for one in compared]))
    wide = [np.maximum(np.abs(one.band.low), np.abs(one.band.high)) > 0 for one in compared]
    differ = np.concatenate([np.compress(where, one.epsilons) for where, one in zip(wide, compared, strict=True)])
    first, last = np.searchsorted(epsilons, (differ.min(), differ.max()) if len(differ) else epsilons[[0, -1]])
    shown = epsilons[max(first - 1, 0) : last + 2]
    axis.set_xscale("log")
    axis.set_xlim(shown[0], shown[-1])
    ticks = [shown[0]]
    for epsilon in shown:
        if np.log(epsilon / ticks[-1]) > np.log(shown[-1] / shown[0]) / TICKS:
            ticks.append(epsilon)
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()


def _listed(found: Sequence[Stretch]) -> str:
    return ", ".join(f"{low:.2g}" if low == high else f"{low:.2g} to {high:.2g}" for low, high in found) or "nowhere"
