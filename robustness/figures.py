"""The section's tables and figures, from rows and bits. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.interface import PaperValues
from ..analysis.presentation.figures import INK, drawing, log_ticks, name_lines
from ..analysis.presentation.names import colours
from ..analysis.presentation.numbers import number, over_seeds
from ..analysis.presentation.parts import About, Equation, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.statistics.seeds import sd
from ..analysis.store.record import StudyRecord
from . import bands, comparisons, curves
from .bands import FIGURE_1
from .comparisons import arms_of, attacks_of, how, title
from .config import SECTION
from .measures import SIGNIFICANT, WORST

ABOUT = About(
    question="How small a change of an image turns a classifier’s answer?",
    text=(
        "An attack A looks for a perturbed image within ε of the original, both in [0, 1], that the classifier f gets "
        "wrong. Accuracy under attack is the fraction of the N test images on which it finds none:",
        Equation(
            "accuracy of attack A at epsilon: the fraction of images classified correctly before and after the attack",
            r"\mathrm{acc}_A(\epsilon) = \frac{1}{N}\,\big|\{i : f(x_i) = y_i \text{ and } "
            r"f(A_\epsilon(x_i)) = y_i\}\big|",
            r'"acc"_A (epsilon) = 1/N |{i : f(x_i) = y_i "and" f(A_epsilon (x_i)) = y_i}|',
        ),
        "The worst case counts an image as held only where every attack fails. All attacks are Foolbox’s, on the "
        "classifier in eval mode; every random start is drawn from a seed of its own image.",
    ),
    caveats=(
        "Each of these numbers is an upper bound on the accuracy under the strongest possible attack, and no more: a "
        "stronger attack can only lower it.",
        "A network whose gradients vanish looks robust to attacks that follow them. Signs of it are listed where they "
        "are found; without signs it is not excluded.",
        "ε is in pixel units, where an image reaches from 0 to 1. Images that are wrong without any attack count as "
        "broken.",
    ),
)
COLUMNS = 3
NOTHING = 0.01  # of accuracy: the curves end where none keeps so much


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Accuracy and median ε; the worst case at every ε; differences to the baseline; signs of masked gradients."""
    rows = _rows(record)
    compared = [*bands.tables(record, rows), *comparisons.tables(record, rows)]
    return [_summary(record, rows), _worst(record, rows), *compared, _signs(record, rows)]


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Accuracy against ε: the panels of Fig. 1, every attack as in Fig. 5; and the differences to the baseline."""
    rows = _rows(record)
    attacks = attacks_of(rows)
    shown = [
        _curves(record, rows, attacks, "robustness-attacks", "Accuracy under every attack (like the paper’s Fig. 5)")
    ]
    if set(FIGURE_1) <= set(attacks):
        shown.insert(
            0,
            _curves(
                record,
                rows,
                FIGURE_1,
                "robustness-worst",
                "Noise, DeepFool and the worst case (like the paper’s Fig. 1)",
            ),
        )
    return [*shown, *bands.plots(record, rows)]


def measured(record: StudyRecord) -> list[Measured]:
    """What the front page and the claims compare: accuracy under each attack."""
    rows = _rows(record)
    attacks = [attack for attack in attacks_of(rows) if attack != WORST]
    # Under nested-worst rows name no attack.
    over = tuple(sorted(attacks or record.settings[SECTION.name]["attacks"]))
    found = comparisons.measured(record, rows)
    return [replace(one, over=over) if one.quantity.startswith(WORST) else one for one in found]


def _rows(record: StudyRecord) -> pd.DataFrame:
    rows = record.table(SECTION.name)
    keys = ["attack", "epsilon", "protocol", "norm"]
    if rows.loc[rows["quantity"] == "accuracy", keys].isna().any(axis=None):
        raise ValueError(f"a row of accuracy is without {', '.join(keys)}")
    return rows


def _summary(record: StudyRecord, rows: pd.DataFrame) -> Table:
    attacks = attacks_of(rows)
    norm = ", ".join(dict.fromkeys(rows["norm"]))
    body = []
    for arm in arms_of(rows):
        own = rows[rows["arm"] == arm]
        clean = 100 * own.loc[own["quantity"] == "clean_accuracy", "value"]
        cells = [record.label(arm), over_seeds(clean)]
        for attack in attacks:
            medians, seeds = _medians(own, attack), own["seed"].nunique()
            reached = "" if len(medians) == seeds else f" (in {len(medians)} of {seeds})"
            cells.append(over_seeds(medians) + reached if len(medians) else "> all")
        body.append((*cells, str(own["seed"].nunique())))
    return Table(
        "robustness-summary",
        "Accuracy, and the ε that breaks half of the images",
        "Mean ± standard deviation over training seeds; accuracy in percent of the attacked images. Median ε: where a "
        f"network's accuracy first falls to one half ({norm} norm, images in [0, 1]), by straight lines over log ε "
        "between the sweep's ε, and over ε up to its first; 0 where no more than half are right as they are. "
        f"{how(rows)}.",
        ("Augmentation", "Accuracy (%)", *(f"{title(attack)}, median ε" for attack in attacks), "seeds"),
        tuple(body),
    )


def _medians(own: pd.DataFrame, attack: str) -> pd.Series:
    """Of one arm's networks the ε that breaks half of the images, of those that have one."""
    clean = own[own["quantity"] == "clean_accuracy"].set_index("seed")["value"]
    accuracy = own[(own["quantity"] == "accuracy") & (own["attack"] == attack) & (own["epsilon"] > 0)]
    found = []
    for seed, of_seed in accuracy.sort_values("epsilon").groupby("seed"):
        found.append(curves.half([0.0, *of_seed["epsilon"]], [clean[seed], *of_seed["value"]]))
    return pd.Series([epsilon for epsilon in found if epsilon is not None], dtype=float)


