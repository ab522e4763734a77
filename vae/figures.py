"""The section's tables and figures, from rows and arrays. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.comparison import Measured, difference, over_seeds, sd
from ..analysis.interface import Printed
from ..analysis.store.record import StudyRecord
from ..analysis.store.results import table
from ..analysis.style import FAINT, INK, Plot, Table, colours, drawing, label, name_lines, number, picture_grid, short
from . import bounds_figures
from .bounds_figures import of

# quantity → (heading, axis label); the paper's names, with what they are
QUANTITIES = {
    "rate": ("I(Z_A;X)", "rate on test images (nats)"),
    "rate_reconstruction": ("I(Z_A;X̂)", "rate on reconstructions (nats)"),
    "mse": ("MSE", "squared error (normalised pixels)"),
}
# Beside them where differences are shown: does the ordering survive another estimate?
COMPARED = {
    "rate": "I(Z_A;X)",
    "rate_gaussian": "its Gaussian-marginal rate",
    "rate_reconstruction": "I(Z_A;X̂)",
    "latents_canonical": "I(Z_A;Z_X), canonical",
    "mse": "MSE",
}
SELF, INDEPENDENT = '{"pair": "self"}', '{"pair": "independent"}'

PaperValues = Mapping[str, Mapping[str, Printed]]  # augmentation → quantity → printed


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Table 1 with the paper's values beside ours, the differences to the baseline, and what the rates leave open."""
    rows = _rows(record)
    return [_table_1(rows, printed), _differences(rows), *bounds_figures.tables(rows, _lines(rows))]


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Rates and errors, bounds, reconstructions, training curves; the estimators where the truth is known."""
    rows = _rows(record)
    shown = [_quantities_plot(rows, printed)]
    if (rows["params"] == INDEPENDENT).any():
        shown += [_reconstructions_plot(record, rows), _curves_plot(record, rows)]
    if "rate_gaussian" in set(rows["quantity"]):
        shown.insert(1, bounds_figures.range_plot(rows, _lines(rows)))
    tried = table(row for row in record.rows() if row.section == "information")
    return shown if tried.empty else [*shown, bounds_figures.oracle_plot(tried)]


def measured(record: StudyRecord) -> list[Measured]:
    """What the front page and the claims compare: the rates and the error of each augmentation's own VAE."""
    rows = _rows(record)
    own = rows[(rows["params"] == INDEPENDENT) & (rows["quantity"] == "rate")]
    arrays = {
        (str(row.augmentation), int(str(row.seed))): record.run(str(row.run)).read_arrays(*QUANTITIES)
        for row in own.itertuples()
    }
    units = {"mse": ""}
    return [
        Measured(
            quantity, heading, units.get(quantity, "nats"), {k: a[quantity] for k, a in arrays.items()}, front=front
        )
        for (quantity, (heading, _)), front in zip(QUANTITIES.items(), (True, False, False), strict=True)
    ]


def _rows(record: StudyRecord) -> pd.DataFrame:
    return table(row for row in record.rows() if row.section == "vae")


