"""The section's tables and figures, from rows, sums and a few maps. Imports no torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..analysis.interface import Arm, PaperValues
from ..analysis.presentation.figures import FAINT, INK, drawing, name_columns, name_lines
from ..analysis.presentation.names import colours
from ..analysis.presentation.numbers import change, column, number, over_seeds
from ..analysis.presentation.parts import About, Equation, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.store.record import StudyRecord
from .config import SECTION

ABOUT = About(
    question="Over how much of an image is the evidence for a class spread?",
    text=(
        "The heatmap of an image at a layer with activations A (C channels, Z pixels) explains the logit y of a class "
        "by the channels that raise it; its sum says over how many pixels the evidence is spread:",
        Equation(
            "heatmap L: the ReLU of the channels' activations weighted by the mean gradient of the logit; its sum "
            "after division by its maximum",
            r"L = \mathrm{ReLU}\Big(\sum_c w_c A_c\Big),\quad w_c = \frac{1}{Z} \sum_i "
            r"\frac{\partial y}{\partial A_{ci}},\quad \mathrm{sum} = \sum_i \frac{L_i}{\max_j L_j}",
            r'L = "ReLU"(sum_c w_c A_c), quad w_c = 1/Z sum_i (partial y) / (partial A_(c i)), quad '
            r'"sum" = sum_i L_i / (max_j L_j)',
        ),
    ),
    caveats=(
        "One pixel far above the others makes the sum small, whatever the rest does: it measures the shape of a map, "
        "not how much evidence there is.",
        "A map that is zero everywhere has the sum 0; the share of such maps is given.",
        "Sums of layers of different size compare per pixel only.",
    ),
)
AS_IN_PAPER = {"method": "gradcam", "norm": "max", "target": "predicted", "upsample": False}
NORMS = {"max": "divided by its maximum", "minmax": "moved to reach from 0 to 1", "none": "as it is"}
PAPERS_LAYER = "stem"  # of our networks
NAMES = {"gradcam": "Grad-CAM", "gradcam++": "Grad-CAM++", "layercam": "LayerCAM", "eigencam": "EigenCAM"}
TARGETS = {"predicted": "the predicted class", "true": "the true class"}


def tables(record: StudyRecord, printed: PaperValues) -> list[Table]:
    """The sums at each layer beside the paper's, per pixel, and paired differences to the baseline."""
    rows = _rows(record)
    if any((rows[key] != value).any() for key, value in AS_IN_PAPER.items()):
        printed = {}
    compared = [_differences(record, rows)] if _has_others(rows) else []
    return [_sums(record, rows, printed), _per_pixel(record, rows), *compared]


def plots(record: StudyRecord, printed: PaperValues) -> list[Plot]:
    """Fig. 4's grid of heatmaps, and how the sums are distributed over images."""
    rows = _rows(record)
    return [_grid(record, rows), _distribution(record, rows)]


def measured(record: StudyRecord) -> list[Measured]:
    """What the front page and the claims compare, the sum at the first layer; and at each other."""
    sums, shown = record.terms(SECTION.name, "sums"), []
    for place, layer in enumerate(_unique(_rows(record), "layer")):
        terms = {network: of_layers[place].astype(float) for network, of_layers in sums.items()}
        front = "" if place else "Evidence spread"
        name, title = _quantity(place, layer), f"Heatmap sum, {layer}"
        shown.append(Measured(name, title, "pixels", terms, front=front, figure="gradcam-distribution"))
    return shown


def _quantity(place: int, layer: str) -> str:
    """What the sum at a layer is called among those that reports compare."""
    return f"heatmap_sum:{layer}" if place else "heatmap_sum"


def _rows(record: StudyRecord) -> pd.DataFrame:
    return record.table(SECTION.name)


def _has_others(rows: pd.DataFrame) -> bool:
    """Whether anything stands beside a baseline."""
    return len({arm.is_baseline for arm in rows["arm"]}) == 2


def _unique(rows: pd.DataFrame, column: str) -> list[Any]:
    return list(dict.fromkeys(rows[column]))


def _values(rows: pd.DataFrame, arm: Arm, quantity: str, layer: str) -> pd.Series:
    """One value a seed."""
    chosen = (rows["arm"] == arm) & (rows["quantity"] == quantity) & (rows["layer"] == layer)
    return rows[chosen].set_index("seed")["value"]


def _how(rows: pd.DataFrame) -> str:
    method, norm, target = (_unique(rows, key)[0] for key in ("method", "norm", "target"))
    size = "at the images' size" if rows["upsample"].any() else "at the layer's own size"
    explained = TARGETS.get(target, f"class {target}")
    return f"{NAMES.get(method, method)} of {explained}, each map {NORMS[norm]}, {size}, summed over its pixels"


def _sums(record: StudyRecord, rows: pd.DataFrame, printed: PaperValues) -> Table:
    layers = _unique(rows, "layer")
    areas = {str(layer): int(of_layer["area"].iloc[0]) for layer, of_layer in rows.groupby("layer")}
    header = ["Augmentation"]
    for layer in layers:
        header.append(f"{layer} ({areas[layer]:,} pixels)")
        if printed and layer == PAPERS_LAYER:
            header.append("paper")
    body, arms = [], _unique(rows, "arm")
    shown = {layer: column([_values(rows, arm, "heatmap_sum", layer) for arm in arms]) for layer in layers}
    for place, arm in enumerate(arms):
        cells = [record.label(arm)]
        for layer in layers:
            cells.append(shown[layer][place])
            if printed and layer == PAPERS_LAYER:
                paper = printed.get(arm.augmentation, {}).get("heatmap_sum")
                cells.append(number(paper.value, paper.sd, paper.decimals) if paper else "—")
        body.append(tuple(cells))
    sums = rows[rows["quantity"] == "heatmap_sum"]
    images = " and ".join(f"{n:,}" for n in sorted(set(sums["n"])))
    caption = (
        f"Mean over {images} test images ± standard deviation over training seeds; {_how(rows)}. The standard error "
        f"over images is at most {sums['stderr'].max():.2g}."
    )
    if "paper" in header:
        caption += " The paper's values (section 3): the output of its first convolution, 32×32."
    return Table("gradcam-sums", "Sums of heatmaps", caption, tuple(header), tuple(body))


