"""The section's tables and figures, from rows and bins. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from pandas import DataFrame

from ..analysis.interface import PaperValues
from ..analysis.presentation.figures import FAINT, INK, drawing, name_lines
from ..analysis.presentation.names import colours
from ..analysis.presentation.numbers import over_seeds
from ..analysis.presentation.parts import About, Equation, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.store.record import StudyRecord
from . import people_figures
from .config import AS_TRAINED, SCALED, SECTION
from .rows import SYMBOLS, arms_of, error_over_images, quantity_at, rows_of, softness_of, values, with_people

ABOUT = About(
    question="Do a classifier’s probabilities look like people’s, and are they right as often as they say?",
    text=(
        "From the softmax p of each test image and people’s votes c for its classes (n votes, C classes), which give "
        "their probabilities h:",
        Equation(
            "the divergence of people's probabilities h from the model's p, and of p from h; h is smoothed with a "
            "pseudo-votes for each class",
            r"D(h\|p) = \sum_k h_k \log\frac{h_k}{p_k},\quad D(p\|h) = \sum_k p_k \log\frac{p_k}{h_k},\quad "
            r"h_k = \frac{c_k + a}{n + C a}",
            r"D(h || p) = sum_k h_k log h_k / p_k, quad D(p || h) = sum_k p_k log p_k / h_k, quad "
            r"h_k = (c_k + a) / (n + C a)",
        ),
        "Every score stands here as trained and after temperature scaling, with each half of the test images at the "
        "temperature that fits the other half’s labels (scaled), or its people (scaled to people).",
    ),
    caveats=(
        "A network can come closer to people by being softer everywhere, without knowing where they hesitate. That is "
        "what the scaled scores are for.",
        "D(model‖human) is infinite wherever nobody voted for a class to which the network gives a probability: nearly "
        "every image. It depends on the smoothing a, which is why several are given.",
        "Every calibration error here is biased upwards: a calibrated network’s is not zero.",
    ),
)
ENOUGH_IMAGES = 30  # in a bin, for its accuracy to be within 18 points (two standard errors)


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Table 6 with both directions and its order, what softness explains, where people agree, and calibration."""
    rows = rows_of(record)
    labels, rows = _labels(record, rows), with_people(rows)
    if rows.empty:
        return [labels]
    arms = arms_of(rows)
    ordered = [people_figures.orders(record, rows, printed)] if len(arms) > 1 else []
    compared = [people_figures.differences(record, rows)] if len({arm.is_baseline for arm in arms}) == 2 else []
    return [
        people_figures.directions(record, rows, printed),
        *ordered,
        *compared,
        people_figures.at_temperatures(record, rows),
        people_figures.strata(record, rows),
        people_figures.agreement(record, rows),
        labels,
    ]


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Divergence from people against temperature, and reliability diagrams before and after scaling."""
    rows = rows_of(record)
    shown = [_reliability(record, rows)]
    if len(people := with_people(rows)):
        shown.insert(0, people_figures.softness(record, people))
    return shown


def measured(record: StudyRecord) -> list[Measured]:
    """What the front page and the claims compare: D(human‖model), or without people's labels the NLL."""
    rows = rows_of(record)
    quantity, front, figure = (
        ("human_model", "Distance from people", "calibration-softness")
        if len(with_people(rows))
        else ("nll", "Loss on the labels", "calibration-reliability")
    )
    shown = []
    for temperature in softness_of(rows):
        terms = record.terms(SECTION.name, f"{temperature}:{quantity}", quantity=quantity, temperature=temperature)
        name, title = quantity_at(quantity, temperature), SYMBOLS[quantity]
        if temperature == AS_TRAINED:
            shown.append(Measured(name, title, "nats", terms, front=front, figure=figure))
        else:
            shown.append(Measured(name, f"{title}, {temperature}", "nats", terms, figure=figure))
    return shown


def _labels(record: StudyRecord, rows: DataFrame) -> Table:
    quantities: Sequence[tuple[str, str, float]] = (
        ("nll", "NLL", 1),
        ("brier", "Brier", 1),
        ("ece", "ECE (%)", 100),
        ("adaptive_ece", "adaptive ECE (%)", 100),
        ("smooth_ece", "smooth ECE (%)", 100),
        ("classwise_ece", "classwise ECE (%)", 100),
    )
    body = []
    for arm in arms_of(rows):
        for temperature in softness_of(rows):
            temperatures = values(rows, arm, "temperature", temperature)
            fitted = over_seeds(temperatures) if len(temperatures) else "none fits"
            cells = (over_seeds(factor * values(rows, arm, q, temperature)) for q, _, factor in quantities)
            name = f"{record.label(arm)}, {temperature}"
            body.append((name, "1" if temperature == AS_TRAINED else fitted, *cells))
    caption = (
        f"Mean ± standard deviation over training seeds; {error_over_images(rows, 'nll')} T: the temperature "
        "fitted on labels, or on people (above 1: the network was too sure for them). NLL in nats; Brier: "
        "Σ (p − label)²; ECE over bins of equal width, adaptive ECE of equal numbers of images, smooth ECE without "
        "bins; classwise ECE: the mean over classes of the ECE of each one's probability."
    )
    if with_people(rows).empty:
        caption += " There are no human labels for this data set, so agreement with people is left out."
        if record.settings["data"] == "cifar10":
            caption += " `mixlens data cifar10h --fetch` brings CIFAR-10's."
    header = ("Augmentation", "T", *(heading for _, heading, _ in quantities))
    return Table("calibration-labels", "Calibration against the labels", caption, header, tuple(body))


def _reliability(record: StudyRecord, rows: DataFrame) -> Plot:
    arms = arms_of(rows)
    palette = colours(arms)
    with drawing():
        figure = Figure(figsize=(8.6, 3.9), layout="constrained")
        axes: np.ndarray = figure.subplots(1, 2, sharey=True)
        for axis, temperature in zip(axes, (AS_TRAINED, SCALED), strict=True):
            axis.plot([0, 1], [0, 1], color=FAINT, lw=0.8)
            for arm in arms:
                chosen = rows[(rows["arm"] == arm) & (rows["quantity"] == "nll") & (rows["temperature"] == temperature)]
                for count, run in enumerate(dict.fromkeys(chosen["run"])):
                    keys = [f"{temperature}:{part}" for part in ("confidence", "accuracy", "count")]
                    arrays = record.run(run).read_arrays(*keys)
                    confidence, accuracy, images = (arrays[key] for key in keys)
                    enough, few = images >= ENOUGH_IMAGES, (images > 0) & (images < ENOUGH_IMAGES)
                    style, name = {"color": palette[arm], "ms": 2.5}, None if count else record.label(arm)
                    axis.plot(confidence[enough], accuracy[enough], "o-", lw=1.1, label=name, **style)
                    if few.any():
                        axis.plot(confidence[few], accuracy[few], "o", mfc="none", alpha=0.4, **style)
            axis.set_title(temperature, color=INK)
            axis.set_xlabel("confidence")
            axis.set_xlim(0, 1)
            axis.set_ylim(0, 1)
            axis.grid(axis="both")
        axes[0].set_ylabel("accuracy")
        name_lines(figure, axes[0])
    return Plot(
        "calibration-reliability",
        "Reliability",
        "Accuracy against mean confidence in bins of equal width; one line a seed; the diagonal is perfect "
        "calibration. Left: as trained; right: after temperature scaling. Bins of fewer than "
        f"{ENOUGH_IMAGES} images are hollow and faint, and no line leads to them.",
        "Two reliability diagrams, before and after temperature scaling, with a line for each network.",
        figure,
    )
