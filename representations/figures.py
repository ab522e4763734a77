"""The section's tables and figures, from rows. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.interface import Arm, PaperValues
from ..analysis.presentation.figures import FAINT, INK, drawing, name_lines
from ..analysis.presentation.names import colours
from ..analysis.presentation.numbers import over_seeds
from ..analysis.presentation.parts import About, Equation, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.statistics.seeds import sd
from ..analysis.store.record import StudyRecord
from .config import SECTION

ABOUT = About(
    question="What do a network’s layers know of the image and of its label, and does an augmentation change that?",
    text=(
        "A layer is a function of the image, so that the information it has about the image is infinite. What is "
        "bounded here is that of its pooled coordinates under noise of a stated size, from below and from above, with "
        "q known; and from below what a linear probe finds of the label:",
        Equation(
            "T prime: the layer's coordinates t of image X with Gaussian noise; information about the image between "
            "InfoNCE and the rate against any r; information about the label at least the labels' entropy less the "
            "probe's cross entropy",
            r"T' = t(X) + \mathcal{N}(0, \sigma^2 I),\quad \mathbb{E} \log \frac{q(t'_i|x_i)}{\frac{1}{N} \sum_j "
            r"q(t'_i|x_j)} \le I(T'; X) \le \mathbb{E}\, D(q(t'|x)\|r),\quad I(T; Y) \ge H(Y) + \mathbb{E} \log p(y|t)",
            r"T' = t(X) + cal(N)(0, sigma^2 I), quad EE log (q(t'_i|x_i)) / (1/N sum_j q(t'_i|x_j)) <= I(T'; X) <= "
            r"EE D(q(t'|x) || r), quad I(T; Y) >= H(Y) + EE log p(y|t)",
        ),
        "Two networks’ features of the same images are compared by linear CKA, from unbiased estimates of HSIC:",
        Equation(
            "CKA: HSIC of X and Y over the geometric mean of each one's with itself",
            r"\mathrm{CKA}(X, Y) = \frac{\mathrm{HSIC}(X, Y)}{\sqrt{\mathrm{HSIC}(X, X)\, \mathrm{HSIC}(Y, Y)}}",
            r'"CKA"(X, Y) = "HSIC"(X, Y) / sqrt("HSIC"(X, X) "HSIC"(Y, Y))',
        ),
        "Affinity of an augmentation: the baseline’s accuracy on test images that it made, less that on the images "
        "themselves. Diversity: the loss of the network trained with it on training images that it makes.",
    ),
    caveats=(
        "Information about the image is that of the noisy coordinates, and goes to infinity with less noise: levels "
        "compare at one noise, and tell over how many directions images are spread, not what later layers could use: "
        "these see T without noise.",
        "A lower bound that is higher is no proof of more information: a probe may read one network more easily.",
        "Networks of one seed share their first weights and the order of their images, which raises their CKA; the "
        "reference, two baselines, shares neither. CKA follows the few directions of largest variance.",
        "Accuracy on mixed images counts the label of larger weight. Diversity cannot fall below the entropy of the "
        "mixed labels, which stands beside it, so that a large one need not mean images that are hard to fit.",
    ),
)
BOUNDS = {  # of I(T'; X): quantity → side and name
    "infonce": ("≥", "InfoNCE"),
    "leave_one_out": ("≤", "leave-one-out"),
    "rate_gaussian": ("≤", "rate, Gaussian"),
    "rate_mixture": ("≤", "rate, mixture"),
}


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """Bounds on information layer by layer; similarity to the baseline; affinity and diversity."""
    rows = _rows(record)
    compared = [_similarity(record, rows)] if _has(rows, "cka") else []
    augmented = [_augmented(record, rows)] if _has(rows, "diversity") else []
    return [_labels(record, rows), _images(record, rows), *compared, *augmented]


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Information with depth; similarity with depth; affinity against diversity."""
    rows = _rows(record)
    compared = [_similarity_plot(record, rows)] if _has(rows, "cka") else []
    both = _has(rows, "affinity") and _has(rows, "diversity")
    return [_depth(record, rows), *compared, *([_scatter(record, rows)] if both else [])]