def _per_pixel(record: StudyRecord, rows: pd.DataFrame) -> Table:
    layers = _unique(rows, "layer")
    body: list[tuple[str, ...]] = []
    for arm in _unique(rows, "arm"):
        means = (over_seeds(_values(rows, arm, "heatmap_mean", layer)) for layer in layers)
        zero = (over_seeds(100 * _values(rows, arm, "zero_maps", layer)) for layer in layers)
        body.append((record.label(arm), *means, *zero))
    return Table(
        "gradcam-per-pixel",
        "Per pixel",
        "The sum divided by the map's number of pixels, so that layers compare; and the share of maps that are zero "
        "everywhere, whose sum counts as 0. Mean ± standard deviation over training seeds.",
        ("Augmentation", *layers, *(f"{layer}, zero maps (%)" for layer in layers)),
        tuple(body),
    )


def _differences(record: StudyRecord, rows: pd.DataFrame) -> Table:
    layers = _unique(rows, "layer")
    body = []
    for arm in (arm for arm in _unique(rows, "arm") if not arm.is_baseline):
        changes = (record.family.of(SECTION.name, _quantity(place, layer), arm) for place, layer in enumerate(layers))
        body.append((record.label(arm), *map(change, changes)))
    return Table(
        "gradcam-differences",
        "Differences to the baseline on the same images",
        "Mean over images and seeds of the sum minus the baseline's of the same seed and image, in pixels of the "
        f"layer, with its 95% interval. The one at {layers[0]} is judged as the summary says; the others have an "
        "interval alone.",
        ("Augmentation", *layers),
        tuple(body),
    )


def _grid(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    layer, first = _unique(rows, "layer")[0], rows["seed"].min()
    runs = rows[rows["seed"] == first].drop_duplicates("arm")
    arrays = {
        record.label(arm): record.run(run).read_arrays("pictures", f"map:{layer}")
        for arm, run in zip(runs["arm"], runs["run"], strict=True)
    }
    pictures = next(iter(arrays.values()))["pictures"]
    if pictures.ndim != 4:
        raise ValueError(f"pictures are {pictures.shape}, not (N, H, W, channels)")
    with drawing():
        figure = Figure(figsize=(1.15 * (len(arrays) + 1), 1.15 * len(pictures) + 0.3))
        axes = figure.subplots(
            len(pictures), len(arrays) + 1, squeeze=False, gridspec_kw={"wspace": 0.05, "hspace": 0.05}
        )
        for row, picture, *maps in zip(axes, pictures, *(run[f"map:{layer}"] for run in arrays.values()), strict=True):
            shown = picture if picture.shape[-1] == 3 else picture.mean(-1)
            row[0].imshow(shown, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            side = picture.shape[:2]
            for axis, heat in zip(row[1:], maps, strict=True):
                axis.imshow(picture.mean(-1), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
                axis.imshow(
                    heat.astype(float),
                    cmap="inferno",
                    vmin=0,
                    vmax=1,
                    alpha=0.65,
                    interpolation="nearest",
                    extent=(-0.5, side[1] - 0.5, side[0] - 0.5, -0.5),
                )
            for axis in row:
                axis.set_xticks([])
                axis.set_yticks([])
                axis.spines[:].set(visible=True, color=FAINT, linewidth=0.5)
        name_columns(figure, axes[0], ["image", *arrays])
    return Plot(
        "gradcam-grid",
        "Heatmaps (like the paper’s Fig. 4)",
        f"{_how(rows).partition(',')[0]} at {layer}, over evenly spaced test images, seed {first}; each map divided "
        "by its maximum, bright where it is greatest.",
        "A grid of test images: the image at the left, then the same image under the heatmap of each augmentation.",
        figure,
    )


def _distribution(record: StudyRecord, rows: pd.DataFrame) -> Plot:
    layers = _unique(rows, "layer")
    palette, sums = colours(_unique(rows, "arm")), record.terms(SECTION.name, "sums")
    with drawing():
        figure = Figure(figsize=(3.0 * len(layers), 2.9), layout="constrained")
        axes = figure.subplots(1, len(layers), squeeze=False)[0]
        for index, (axis, layer) in enumerate(zip(axes, layers, strict=True)):
            every = np.concatenate([values[index].astype(float) for values in sums.values()])
            low, high = every.min(), every.max()
            edges = np.linspace(low, high if high > low else low + 1, 41)
            for (arm, seed), values in sums.items():
                counts, _ = np.histogram(values[index].astype(float), edges)
                shown = record.label(arm) if seed == min(s for other, s in sums if other == arm) else None
                axis.stairs(100 * counts / len(values[index]), edges, color=palette[arm], lw=1.0, label=shown)
            axis.set_title(layer, color=INK)
            axis.set_xlabel("sum of the heatmap")
            axis.grid(axis="y")
        axes[0].set_ylabel("images (%)")
        name_lines(figure, axes[0])
    return Plot(
        "gradcam-distribution",
        "Distribution of the sums",
        "Share of test images by the sum of their heatmap at each layer; one line a seed.",
        "Histograms of heatmap sums, one panel a layer and one line for each network.",
        figure,
    )
