"""Tables and figures of the classifiers themselves: test accuracy (Table 2) and training curves. Imports no torch."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.interface import Arm, PaperValues
from ..analysis.presentation.figures import INK, drawing, name_lines, over_epochs
from ..analysis.presentation.names import colours, label
from ..analysis.presentation.numbers import change, column
from ..analysis.presentation.parts import About, Equation, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.store.record import StudyRecord
from .config import SECTION
from .heads_figures import heads_table, over_folds
from .rows import columns_table, of_head, printed_cells, shares, told, values_of

ABOUT = About(
    question="How well do classifiers trained on augmented images classify?",
    text=(
        "Each classifier is trained on mixed images and both labels of each, and measured on real test images:",
        Equation(
            "loss: the cross entropies of the mixed image against both of its labels, weighted by the mask's mean, "
            "lambda",
            r"\mathrm{loss} = -\lambda \log p_{y_1}(\tilde x) - (1-\lambda) \log p_{y_2}(\tilde x),\quad "
            r"\tilde x = m \odot x_1 + (1-m) \odot x_2",
            r'"loss" = - lambda log p_(y_1) (tilde(x)) - (1 - lambda) log p_(y_2) (tilde(x)), quad '
            r"tilde(x) = m dot.o x_1 + (1 - m) dot.o x_2",
        ),
        "The other sections ask what these same networks have learned.",
    ),
    caveats=("An order of augmentations holds for the network and schedule it was measured with, and no further.",),
)
TOP5 = "accuracy_top5"
MEDIAN = "accuracy_median"
OTHER, OTHER_TOP5 = "other_accuracy", "other_accuracy_top5"  # on other images than the test split, by their set
PANELS = {"train_loss": "training loss (nats)", "test_loss": "test loss (nats)", "test_accuracy": "test accuracy"}


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Test accuracy beside the paper's, and the difference to the baseline of the same seed."""
    rows = record.table(SECTION.name)
    others, rows = (rows[rows["quantity"].isin((OTHER, OTHER_TOP5)) == which] for which in (True, False))
    rows, of_heads = (rows[rows["head"].isna()], rows.dropna(subset=["head"])) if "head" in rows else (rows, rows[:0])
    shown = {*rows["augmentation"], *rows["arm"]}
    printed = {key: values for key, values in printed.items() if key in shown}
    arms = list(dict.fromkeys(rows["arm"]))
    has_top = bool((rows["quantity"] == TOP5).any())
    columns = {"Augmentation": [record.label(arm) for arm in arms], "Accuracy (%)": shares(rows, arms, "accuracy")}
    if any("accuracy" in values for values in printed.values()):
        columns["paper"] = printed_cells(printed, arms, "accuracy")
    columns["to the baseline"] = [
        "—" if arm.is_baseline else change(record.family.of(SECTION.name, "accuracy", arm)) for arm in arms
    ]
    sets = told(others, "set")
    more = [("top-5 (%)", TOP5, TOP5, rows)] if has_top else []
    has_median = bool((rows["quantity"] == MEDIAN).any())
    more += [("median (%)", MEDIAN, MEDIAN, rows)] if has_median else []
    for name in sets:
        own = others[others["set"] == name]
        for title, quantity in ((f"{name} (%)", OTHER), (f"{name}, top-5 (%)", OTHER_TOP5)):
            if (own["quantity"] == quantity).any():
                more.append((title, quantity, f"{quantity}:{name}", own))
    for title, quantity, key, own in more:
        columns[title] = shares(own, arms, quantity)
        if any(key in values for values in printed.values()):
            columns[f"paper, {title.removesuffix(' (%)')}"] = printed_cells(printed, arms, key)
    columns["NLL"] = list(column([values_of(rows, arm, "nll") for arm in arms]))
    columns["seeds"] = [str(len(values_of(rows, arm, "accuracy"))) for arm in arms]
    error = 100 * rows.loc[rows["quantity"] == "accuracy", "stderr"].max()
    images = " and ".join(f"{n:,}" for n in sorted(set(rows["n"])))
    caption = (
        f"Accuracy in percent on {images} test images, mean ± standard deviation over training seeds, or of a single "
        f"network Wilson’s 95% interval over images; the standard error over images is at most {error:.2f} points. "
        f"Differences are to the baseline {_partner(record)}, judged as the summary says. NLL: mean cross entropy in "
        "nats."
    )
    if len(of_heads):
        caption += " An image is right where each of its labels is; its NLL is the sum of theirs."
    if has_top:
        caption += " Top-5: the label is among the five likeliest."
    if has_median:
        caption += f" Median: {rows.loc[rows['quantity'] == MEDIAN, 'note'].iloc[0]}, mean ± deviation over seeds."
    for name in sets:
        count = int(others.loc[others["set"] == name, "n"].iloc[0])
        caption += f" {name}: on its {count:,} images, the largest logit among the classes that it is of."
    if printed:
        caption += f" {_sources(printed)}"
    found = [columns_table("classifier-accuracy", "Test accuracy", caption, columns)]
    if len(rows[["dataset", "model"]].drop_duplicates()) > 1:
        found.insert(0, _side_by_side(rows, printed))
    if len(of_heads):
        found.append(heads_table(record, rows, of_heads, printed))
    return [*found, *over_folds(record, printed)]


