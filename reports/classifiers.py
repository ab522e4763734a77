"""Tables and figures of the classifiers themselves: test accuracy (Table 2) and training curves. Imports no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.comparison import Measured, baseline_of, difference, over_seeds
from ..analysis.interface import PaperValues
from ..analysis.store.record import StudyRecord
from ..analysis.store.results import table
from ..analysis.style import INK, About, Equation, Plot, Table, colours, drawing, label, name_lines, number

ABOUT = About(
    question="How well do classifiers trained on augmented images classify?",
    text=(
        "Each classifier is trained on mixed images and the soft labels that go with them, and measured on real test "
        "images:",
        Equation(
            "loss: the cross entropy against the mixed label of the mixed image; both are weighted by the mask's mean "
            "lambda",
            r"\mathrm{loss} = -\sum_c \tilde y_c \log p_c(\tilde x),\quad "
            r"\tilde x = m \odot x_1 + (1-m) \odot x_2,\quad \tilde y = \lambda y_1 + (1-\lambda) y_2",
            r'"loss" = - sum_c tilde(y)_c log p_c (tilde(x)), quad '
            r"tilde(x) = m dot.o x_1 + (1 - m) dot.o x_2, quad tilde(y) = lambda y_1 + (1 - lambda) y_2",
        ),
        "The other sections ask what these same networks have learned.",
    ),
    caveats=("An order of augmentations holds for the network and schedule it was measured with, and no further.",),
)
PANELS = {"train_loss": "training loss (nats)", "test_nll": "test loss (nats)", "test_accuracy": "test accuracy"}


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Test accuracy beside the paper's, and the difference to the baseline of the same seed."""
    rows = table(row for row in record.rows() if row.section == "classifier")
    shown = set(rows["augmentation"])
    printed = {augmentation: values for augmentation, values in printed.items() if augmentation in shown}
    body = []
    for augmentation in dict.fromkeys(rows["augmentation"]):
        accuracy, nll = 100 * _values(rows, augmentation, "accuracy"), _values(rows, augmentation, "nll")
        cells = [label(augmentation), over_seeds(accuracy)]
        if printed:
            paper = printed.get(augmentation, {}).get("accuracy")
            cells.append(number(paper.value, paper.sd, paper.decimals) if paper else "—")
        baseline = baseline_of(augmentation)
        differences = (accuracy - 100 * _values(rows, baseline, "accuracy")).dropna()
        cells.append("—" if augmentation == baseline else difference(differences))
        body.append((*cells, over_seeds(nll), str(len(accuracy))))
    error = 100 * rows.loc[rows["quantity"] == "accuracy", "stderr"].max()
    images = " and ".join(f"{n:,}" for n in sorted(set(rows["n"])))
    caption = (
        f"Accuracy in percent on {images} test images, mean ± standard deviation over training seeds; the standard "
        f"error over images is at most {error:.2f} points. Differences are to the baseline {_partner(record)}, with a "
        "95% Student t interval over seeds. NLL: mean cross entropy in nats."
    )
    if printed:
        sources = sorted({value.source for values in printed.values() for value in values.values()})
        caption += f" The paper's: {' and '.join(sources)}, 200 epochs at width 64; it prints one FMix."
    header = ("Augmentation", "Accuracy (%)", *(["paper"] if printed else []), "to the baseline", "NLL", "seeds")
    return [Table("classifier-accuracy", "Test accuracy", caption, header, tuple(body))]


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Training curves, of classifiers that were trained here."""
    rows = table(row for row in record.rows() if row.section == "classifier")
    inputs = {task.name: task.inputs for task in record.tasks}
    kinds = {task.name: task.kind for task in record.tasks}
    accuracy = rows[rows["quantity"] == "accuracy"]
    palette = colours(list(dict.fromkeys(rows["augmentation"])))
    seen: set[str] = set()
    with drawing():
        figure = Figure(figsize=(8.6, 2.8), layout="constrained")
        axes: np.ndarray = figure.subplots(1, len(PANELS))
        for measured in accuracy.itertuples():
            (trained,) = inputs[str(measured.run)]
            if kinds[trained] != "classifier-train":
                continue
            history = pd.DataFrame(record.run(trained).read_history("epoch", *PANELS))
            name = str(measured.augmentation)
            for axis, (column, unit) in zip(axes, PANELS.items(), strict=True):
                own = None if name in seen else label(name)
                axis.plot(history["epoch"], history[column], color=palette[name], lw=1.1, label=own)
                axis.set_xlabel("epoch")
                axis.set_title(unit, color=INK)
                axis.grid(axis="y")
            seen.add(name)
        if not seen:
            return []
        name_lines(figure, axes[0])
    return [
        Plot(
            "classifier-curves",
            "Training curves of the classifiers",
            "One line per seed. The training loss is measured on augmented images and soft labels, so its level "
            "compares within an augmentation only; test loss and accuracy are on the first 2,000 test images (or all, "
            "if fewer).",
            "Three line charts over epochs: training loss, test loss and test accuracy of every classifier.",
            figure,
        )
    ]


def measured(record: StudyRecord) -> list[Measured]:
    """What the front page and the claims compare: test accuracy."""
    rows = table(row for row in record.rows() if row.section == "classifier" and row.quantity == "accuracy")
    terms = {
        (str(row.augmentation), int(str(row.seed))): record.run(str(row.run)).read_arrays("accuracy")["accuracy"]
        for row in rows.itertuples()
    }
    return [Measured("accuracy", "Test accuracy", "%", terms, factor=100, front="Accuracy", figure="classifier-curves")]


def _partner(record: StudyRecord) -> str:
    """Networks that were brought along share nothing but their place in the list."""
    brought = any(task.kind == "classifier-load" for task in record.tasks)
    return "named in the same place" if brought else "of the same seed"


def _values(rows: pd.DataFrame, augmentation: str, quantity: str) -> pd.Series:
    own = rows[(rows["augmentation"] == augmentation) & (rows["quantity"] == quantity)]
    return own.set_index("seed")["value"]