def _worst(record: StudyRecord, rows: pd.DataFrame) -> Table:
    worst = rows[(rows["quantity"] == "accuracy") & (rows["attack"] == WORST)]
    by = worst.assign(percent=100 * worst["value"]).groupby(["epsilon", "arm"])["percent"]
    arms = arms_of(worst)
    body = []
    for epsilon in sorted(set(worst["epsilon"])):
        cells = []
        for arm in arms:
            if (epsilon, arm) not in by.groups:
                cells.append("—")
                continue
            values = by.get_group((epsilon, arm))
            cells.append(number(values.mean(), sd(values), 1) if len(values) > 1 else f"{values.mean():.1f}")
        body.append((f"{epsilon:g}", *cells))
    half = (worst["ci_high"] - worst["ci_low"]).max() / 2
    return Table(
        "robustness-worst-case",
        "Worst case over all attacks (%)",
        "Accuracy in percent on images that no attack breaks at that ε, mean ± standard deviation over training seeds. "
        f"Wilson's 95% interval over the images is at most ± {100 * half:.1f} points. {how(worst)}.",
        ("ε", *map(record.label, arms)),
        tuple(body),
    )


def _signs(record: StudyRecord, rows: pd.DataFrame) -> Table:
    signs = rows[rows["quantity"] == "masking_sign"]
    columns = (signs["arm"], signs["seed"], signs["note"], signs["value"])
    body = [
        (f"{record.label(arm)}, seed {seed}", note, f"{100 * value:.1f}%")
        for arm, seed, note, value in zip(*columns, strict=True)
    ]
    return Table(
        "robustness-signs",
        "Signs of masked gradients",
        "Where gradients do not show the way to what breaks a network, its accuracy under gradient attacks says little "
        "(Athalye et al. 2018; Carlini et al. 2019). A difference between attacks is a sign where McNemar's exact test "
        f"rejects it at {SIGNIFICANT:.0%}, corrected for the number of ε. The last column: the fraction of all images "
        "that shows it. Finding none proves nothing.",
        ("Network", "Sign", "Images"),
        tuple(body) or (("all", "none found", "—"),),
    )


