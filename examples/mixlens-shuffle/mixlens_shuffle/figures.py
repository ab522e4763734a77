"""The section's table, figure and answer, from rows and bits. Imports no torch."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from mixlens.analysis.interface import PaperValues
from mixlens.analysis.presentation.figures import INK, drawing
from mixlens.analysis.presentation.names import colours
from mixlens.analysis.presentation.numbers import over_seeds
from mixlens.analysis.presentation.parts import About, Equation, Plot, Table
from mixlens.analysis.statistics.effect import Measured
from mixlens.analysis.store.record import StudyRecord

ABOUT = About(
    question="How much of a classifier’s answer is in the parts of an image?",
    text=(
        "Each test image is cut into g × g tiles, which are dealt anew by a permutation π of the image’s own:",
        Equation(
            "accuracy at grid g: the fraction of the N images that are classified correctly after their tiles are "
            "shuffled",
            r"\mathrm{accuracy}(g) = \frac{1}{N}\,\big|\{i : f(\pi_i(x_i)) = y_i\}\big|",
            '"accuracy"(g) = 1/N |{i : f(pi_i (x_i)) = y_i}|',
        ),
    ),
    caveats=("Borders between tiles are edges that no training image has: part of the loss is theirs.",),
)


def tables(record: StudyRecord, printed: PaperValues) -> Sequence[Table]:
    rows = record.table("shuffle")
    grids = sorted(set(rows["grid"]))
    body = []
    for arm in dict.fromkeys(rows["arm"]):
        by_grid = {grid: 100 * values for grid, values in rows[rows["arm"] == arm].groupby("grid")["value"]}
        body.append((record.label(arm), *(over_seeds(by_grid.get(grid, pd.Series())) for grid in grids)))
    caption = (
        f"Accuracy in percent on {rows['n'].max():,} test images, mean ± standard deviation over training seeds; the "
        f"standard error over images is at most {100 * rows['stderr'].max():.2g} points."
    )
    header = ("Augmentation", *(f"{grid} × {grid}" for grid in grids))
    return [Table("shuffle-accuracy", "Accuracy on shuffled tiles", caption, header, tuple(body))]


def plots(record: StudyRecord, printed: PaperValues) -> Sequence[Plot]:
    rows = record.table("shuffle")
    arms = list(dict.fromkeys(rows["arm"]))
    palette = colours(arms)
    with drawing():
        figure = Figure(figsize=(5.0, 3.0), layout="constrained")
        axis = figure.subplots()
        for arm in arms:
            values = rows[rows["arm"] == arm].groupby("grid")["value"]
            mean, spread = 100 * values.mean(), 100 * values.std(ddof=1).fillna(0)
            axis.errorbar(mean.index, mean, spread, color=palette[arm], lw=1.3, capsize=2, label=record.label(arm))
        grids = sorted(set(rows["grid"]))
        axis.set_xscale("log", base=2)
        axis.set_xticks(grids, map(str, grids))
        axis.set_xlabel("tiles per side")
        axis.set_ylabel("accuracy (%)", color=INK)
        axis.grid(axis="y")
        figure.legend(*axis.get_legend_handles_labels(), loc="outside right upper")
    return [
        Plot(
            "shuffle-curves",
            "Accuracy against the number of tiles",
            "Mean over training seeds; bars are their standard deviation.",
            "A line chart: accuracy of each augmentation over tiles per side.",
            figure,
        )
    ]


def measured(record: StudyRecord) -> Sequence[Measured]:
    """What the front page compares: the middle grid, between whole images and dust."""
    grids = sorted(set(record.table("shuffle")["grid"]))
    grid = grids[len(grids) // 2]
    title = f"Accuracy on {grid} × {grid} shuffled tiles"
    right = record.terms("shuffle", f"right:{grid}", grid=grid)  # of each image, by augmentation and seed
    return [Measured("shuffled_accuracy", title, "%", right, 100, front="Answer in the parts", figure="shuffle-curves")]
