"""The section's tables and figures, from rows and arrays. Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import t as student

from ..analysis.interface import Printed
from ..analysis.store.record import StudyRecord
from ..analysis.store.results import table
from ..analysis.style import FAINT, INK, Plot, Table, colours, drawing, interval, label, number, picture_grid

# quantity → (heading, axis label); the paper's names, with what they are
QUANTITIES = {
    "rate": ("I(Z_A;X)", "rate on test images (nats)"),
    "rate_reconstruction": ("I(Z_A;X̂)", "rate on reconstructions (nats)"),
    "mse": ("MSE", "squared error (normalised pixels)"),
}
SELF, INDEPENDENT = '{"pair": "self"}', '{"pair": "independent"}'
ENOUGH_SEEDS = 3

PaperValues = Mapping[str, Mapping[str, Printed]]  # augmentation → quantity → printed


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Table 1 with the paper's values beside ours, and the differences to the baseline, paired by seed."""
    rows = _rows(record)
    return [_table_1(rows, printed), _differences(rows)]


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Rates and errors, reconstructions, training curves."""
    rows = _rows(record)
    return [_quantities_plot(rows, printed), _reconstructions_plot(record, rows), _curves_plot(record, rows)]


def _rows(record: StudyRecord) -> pd.DataFrame:
    return table(row for row in record.rows() if row.section == "vae")


def _pairs(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(augmentation, pair, name) of each line of Table 1, in the study's order, the baseline first."""
    names = list(dict.fromkeys(rows["augmentation"]))
    lines = []
    if "baseline" in names:
        lines = [
            ("baseline", SELF, "Baseline, paired with itself"),
            ("baseline", INDEPENDENT, "Baseline, second training"),
        ]
    return lines + [(name, INDEPENDENT, label(name)) for name in names if name != "baseline"]


def _seeds(rows: pd.DataFrame, augmentation: str, pair: str, quantity: str) -> pd.DataFrame:
    chosen = (rows["augmentation"] == augmentation) & (rows["params"] == pair) & (rows["quantity"] == quantity)
    return rows[chosen].sort_values("seed")


def _sd(values: pd.Series) -> float | None:
    return float(values.std(ddof=1)) if len(values) > 1 else None


def _table_1(rows: pd.DataFrame, printed: PaperValues) -> Table:
    header = ["Augmentation"]
    for heading, _ in QUANTITIES.values():
        header += [heading, "paper"]
    body = []
    for augmentation, pair, name in _pairs(rows):
        cells = [name]
        seeds = 0
        for quantity in QUANTITIES:
            found = _seeds(rows, augmentation, pair, quantity)
            seeds = len(found)
            cells.append(number(found["value"].mean(), _sd(found["value"])))
            paper = printed.get(augmentation, {}).get(quantity)
            # The paper pairs a baseline with itself only.
            shown = paper if paper and not (augmentation == "baseline" and pair == INDEPENDENT) else None
            cells.append(number(shown.value, shown.sd, shown.decimals) if shown else "—")
        errors = [_seeds(rows, augmentation, pair, q)["stderr"].mean() for q in QUANTITIES]
        body.append((*cells, str(seeds), " / ".join(f"{error:.2g}" for error in errors)))
    images = ", ".join(str(n) for n in sorted(set(rows["n"])))
    caption = (
        "Mean ± standard deviation over training seeds, ours and the paper's (5 trials). The last column is each "
        f"quantity's standard error over the {images} test images, averaged over seeds. The informations are rates in "
        "nats: the first is an upper bound on I(Z_A;X), the second an upper bound on the information between "
        "reconstructions and their re-encoding, which bounds I(Z_A;Z_X) from neither side. MSE in squared normalised "
        "pixels."
    )
    return Table(
        "vae-table-1", "Table 1: what a VAE learned", caption, (*header, "seeds", "s.e. over images"), tuple(body)
    )


def _differences(rows: pd.DataFrame) -> Table:
    body = []
    for augmentation, pair, name in _pairs(rows):
        if augmentation == "baseline":
            continue
        cells = [name]
        for quantity in QUANTITIES:
            ours = _seeds(rows, augmentation, pair, quantity).set_index("seed")["value"]
            baseline = _seeds(rows, "baseline", INDEPENDENT, quantity).set_index("seed")["value"]
            cells.append(_difference((ours - baseline).dropna()))
        body.append(tuple(cells))
    caption = (
        "Difference to the baseline's second training, which shares each seed's initial weights and order of images: "
        "mean over seeds and its 95% Student t interval. ↑ or ↓ where the interval leaves out zero; with fewer than "
        "three seeds one cannot tell."
    )
    header = ("Augmentation", *(heading for heading, _ in QUANTITIES.values()))
    return Table("vae-differences", "Differences to the baseline", caption, header, tuple(body))