def _curves(record: StudyRecord, rows: pd.DataFrame, attacks: Sequence[str], name: str, heading: str) -> Plot:
    arms = arms_of(rows)
    palette = colours(arms)
    columns = min(COLUMNS, len(attacks))
    lines = -(-len(attacks) // columns)
    accuracy = rows[rows["quantity"] == "accuracy"]
    with drawing():
        figure = Figure(figsize=(8.6, 2.5 * lines + 0.5), layout="constrained")
        axes = figure.subplots(lines, columns, sharey=True, squeeze=False)
        for axis in axes.flat[len(attacks) :]:
            axis.set_visible(False)
        for axis, attack in zip(axes.flat, attacks, strict=False):
            for arm in arms:
                own = accuracy[(accuracy["attack"] == attack) & (accuracy["arm"] == arm)]
                _curve(axis, own, palette[arm], record.label(arm))
            axis.set_title(title(attack), color=INK)
            axis.grid(axis="both")
            _epsilon_axis(axis, accuracy[accuracy["attack"] == attack])
        axes.flat[0].set_ylim(0, min(1.0, math.ceil(10 * _highest(axes)) / 10))
        for row in axes:
            row[0].set_ylabel("accuracy")
        name_lines(figure, axes.flat[0])
    seeds = rows.groupby("arm")["seed"].nunique()
    kinds = [(seeds > 1, "standard deviation over training seeds"), (seeds == 1, "Wilson's 95% interval over images")]
    band = ", ".join(
        words + ("" if which.all() else f" ({', '.join(record.label(arm) for arm in seeds.index[which])})")
        for which, words in kinds
        if which.any()
    )
    return Plot(
        name,
        heading,
        f"Lines: mean over training seeds; bands: {band}. {how(accuracy)}. The ε axis is linear from 0 to the first ε "
        f"and logarithmic from there; each ends at the first ε from which on no augmentation keeps {NOTHING:.0%}.",
        f"Line charts of accuracy against ε, one for each of {', '.join(map(title, attacks))}; a line for each of "
        f"{', '.join(map(record.label, arms))}. The worst case's numbers stand in its table.",
        figure,
    )


def _curve(axis: Axes, own: pd.DataFrame, colour: str, name: str) -> None:
    by = own.groupby("epsilon")
    mean = by["value"].mean()
    if own["seed"].nunique() > 1:
        spread = by["value"].std(ddof=1)
        low, high = mean - spread, mean + spread
    else:
        low, high = by["ci_low"].mean(), by["ci_high"].mean()
    x = mean.index.to_numpy(float)
    axis.fill_between(x, low.to_numpy(), high.to_numpy(), color=colour, alpha=0.2, lw=0)
    axis.plot(x, mean.to_numpy(), color=colour, lw=1.4, marker="o", ms=2.5, label=name)


def _epsilon_axis(axis: Axes, accuracy: pd.DataFrame) -> None:
    """From 0 to the first ε from which on every mean is next to nothing, or else to the last."""
    means = accuracy.groupby(["epsilon", "arm"])["value"].mean().groupby("epsilon").max()
    epsilons = [float(epsilon) for epsilon in means.index if epsilon > 0]
    if not epsilons:
        return
    alive = [epsilon for epsilon in epsilons if means[epsilon] >= NOTHING]
    end = min((epsilon for epsilon in epsilons if epsilon > max(alive, default=0.0)), default=epsilons[-1])
    axis.set_xscale("symlog", linthresh=epsilons[0], linscale=0.4)
    ticks = [0.0, *log_ticks(epsilons[0], max(end, 10 * epsilons[0]), least=2)]
    axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlim(-0.2 * epsilons[0], 1.15 * max(end, ticks[-1]))
    axis.set_xlabel("ε")


def _highest(axes: np.ndarray[Any, Any]) -> float:
    """The upper edge of what is drawn in any panel."""
    drawn = [axis.dataLim.y1 for axis in axes.flat if axis.get_visible()]
    return max((edge for edge in drawn if math.isfinite(edge)), default=1.0) or 1.0