def _lines(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """(augmentation, pair, name) of each measured line of Table 1: the baseline first, then the study's order."""
    measured = dict.fromkeys(zip(rows["augmentation"], rows["params"], strict=True))
    names = {("baseline", SELF): "Baseline, paired with itself", ("baseline", INDEPENDENT): "Baseline, second training"}
    lines = [(*key, name) for key, name in names.items() if key in measured]
    return lines + [(*key, label(key[0])) for key in measured if key not in names]


def _trained(rows: pd.DataFrame) -> list[tuple[str, str, str]]:
    """The lines that stand for a VAE of their own: all but the reference paired with itself."""
    shown = {"baseline": "Baseline"}
    return [(name, pair, shown.get(name, text)) for name, pair, text in _lines(rows) if pair == INDEPENDENT]


def _table_1(rows: pd.DataFrame, printed: PaperValues) -> Table:
    header = ["Augmentation"]
    for heading, _ in QUANTITIES.values():
        header += [heading, "paper"] if printed else [heading]
    body = []
    for augmentation, pair, name in _lines(rows):
        cells, found = [name], {q: of(rows, augmentation, pair, q) for q in QUANTITIES}
        for quantity, lines in found.items():
            cells.append(over_seeds(lines["value"]))
            if printed:
                paper = _printed(printed, augmentation, pair, quantity)
                cells.append(number(paper.value, paper.sd, paper.decimals) if paper else "—")
        body.append((*cells, str(len(found["rate"]))))
    rows = rows[rows["quantity"].isin(list(QUANTITIES))]
    images = ", ".join(f"{n:,}" for n in sorted(set(rows["n"])))
    errors = ", ".join(f"{rows.loc[rows['quantity'] == quantity, 'stderr'].max():.2g}" for quantity in QUANTITIES)
    caption = (
        f"Mean ± standard deviation over training seeds. The standard errors over the {images} test images are another "
        f"matter: at most {errors}. The informations are rates in nats: the first is an upper bound on I(Z_A;X), the "
        "second an upper bound on the information between reconstructions and their re-encoding, which bounds "
        "I(Z_A;Z_X) from neither side. MSE in squared normalised pixels."
    )
    if printed:
        sources = sorted({value.source for values in printed.values() for value in values.values()})
        trials = max(value.trials or 1 for values in printed.values() for value in values.values())
        caption += (
            f" The paper's values: {' and '.join(sources)}, CIFAR-10, 100 epochs, {trials} trials; it prints one FMix, "
            "which stands beside both variants."
        )
    return Table("vae-table-1", "Table 1: what a VAE learned", caption, (*header, "seeds"), tuple(body))


def _printed(printed: PaperValues, augmentation: str, pair: str, quantity: str) -> Printed | None:
    """The paper's value; it pairs a baseline with itself only."""
    if augmentation == "baseline" and pair == INDEPENDENT:
        return None
    return printed.get(augmentation, {}).get(quantity)


def _differences(rows: pd.DataFrame) -> Table:
    compared = {quantity: heading for quantity, heading in COMPARED.items() if quantity in set(rows["quantity"])}
    body = []
    for augmentation, pair, name in _lines(rows):
        if augmentation == "baseline":
            continue
        cells = [name]
        for quantity in compared:
            ours = of(rows, augmentation, pair, quantity).set_index("seed")["value"]
            baseline = of(rows, "baseline", INDEPENDENT, quantity).set_index("seed")["value"]
            cells.append(difference((ours - baseline).dropna()))
        body.append(tuple(cells))
    caption = (
        "Difference to the baseline's second training, which shares each seed's initial weights and order of images: "
        "mean over seeds and its 95% Student t interval, each difference by itself (not corrected for their number). "
        "↑ or ↓ where the interval leaves out zero; with fewer than three seeds one cannot tell."
    )
    header = ("Augmentation", *compared.values())
    return Table("vae-differences", "Differences to the baseline", caption, header, tuple(body))


def _quantities_plot(rows: pd.DataFrame, printed: PaperValues) -> Plot:
    lines = _lines(rows)
    palette = colours(list(dict.fromkeys(rows["augmentation"])))
    with drawing():
        figure = Figure(figsize=(8.6, 0.42 * len(lines) + 1.5), layout="constrained")
        axes = figure.subplots(1, len(QUANTITIES), sharey=True)
        for axis, (quantity, (heading, unit)) in zip(axes, QUANTITIES.items(), strict=True):
            for y, (augmentation, pair, _) in enumerate(lines):
                values = of(rows, augmentation, pair, quantity)["value"]
                colour = palette[augmentation]
                axis.errorbar(values.mean(), y, xerr=sd(values) or 0, fmt="o", color=colour, capsize=3, zorder=3)
                axis.plot(values, np.full(len(values), y + 0.22), "|", color=colour, ms=6, zorder=3)
                paper = _printed(printed, augmentation, pair, quantity)
                if paper is not None:
                    axis.errorbar(
                        paper.value, y - 0.22, xerr=paper.sd, fmt="D", mfc="none", ms=4, color=FAINT, zorder=2
                    )
            axis.set_title(heading)
            axis.set_xlabel(unit)
            axis.grid(axis="x")
        axes[0].set_yticks(range(len(lines)), [short(name, line=24) for _, _, name in lines])
        axes[0].set_ylim(len(lines) - 0.5, -0.6)
    return Plot(
        "vae-quantities",
        "Rates and reconstruction error",
        "Dots: mean over seeds, bars: standard deviation; ticks: single seeds."
        + (" Grey diamonds: the paper's values, after 100 epochs." if printed else ""),
        "Three dot plots, one per quantity, with a line for each augmentation; the numbers are those of Table 1.",
        figure,
    )


def _reconstructions_plot(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    strips: list[tuple[str, np.ndarray]] = []
    for augmentation, pair, name in _trained(rows):
        first = of(rows, augmentation, pair, "mse").iloc[0]  # of the lowest seed that finished
        arrays = record.run(str(first["run"])).read_arrays("images", "reconstructions")
        if not strips:
            strips.append(("Test image", arrays["images"]))
        strips.append((name, arrays["reconstructions"]))
    return Plot(
        "vae-reconstructions",
        "Reconstructions of the same test images",
        "Test images, evenly spaced over the test set, through the first seed's VAE of each augmentation: decode(z), "
        "one z ~ q(z|x).",
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
        for augmentation, pair, name in _trained(rows):
            for count, measured in enumerate(of(rows, augmentation, pair, "rate")["run"]):
                trained = record.run(inputs[measured][1])
                history = pd.DataFrame(trained.read_history("epoch", *panels))
                for axis, (column, unit) in zip(axes, panels.items(), strict=True):
                    _curve(axis, history, column, unit, palette[augmentation], None if count else name)
        name_lines(figure, axes[0])
    return Plot(
        "vae-curves",
        "Training curves",
        "One line per seed. The training loss is measured on augmented images, so its level compares within an "
        "augmentation only; test rate and error are on the first 2,000 real test images (or all, if fewer).",
        "Three line charts over epochs: training loss, test rate and test error of every VAE.",
        figure,
    )


def _curve(axis: Axes, history: pd.DataFrame, column: str, unit: str, colour: str, name: str | None) -> None:
    axis.plot(history["epoch"], history[column], color=colour, lw=1.1, label=name)
    axis.set_xlabel("epoch")
    axis.set_title(unit, color=INK)
    axis.grid(axis="y")
