"""Tables and figures of what the rates leave open: bounds, the marginal gap, paired latents, the estimators' oracle.

From rows; imports no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from ..analysis.interface import Arm
from ..analysis.presentation.figures import INK, drawing
from ..analysis.presentation.names import colours, short
from ..analysis.presentation.numbers import over_seeds
from ..analysis.presentation.parts import Plot, Table


class Line(NamedTuple):
    """A line of Table 1."""

    arm: Arm
    pair: str  # "self" or "independent"
    name: str


BOUNDS = {  # quantity → heading
    "infonce": "I(Z_A;X) ≥ InfoNCE",
    "rate_mixture": "≤ mixture-marginal rate",
    "rate_gaussian": "≤ Gaussian-marginal rate",
    "rate": "≤ rate",
    "leave_one_out": "≤ leave-one-out",
    "marginal_gap_lower": "gap ≥",
    "marginal_gap_upper": "gap ≤",
}
SHARED = {
    "latents_infonce": "I(Z_A;Z_X) ≥ critic",
    "latents_canonical": "≈ canonical",
    "latents_upper": "≤ smallest rate",
    "paired_infonce": "I(Z_A;X̂) paired ≥ critic",
    "paired_canonical": "I(Z_A;μ_A(X̂)) ≈ canonical",
    "rate_gaussian_reconstruction": "I(Z′_A;X̂) re-encoded ≤ Gaussian-marginal rate",
    "rate_reconstruction": "≤ rate",
}
UPPER = {  # quantity → marker, whether it is filled, and what it is
    "rate_mixture": ("<", True, "mixture-marginal rate (upper bound)"),
    "rate_gaussian": ("<", False, "Gaussian-marginal rate (upper bound)"),
    "rate": ("D", False, "rate (upper bound; the paper's number)"),
}


def tables(rows: pd.DataFrame, lines: Sequence[Line]) -> list[Table]:
    """What bounds I(Z_A;X); what the two latents, and a latent and a reconstruction, share. Nothing for older rows."""
    if "rate_gaussian" not in set(rows["quantity"]):
        return []
    flagged = ""
    if rows["saturated"].any():
        ceilings = " and ".join(f"{ceiling:.2f}" for ceiling in sorted(set(rows["ceiling"].dropna().round(2))))
        flagged = (
            " † saturated: the estimate is set by its number of samples, not by the truth (a contrastive one cannot "
            f"exceed log n = {ceilings} nats); it has no interval."
        )
    return [
        _table(
            rows,
            lines,
            BOUNDS,
            "vae-bounds",
            "What bounds the information",
            "I(Z_A;X) in nats, mean ± standard deviation over training seeds. Rates are upper bounds in expectation; "
            "the Gaussian and the mixture of Gaussians are fitted on the training images. The last two columns enclose "
            f"the marginal gap KL(q_A(z)‖N(0,I)), the part of the rate that is no information.{flagged}",
        ),
        _table(
            rows,
            lines,
            SHARED,
            "vae-shared",
            "What the latents share",
            "In nats, mean ± standard deviation over training seeds. Paired: the latent of an image and the "
            "reconstruction of the same image, I(Z_A;X̂) ≤ I(Z_A;Z_X). Re-encoded: the reconstruction and its own "
            "encoding, which no inequality puts below I(Z_A;Z_X). The critics were trained on the training images. "
            "Canonical correlations see linear dependence only and are no bound: of the paired one they see μ_A(X̂), "
            f"which can be related to Z_A more linearly than Z_X is.{_above_the_upper_bound(rows)}{flagged}",
        ),
    ]


def _above_the_upper_bound(rows: pd.DataFrame) -> str:
    """How often the paper's lower bound of I(Z_A;Z_X) lies above an upper one."""
    by_run = rows.pivot_table(index="run", columns="quantity", values="value")
    if "latents_upper" not in by_run:
        return ""
    above = int((by_run["rate_reconstruction"] > by_run["latents_upper"]).sum())
    return (
        f" The re-encoded rate, which the paper takes for a lower bound of I(Z_A;Z_X), lies above its upper bound, the "
        f"smallest rate, in {above} of {len(by_run)} measured pairs."
    )


def _table(
    rows: pd.DataFrame, lines: Sequence[Line], columns: dict[str, str], name: str, title: str, caption: str
) -> Table:
    body = []
    for line in lines:
        cells = [line.name]
        for quantity in columns:
            chosen = of(rows, line, quantity)
            if chosen["saturated"].any():
                cells.append(f"{chosen['value'].mean():.3g} †")
                continue
            cells.append(over_seeds(chosen["value"]))
        body.append(tuple(cells))
    return Table(name, title, caption, ("Augmentation", *columns.values()), tuple(body))


def of(rows: pd.DataFrame, line: Line, quantity: str) -> pd.DataFrame:
    """The rows of one line and quantity, by seed."""
    chosen = (rows["arm"] == line.arm) & (rows["pair"] == line.pair) & (rows["quantity"] == quantity)
    return rows[chosen].sort_values("seed")