def measured(record: StudyRecord) -> list[Measured]:
    """The probe's bound and the least upper bound at each layer. One stands on the front page if asked."""
    rows = _rows(record)
    front, shown = record.settings.get(SECTION.name, {}).get("front"), []
    for layer in _layers(rows):
        terms = record.terms(SECTION.name, f"label_information:{layer}", quantity="label_information")
        title = f"I(T;Y) at {layer}, lower bound"
        heading = f"Lower bound on I(T;Y) at {layer}" if layer == front else ""
        figure = "representations-depth"
        shown.append(Measured(f"label_information:{layer}", title, "nats", terms, front=heading, figure=figure))
    for noise in _noises(rows):
        for layer in _layers(rows):
            terms = record.terms(SECTION.name, f"rate_mixture:{noise:g}:{layer}", quantity="rate_mixture")
            name, title = f"rate_mixture:{noise:g}:{layer}", f"I(T′;X) at {layer}, noise {noise:g}, upper bound"
            shown.append(Measured(name, title, "nats", terms, figure="representations-depth"))
    return shown


def _rows(record: StudyRecord) -> pd.DataFrame:
    rows = record.table(SECTION.name)
    return rows.assign(**{name: np.nan for name in ("noise", "layer", "other_seed") if name not in rows})


def _has(rows: pd.DataFrame, quantity: str) -> bool:
    return bool((rows["quantity"] == quantity).any())


def _unique(values: pd.Series) -> list[Any]:
    return list(dict.fromkeys(values.dropna()))


def _layers(rows: pd.DataFrame) -> list[str]:
    return _unique(rows.loc[rows["quantity"] == "label_information", "layer"])


def _noises(rows: pd.DataFrame) -> list[float]:
    return _unique(rows["noise"])


def _chosen(rows: pd.DataFrame, arm: Arm, quantity: str, **where: Any) -> pd.DataFrame:
    rows = rows[(rows["arm"] == arm) & (rows["quantity"] == quantity)]
    for column, value in where.items():
        rows = rows[rows[column] == value]
    return rows


def _values(rows: pd.DataFrame, arm: Arm, quantity: str, **where: Any) -> pd.Series:
    """One value a seed."""
    return _chosen(rows, arm, quantity, **where).set_index("seed")["value"]


def _labels(record: StudyRecord, rows: pd.DataFrame) -> Table:
    chosen, layers = rows[rows["quantity"] == "label_information"], _layers(rows)
    body = []
    for arm in _unique(rows["arm"]):
        cells = (over_seeds(_values(rows, arm, "label_information", layer=layer)) for layer in layers)
        body.append((record.label(arm), *cells))
    caption = (
        "Lower bound on I(T;Y) in nats by a linear probe, mean ± standard deviation over training seeds, on "
        f"{_listed(chosen['n'])} test images, over which the standard error is at most {chosen['stderr'].max():.2g}. "
        f"It cannot exceed H(Y) = {chosen['ceiling'].max():.2f}."
    )
    return Table(
        "representations-label", "Information about the label", caption, ("Augmentation", *layers), tuple(body)
    )


def _images(record: StudyRecord, rows: pd.DataFrame) -> Table:
    body = []
    for noise in _noises(rows):
        for layer in _layers(rows):
            for arm in _unique(rows["arm"]):
                cells = []
                for quantity in BOUNDS:
                    chosen = _chosen(rows, arm, quantity, layer=layer, noise=noise)
                    cells.append(over_seeds(chosen["value"]) + (" †" if chosen["saturated"].any() else ""))
                body.append((f"{record.label(arm)}, {layer}, noise {noise:g}", *cells))
    header = ("Augmentation, layer", *(f"{sign} {name}" for sign, name in BOUNDS.values()))
    caption = (
        "I(T′;X) in nats, at least (≥) and at most (≤), mean ± standard deviation over training seeds. Noise in units "
        "of the images’ RMS distance from the layer’s mean, on "
        f"{_listed(rows['dimensions'].dropna())} principal components; InfoNCE cannot exceed log N = "
        f"{rows.loc[rows['quantity'] == 'infonce', 'ceiling'].max():.2f}."
    )
    if rows["saturated"].any():
        caption += " † saturated: set by the number of images, not by the information; more noise or images help."
    return Table("representations-image", "Information about the image", caption, header, tuple(body))


