"""The section's table, figure and answer, from rows and bits. Imports no torch."""

import json
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from mixlens.analysis.comparison import Measured, sd
from mixlens.analysis.interface import PaperValues
from mixlens.analysis.store.record import StudyRecord
from mixlens.analysis.store.results import table
from mixlens.analysis.style import INK, About, Equation, Plot, Table, colours, drawing, label, number

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
    rows = _rows(record)
    grids = sorted(set(rows["grid"]))
    body = []
    for name in dict.fromkeys(rows["augmentation"]):
        means = [100 * _values(rows, name, grid) for grid in grids]
        body.append((label(name), *(number(values.mean(), sd(values)) for values in means)))
    caption = (
        f"Accuracy in percent on {rows['n'].max():,} test images, mean ± standard deviation over training seeds; the "
        f"standard error over images is at most {100 * rows['stderr'].max():.2g} points."
    )
    header = ("Augmentation", *(f"{grid} × {grid}" for grid in grids))
    return [Table("shuffle-accuracy", "Accuracy on shuffled tiles", caption, header, tuple(body))]


def plots(record: StudyRecord, printed: PaperValues) -> Sequence[Plot]:
    rows = _rows(record)
    names = list(dict.fromkeys(rows["augmentation"]))
    palette = colours(names)
    with drawing():
        figure = Figure(figsize=(5.0, 3.0), layout="constrained")
        axis = figure.subplots()
        for name in names:
            own = rows[rows["augmentation"] == name].groupby("grid")["value"]
            mean, spread = 100 * own.mean(), 100 * own.std(ddof=1).fillna(0)
            axis.errorbar(mean.index, mean, spread, color=palette[name], lw=1.3, capsize=2, label=label(name))
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
    rows = _rows(record)
    grids = sorted(set(rows["grid"]))
    grid = grids[len(grids) // 2]
    terms = {
        (str(row.augmentation), int(str(row.seed))): record.run(str(row.run)).read_arrays(f"right:{grid}")[
            f"right:{grid}"
        ]
        for row in rows[rows["grid"] == grid].itertuples()
    }
    title = f"Accuracy on {grid} × {grid} shuffled tiles"
    answer = Measured("shuffled_accuracy", title, "%", terms, 100, front="Answer in the parts", figure="shuffle-curves")
    return [answer]


def _rows(record: StudyRecord) -> pd.DataFrame:
    rows = table(row for row in record.rows() if row.section == "shuffle")
    return rows.assign(grid=rows["params"].map(lambda text: json.loads(text)["grid"]))


def _values(rows: pd.DataFrame, augmentation: str, grid: int) -> pd.Series:
    own = rows[(rows["augmentation"] == augmentation) & (rows["grid"] == grid)]
    return own.set_index("seed")["value"]
