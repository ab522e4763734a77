"""Whether an augmentation's effect depends on how its masks are shared within a batch. From rows; imports no torch."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.interface import BASELINE, Arm
from ..analysis.presentation.figures import FAINT, drawing, name_lines
from ..analysis.presentation.names import colours, label
from ..analysis.presentation.parts import Plot
from ..analysis.statistics.level import ENOUGH_SEEDS
from ..analysis.statistics.seeds import Mean, student_mean

MODES = {
    "batch-mask": "one λ and mask\na batch",
    "batch": "one λ a batch,\na mask an image",
    "elem": "a λ and a mask\nan image",
}
SHOWN = {  # quantity → heading
    "rate": "rate (nats)",
    "rate_mixture": "mixture-marginal rate (nats)",
    "mse": "MSE (normalised pixels)",
}


class Point(NamedTuple):
    """The difference of a quantity to the study's baseline, over seeds."""

    study: str
    mix: str
    mode: str
    quantity: str
    values: np.ndarray

    @property
    def mean(self) -> Mean:
        """With its interval, where there are seeds enough for one."""
        if len(self.values) >= ENOUGH_SEEDS:
            return student_mean(self.values)
        return Mean(*[float(self.values.mean())] * 3)


def points(rows: pd.DataFrame) -> list[Point]:
    """Of every augmentation that was measured in several modes; rows of the pairs with a training of their own."""
    if "mode" not in rows:
        return []
    mixed = rows[rows["mix"].fillna("") != ""]
    several = mixed.groupby("mix")["mode"].nunique()
    return list(_points(rows, [mix for mix in dict.fromkeys(mixed["mix"]) if several[mix] > 1]))


def _points(rows: pd.DataFrame, mixes: list[str]) -> Iterator[Point]:
    for study, quantity in product(dict.fromkeys(arm.study for arm in rows["arm"]), SHOWN):
        chosen = rows[(rows["quantity"] == quantity) & (rows["arm"].map(lambda arm: arm.study) == study)]
        zero = chosen[chosen["arm"] == Arm(study, BASELINE)].set_index("seed")["value"]
        for mix, mode in product(mixes, MODES):
            own = chosen[(chosen["mix"] == mix) & (chosen["mode"] == mode)].set_index("seed")["value"]
            values = (own - zero).dropna().to_numpy(float)
            if len(values):
                yield Point(study, mix, mode, quantity, values)


def protocol_plot(found: list[Point]) -> Plot:
    """One row a study, one panel a quantity: the difference to the baseline against the mode."""
    studies = list(dict.fromkeys(point.study for point in found))
    quantities = [quantity for quantity in SHOWN if any(point.quantity == quantity for point in found)]
    arms = [Arm(studies[0], mix) for mix in dict.fromkeys(point.mix for point in found)]
    palette, places = colours(arms), list(MODES)
    with drawing():
        figure = Figure(figsize=(8.6, 2.7 * len(studies) + 0.6), layout="constrained")
        axes = figure.subplots(len(studies), len(quantities), squeeze=False, sharex=True, sharey="col")
        for (row, study), (column, quantity) in product(enumerate(studies), enumerate(quantities)):
            axis = axes[row, column]
            axis.axhline(0, color=FAINT, lw=1)
            for slot, arm in enumerate(arms):
                mine = [one for one in found if one[:2] == (study, arm.augmentation) and one.quantity == quantity]
                x = [places.index(one.mode) + 0.12 * (slot - (len(arms) - 1) / 2) for one in mine]
                means = [one.mean for one in mine]
                reach = [[mean.value - mean.low for mean in means], [mean.high - mean.value for mean in means]]
                style = {"color": palette[arm], "capsize": 2, "lw": 1, "ms": 4, "label": label(arm.augmentation)}
                axis.errorbar(x, [mean.value for mean in means], yerr=reach, fmt="o-", **style)
            axis.set_title(SHOWN[quantity] if len(studies) == 1 else f"{SHOWN[quantity]}\n{study}", fontsize=9)
            axis.set_xticks(range(len(places)), MODES.values(), fontsize=7)
            axis.grid(axis="y")
        axes[0, 0].set_ylabel("difference to the baseline")
        name_lines(figure, axes[0, 0])
    return Plot(
        "vae-protocol",
        "How masks are shared within a batch",
        "Difference to the baseline’s second training against the mode: mean over seeds with its 95% Student t "
        "interval, each by itself. The paper’s trainings share λ and mask within a batch for FMix, λ alone for CutMix.",
        "A line for each augmentation over the modes, in a panel for each quantity and study; the numbers are those of "
        "the differences to the baseline.",
        figure,
    )