def _listed(numbers: pd.Series) -> str:
    return ", ".join(f"{n:,}" for n in sorted({int(n) for n in numbers}))


def _similarity(record: StudyRecord, rows: pd.DataFrame) -> Table:
    body = []
    for arm in _compared(rows):
        for quantity, name in (("cka", "debiased"), ("cka_biased", "biased")):
            cells = (over_seeds(_values(rows, arm, quantity, layer=layer)) for layer in _layers(rows))
            body.append((f"{_other(record, arm)}, {name}", *cells))
    chosen = rows[rows["quantity"] == "cka"]
    error = f" The jackknife's standard error over images is at most {chosen['stderr'].max():.2g}."
    caption = (
        f"Linear CKA with the baseline, over {_listed(chosen['n'])} test images, mean ± standard deviation over pairs "
        "of networks: an augmentation with the baseline of its seed, and two baselines of different seeds as what "
        f"another training alone changes.{error if chosen['stderr'].notna().any() else ''} Debiased: of unbiased HSIC; "
        "biased: Kornblith et al. 2019."
    )
    return Table(
        "representations-similarity", "Similarity to the baseline", caption, ("Network", *_layers(rows)), tuple(body)
    )


def _compared(rows: pd.DataFrame) -> list[Arm]:
    return _unique(rows.loc[rows["quantity"] == "cka", "arm"])


def _other(record: StudyRecord, arm: Arm) -> str:
    return f"{record.label(arm)}, another seed" if arm.is_baseline else record.label(arm)


def _augmented(record: StudyRecord, rows: pd.DataFrame) -> Table:
    quantities = (("affinity", 100), ("affinity_loss", 1), ("diversity", 1), ("label_entropy", 1))
    body = []
    for arm in _unique(rows.loc[rows["quantity"] == "diversity", "arm"]):
        cells = (over_seeds(factor * _values(rows, arm, quantity)) for quantity, factor in quantities)
        body.append((record.label(arm), *cells, over_seeds(_ratios(rows, arm))))
    return Table(
        "representations-augmented",
        "Affinity and diversity",
        "Mean ± standard deviation over training seeds. Affinity: the baseline’s accuracy on mixed test images (the "
        "label of larger weight counts) less that on clean ones, in points, and its cross entropy (both labels) less "
        "that on clean ones. Diversity: cross entropy of the network trained with the augmentation, in eval mode on "
        "freshly augmented training images; at least the entropy of its labels; and its ratio to the baseline’s of "
        "the same seed.",
        (
            "Augmentation",
            "affinity (points)",
            "affinity (nats)",
            "diversity (nats)",
            "label entropy (nats)",
            "diversity, ratio",
        ),
        tuple(body),
    )


def _ratios(rows: pd.DataFrame, arm: Arm) -> pd.Series:
    return (_values(rows, arm, "diversity") / _values(rows, arm.baseline, "diversity")).dropna()