def _side_by_side(rows: pd.DataFrame, printed: PaperValues) -> Table:
    """Several data sets or networks as the paper's Table 2 has them: a line each, its own below, augmentations across.

    Studies that differ in something else as well, such as their epochs, have a line each.
    """
    mixes = list(dict.fromkeys(rows["augmentation"]))
    lines = list(dict.fromkeys(zip(rows["dataset"], rows["model"], (arm.study for arm in rows["arm"]), strict=True)))
    body = []
    for dataset, model, study in lines:
        arms = [Arm(study, name) for name in mixes]
        own = rows[(rows["dataset"] == dataset) & (rows["model"] == model)]
        body.append((dataset, model, "here", *shares(own, arms, "accuracy")))
        paper = printed_cells(printed, arms, "accuracy")
        if set(paper) != {"—"}:
            body.append(("", "", "paper", *paper))
    return Table(
        "classifier-side-by-side",
        "Test accuracy by data set and network (Table 2)",
        "Accuracy in percent, mean ± standard deviation over training seeds, or of a single network Wilson’s 95% "
        "interval over images; below it what the paper prints of that network on that data at its own width and "
        "schedule. What differs from each line’s baseline stands in the next table.",
        ("Data", "Network", "", *map(label, mixes)),
        tuple(body),
    )


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Training curves, of classifiers that were trained here."""
    rows = record.table(SECTION.name)
    inputs = {task.name: task.inputs for task in record.tasks}
    kinds = {task.name: task.kind for task in record.tasks}
    palette = colours(list(dict.fromkeys(rows["arm"])))
    seen: set[Arm] = set()
    with drawing():
        figure = Figure(figsize=(8.6, 2.8), layout="constrained")
        axes: np.ndarray = figure.subplots(1, len(PANELS))
        measurements = rows.drop_duplicates("run")
        for arm, measurement in zip(measurements["arm"], measurements["run"], strict=True):
            (trained,) = inputs[measurement]
            if kinds[trained] != "classifier-train":
                continue
            history = pd.DataFrame(record.run(trained).read_history("epoch", *PANELS))
            for axis, (column, unit) in zip(axes, PANELS.items(), strict=True):
                name = None if arm in seen else record.label(arm)
                over_epochs(axis, history["epoch"], history[column], color=palette[arm], label=name)
                axis.set_title(unit, color=INK)
                axis.grid(axis="y")
            seen.add(arm)
        if not seen:
            return []
        name_lines(figure, axes[0])
    return [
        Plot(
            "classifier-curves",
            "Training curves of the classifiers",
            "One line per seed. The training loss is measured on augmented images and soft labels, so its level "
            "compares within an augmentation only; test loss and accuracy are on 2,000 test images, evenly spaced "
            "(or all, if fewer).",
            "Three line charts over epochs: training loss, test loss and test accuracy of every classifier.",
            figure,
        )
    ]


def measured(record: StudyRecord) -> list[Measured]:
    """What the front page and the claims compare: test accuracy, of whole labels where there are several heads.

    The claims alone: each head's, and that on other images.
    """
    terms = record.terms(SECTION.name, "accuracy")
    whole = Measured("accuracy", "Test accuracy", "%", terms, factor=100, front="Accuracy", figure="classifier-curves")
    rows = record.table(SECTION.name)
    more = [
        *((of_head(head), f"Test accuracy, {head}", {"head": head}) for head in told(rows, "head")),
        *((f"{OTHER}:{name}", f"Accuracy on {name}", {"set": name}) for name in told(rows, "set")),
    ]
    medians = rows[rows["quantity"] == MEDIAN]
    each = zip(medians["arm"], medians["seed"], medians["value"], strict=True)
    last = {(arm, int(seed)): np.array([value]) for arm, seed, value in each}
    median = [Measured(MEDIAN, "Median test accuracy of the last epochs", "%", last, factor=100)] if last else []
    return [whole, *median] + [
        Measured(quantity, title, "%", record.terms(SECTION.name, quantity, **params), factor=100)
        for quantity, title, params in more
    ]


def _sources(printed: PaperValues) -> str:
    """Where the paper's values stand, and of which training."""
    sources = sorted({value.source for values in printed.values() for value in values.values()})
    return f"The paper's: {'; '.join(sources)}. It prints one FMix."


def _partner(record: StudyRecord) -> str:
    """Networks that were brought along share nothing but their place in the list."""
    brought = any(task.kind == "classifier-load" for task in record.tasks)
    return "named in the same place" if brought else "of the same seed"