def _difference(differences: pd.Series) -> str:
    n = len(differences)
    if n == 0:
        return "no baseline"
    mean = float(differences.mean())
    if n < ENOUGH_SEEDS:
        return f"{number(mean)} (cannot tell)"
    half = float(student.ppf(0.975, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    arrow = " ↑" if mean - half > 0 else " ↓" if mean + half < 0 else ""
    return interval(mean, mean - half, mean + half) + arrow


def _quantities_plot(rows: pd.DataFrame, printed: PaperValues) -> Plot:
    lines = _pairs(rows)
    palette = colours(list(dict.fromkeys(rows["augmentation"])))
    with drawing():
        figure = Figure(figsize=(8.6, 0.42 * len(lines) + 1.5), layout="constrained")
        axes = figure.subplots(1, len(QUANTITIES), sharey=True)
        for axis, (quantity, (heading, unit)) in zip(axes, QUANTITIES.items(), strict=True):
            for y, (augmentation, pair, _) in enumerate(lines):
                values = _seeds(rows, augmentation, pair, quantity)["value"]
                colour = palette[augmentation]
                axis.errorbar(values.mean(), y, xerr=_sd(values) or 0, fmt="o", color=colour, capsize=3, zorder=3)
                axis.plot(values, np.full(len(values), y + 0.22), "|", color=colour, ms=6, zorder=3)
                paper = printed.get(augmentation, {}).get(quantity)
                if paper is not None and not (augmentation == "baseline" and pair == INDEPENDENT):
                    axis.errorbar(
                        paper.value, y - 0.22, xerr=paper.sd, fmt="D", mfc="none", ms=4, color=FAINT, zorder=2
                    )
            axis.set_title(heading)
            axis.set_xlabel(unit)
            axis.grid(axis="x")
        axes[0].set_yticks(range(len(lines)), [name for _, _, name in lines])
        axes[0].set_ylim(len(lines) - 0.5, -0.6)
    return Plot(
        "vae-quantities",
        "Rates and reconstruction error",
        "Dots: mean over seeds, bars: standard deviation; ticks: single seeds. Grey diamonds: the paper's Table 1, "
        "after 100 epochs.",
        "Three dot plots, one per quantity, with a line for each augmentation; the numbers are those of Table 1.",
        figure,
    )


def _reconstructions_plot(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    seed = min(rows["seed"])
    strips: list[tuple[str, np.ndarray]] = []
    for augmentation, pair, name in _pairs(rows):
        if augmentation == "baseline" and pair == SELF:
            continue
        chosen = _seeds(rows, augmentation, pair, "mse")
        arrays = record.run(chosen[chosen["seed"] == seed]["run"].iloc[0]).read_arrays()
        if not strips:
            strips.append(("Test image", arrays["images"]))
        strips.append((name.replace(", second training", ""), arrays["reconstructions"]))
    return Plot(
        "vae-reconstructions",
        "Reconstructions of the same test images",
        f"Test images, evenly spaced over the test set, through each VAE of seed {seed}: decode(z), one z ~ q(z|x).",
        f"A grid of pictures: test images in the first row, then their reconstructions by {len(strips) - 1} VAEs.",
        picture_grid(strips),
    )


def _curves_plot(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    palette = colours(list(dict.fromkeys(rows["augmentation"])))
    inputs = {task.name: task.inputs for task in record.tasks}
    panels = {"train_loss": "training −ELBO (nats)", "test_rate": "test rate (nats)", "test_mse": "test MSE"}
    with drawing():
        figure = Figure(figsize=(8.6, 2.8), layout="constrained")
        axes: np.ndarray = figure.subplots(1, len(panels))
        for augmentation, pair, name in _pairs(rows):
            if augmentation == "baseline" and pair == SELF:
                continue
            for number_of, row in enumerate(_seeds(rows, augmentation, pair, "rate").itertuples()):
                history = pd.DataFrame(record.run(inputs[str(row.run)][1]).read_history())
                for axis, (column, unit) in zip(axes, panels.items(), strict=True):
                    _curve(axis, history, column, unit, palette[augmentation], None if number_of else name)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, [n.replace(", second training", "") for n in names], loc="outside upper center", ncols=6)
    return Plot(
        "vae-curves",
        "Training curves",
        "One line per seed. The training loss is measured on augmented images, so its level compares within an "
        "augmentation only; test rate and error are on the first 2,000 real test images.",
        "Three line charts over epochs: training loss, test rate and test error of every VAE.",
        figure,
    )


def _curve(axis: Axes, history: pd.DataFrame, column: str, unit: str, colour: str, name: str | None) -> None:
    axis.plot(history["epoch"], history[column], color=colour, lw=1.1, label=name)
    axis.set_xlabel("epoch")
    axis.set_title(unit, color=INK)
    axis.grid(axis="y")