def _depth(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    arms, layers, noises = _unique(rows["arm"]), _layers(rows), _noises(rows)
    palette = colours(arms)
    with drawing():
        figure = Figure(figsize=(3.1 * (1 + len(noises)), 3.0), layout="constrained")
        axes: Sequence[Axes] = figure.subplots(1, 1 + len(noises), squeeze=False)[0]
        for arm in arms:
            _line(axes[0], rows, arm, "label_information", layers, color=palette[arm], label=record.label(arm))
            for axis, noise in zip(axes[1:], noises, strict=True):
                _line(axis, rows, arm, "infonce", layers, noise=noise, color=palette[arm])
                _line(axis, rows, arm, "rate_mixture", layers, noise=noise, color=palette[arm], linestyle="--")
        for axis, noise in zip(axes[1:], noises, strict=True):
            ceiling = rows.loc[rows["quantity"] == "infonce", "ceiling"].max()
            axis.axhline(ceiling, color=FAINT, lw=0.8, ls=":")
            axis.set_title(f"about the image, noise {noise:g}", color=INK)
        axes[0].axhline(rows.loc[rows["quantity"] == "label_information", "ceiling"].max(), color=FAINT, lw=0.8, ls=":")
        axes[0].set_title("about the label, at least", color=INK)
        axes[0].set_ylabel("nats")
        for axis in axes:
            _name_layers(axis, layers)
        name_lines(figure, axes[0])
    return Plot(
        "representations-depth",
        "Information with depth",
        "Mean over seeds ± standard deviation. Left: the probe’s lower bound on I(T;Y), below H(Y) (dotted). Then "
        "I(T′;X) at each noise: solid at least (InfoNCE, below log N, dotted), dashed at most (rate, mixture).",
        "Lines of information against layers, from the first to the last, one colour for each augmentation.",
        figure,
    )


def _line(
    axis: Axes,
    rows: pd.DataFrame,
    arm: Arm,
    quantity: str,
    layers: Sequence[str],
    *,
    noise: float | None = None,
    **style: Any,
) -> None:
    where = {} if noise is None else {"noise": noise}
    values = [_values(rows, arm, quantity, layer=layer, **where) for layer in layers]
    spread = [sd(of_layer) or 0.0 for of_layer in values]
    means = [of_layer.mean() for of_layer in values]
    axis.errorbar(range(len(layers)), means, spread, lw=1.2, marker="o", ms=3, capsize=2, **style)


def _name_layers(axis: Axes, layers: Sequence[str]) -> None:
    axis.set_xticks(range(len(layers)), layers, rotation=30, ha="right")
    axis.grid(axis="y")


def _similarity_plot(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    layers, palette = _layers(rows), colours(_unique(rows["arm"]))
    with drawing():
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        axis: Axes = figure.subplots()
        for arm in _compared(rows):
            style = "--" if arm.is_baseline else "-"
            _line(axis, rows, arm, "cka", layers, color=palette[arm], label=_other(record, arm), linestyle=style)
        axis.set_ylabel("CKA with the baseline")
        _name_layers(axis, layers)
        name_lines(figure, axis)
    return Plot(
        "representations-similarity-depth",
        "Similarity to the baseline with depth",
        "Debiased linear CKA, mean over pairs of networks ± standard deviation. Dashed: two baselines of different "
        "seeds.",
        "Lines of CKA against layers, one for each augmentation, and one for pairs of baselines.",
        figure,
    )


def _scatter(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    arms = _unique(rows.loc[rows["quantity"] == "affinity", "arm"])
    palette = colours(_unique(rows["arm"]))
    with drawing():
        figure = Figure(figsize=(4.6, 3.4), layout="constrained")
        axis: Axes = figure.subplots()
        for arm in arms:
            both = pd.concat([100 * _values(rows, arm, "affinity"), _values(rows, arm, "diversity")], axis=1)
            axis.plot(*both.to_numpy().T, "o", color=palette[arm], ms=5, label=record.label(arm))
        axis.set_xlabel("affinity (points of accuracy)")
        axis.set_ylabel("diversity (nats)")
        axis.grid()
        name_lines(figure, axis)
    return Plot(
        "representations-scatter",
        "Affinity and diversity",
        "Each network by its augmentation’s affinity (to the right: more like clean images to the baseline) and its "
        "diversity (up: harder to fit), after Gontijo-Lopes et al. 2020; one point a seed.",
        "Points of diversity against affinity, one colour for each augmentation.",
        figure,
    )