def range_plot(rows: pd.DataFrame, lines: Sequence[Line]) -> Plot:
    """For each augmentation, where I(Z_A;X) can lie: between InfoNCE and the smallest rate."""
    upper = {quantity: drawn for quantity, drawn in UPPER.items() if quantity in set(rows["quantity"])}
    palette = colours(list(dict.fromkeys(rows["arm"])))
    with drawing():
        figure = Figure(figsize=(8.6, 0.42 * len(lines) + 1.5), layout="constrained")
        axis = figure.subplots()
        for y, line in enumerate(lines):
            values = {quantity: of(rows, line, quantity)["value"] for quantity in ("infonce", *upper)}
            ends = [values["infonce"].mean(), min(values[quantity].mean() for quantity in upper)]
            colour = palette[line.arm]
            axis.plot(ends, [y, y], color=colour, lw=5, alpha=0.3, solid_capstyle="butt")
            axis.plot(values["infonce"], [y] * len(values["infonce"]), ">", color=colour, ms=6)
            for quantity, (marker, filled, _) in upper.items():
                face = colour if filled else "none"
                axis.plot(values[quantity], [y] * len(values[quantity]), marker, color=colour, ms=6, mfc=face)
        axis.plot([], [], ">", color=INK, label="InfoNCE (lower bound, at most log n)")
        for marker, filled, label in upper.values():
            axis.plot([], [], marker, color=INK, mfc=INK if filled else "none", label=label)
        axis.set_yticks(range(len(lines)), [short(line.name, line=24) for line in lines])
        axis.set_ylim(len(lines) - 0.5, -0.6)
        axis.set_xlim(left=0)
        axis.set_xlabel("nats")
        axis.grid(axis="x")
        figure.legend(loc="outside upper center", ncols=2)
    return Plot(
        "vae-range",
        "Where I(Z_A;X) can lie",
        "Bars reach from the lower to the smallest upper bound, one marker per seed. Nothing measured here says where "
        "in its bar an information lies; differences between the upper bounds are differences between bounds.",
        "One horizontal bar per augmentation, from the contrastive lower bound to the smallest rate, with the other "
        "rates beyond it; the numbers are those of the table on what bounds the information.",
        figure,
    )


MARKERS = {"upper": "v", "lower": "^", "none": "o"}
ESTIMATORS = {  # how an estimator is drawn: name → colour
    "rate": "#7f8790",
    "rate, Gaussian marginal": "#0072b2",
    "rate, Gaussian mixture": "#56b4e9",
    "rate, defensive mixture": "#9b6dd7",
    "leave-one-out": "#d55e00",
    "index code (InfoNCE, K = N)": "#009e73",
    "InfoNCE, K = 128": "#b5a900",
    "canonical correlations": "#0072b2",
    "KSG 1": "#e69f00",
    "KSG 2": "#a0642d",
    "critic, infonce": "#009e73",
    "critic, nwj": "#56b4e9",
    "critic, mine": "#cc79a7",
    "critic, smile": "#c0504d",
    "smallest of the rates": "#7f8790",
}


def oracle_plot(rows: pd.DataFrame) -> Plot:
    """Every estimator against the truth, one panel for each quantity of the chain."""
    quantities = list(dict.fromkeys(rows["quantity"]))
    worlds = list(dict.fromkeys(zip(rows["information"], rows["dimensions"], strict=True)))
    with drawing():
        figure = Figure(figsize=(8.6, 7.4), layout="constrained")
        axes = figure.subplots(2, 2, sharey=True)
        for axis, quantity in zip(axes.flat, quantities, strict=True):
            here = rows[rows["quantity"] == quantity]
            by_world = here.groupby(["information", "dimensions"])["truth"].first()
            truths = [float(by_world[world]) for world in worlds]
            for x, truth in enumerate(truths):
                axis.plot([x - 0.42, x + 0.42], [truth, truth], color=INK, lw=1.4)
            names = [name for name in ESTIMATORS if name in set(here["estimator"])]
            for slot, name in enumerate(names):
                line = here[here["estimator"] == name]
                marker = MARKERS[line["bound"].iloc[0]]
                places = [
                    worlds.index((i, d)) + (slot - (len(names) - 1) / 2) * 0.8 / max(len(names), 4)
                    for i, d in zip(line["information"], line["dimensions"], strict=True)
                ]
                axis.plot([], [], marker, color=ESTIMATORS[name], ms=5, label=name)
                for place, value, low, high, full in zip(
                    places, line["value"], line["ci_low"], line["ci_high"], line["saturated"], strict=True
                ):
                    axis.plot([place, place], [low, high], color=ESTIMATORS[name], lw=1)
                    axis.plot(place, value, marker, color=ESTIMATORS[name], ms=5, mfc="none" if full else None)
            axis.set_title(quantity)
            axis.set_xticks(range(len(worlds)), [f"{i:g} in {d:g}" for i, d in worlds])
            axis.set_xlim(-0.6, len(worlds) - 0.4)
            axis.set_yscale("symlog", linthresh=0.5)
            axis.set_ylim(min(-0.15, rows["value"].min() * 1.2), max(900, rows["value"].max() * 1.5))
            axis.set_yticks([0, 0.5, 1, 4, 10, 40, 100, 400], ["0", "0.5", "1", "4", "10", "40", "100", "400"])
            axis.grid(axis="y")
            axis.legend(fontsize=7, loc="upper left", handletextpad=0.2)
        for axis in axes[:, 0]:
            axis.set_ylabel("nats")
        for axis in axes[1]:
            axis.set_xlabel("I(Z_A;X) in nats, in so many dimensions")
    n = int(rows["n"].max())
    return Plot(
        "vae-oracle",
        "Which estimator to trust where: Gaussian worlds with known informations",
        f"Lines: the truth; markers: estimates from {n:,} samples, with 95% intervals. ▽ upper bound, △ lower "
        "bound, ○ no bound; hollow: saturated. Linear encoders and decoder on Gaussian data, critics and marginals "
        "fitted on as many other samples. Where markers are hollow or far from their line, the estimator tells "
        "little; canonical correlations are right here because everything is Gaussian.",
        "Four panels, one per information of the chain, with the true value of six worlds as lines and the estimates "
        "around them; the numbers are this section’s rows with an estimator in the downloads.",
        figure,
    )
