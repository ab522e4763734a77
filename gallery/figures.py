"""The section's figures (like the paper's Fig. 2), from plain arrays. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from ..analysis.interface import PaperValues
from ..analysis.presentation.figures import INK, drawing, picture_grid
from ..analysis.presentation.names import label
from ..analysis.presentation.parts import About, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.store.record import StudyRecord

ABOUT = About(
    question="What do the augmentations make?",
    text=("Each augmentation mixes the same pairs of test images, under masks of the same λ.",),
)
SPECTRUM_FLOOR = 1e-9  # of the largest bin; float32 noise lies below


def tables(record: StudyRecord, printed: PaperValues) -> Sequence[Table]:
    return []


def plots(record: StudyRecord, printed: PaperValues) -> Sequence[Plot]:
    """Masks and mixed images, and the spectra; of several studies, the first one's."""
    for task in record.done("gallery"):
        arrays = record.run(task.name).read_arrays()
        mixed = any(key.startswith("mixed:") for key in arrays)
        masks = [mask_plot(arrays, lambda text: label(record.alias(record.arm(text))))] if mixed else []
        return [*masks, spectrum_plot(arrays)] if "spectrum:paper" in arrays else masks
    return []


def measured(record: StudyRecord) -> Sequence[Measured]:
    return []


def mask_plot(arrays: Mapping[str, np.ndarray], named: Callable[[str], str] = label) -> Plot:
    """Two rows of originals, then for each augmentation its masks and the images they mix: uint8 (N, H, W, 3).

    ``named`` gives each the name that people see.
    """
    names = [key.removeprefix("mixed:") for key in arrays if key.startswith("mixed:")]
    strips = [("First image", arrays["images"]), ("Second image", arrays["partners"])]
    for name in names:
        masks = [(f"{named(name)}, mask", arrays[f"mask:{name}"])] if f"mask:{name}" in arrays else []
        strips += [*masks, (f"{named(name)}, mixed", arrays[f"mixed:{name}"])]
    return Plot(
        "masks",
        "Masks and mixed images",
        "Masks at the same λ, and the images they mix. White takes the first image, black the second; grey is λ "
        "itself. CutMix's boxes are cut off at the border, so that the share they take is smaller there. An "
        "augmentation without masks of its own, such as one that takes turns, is drawn by its mixed images alone.",
        f"A grid of pictures: for each of {', '.join(map(named, names))}, a row of mixed images, under one of "
        "masks if it has them.",
        picture_grid(strips),
    )


def spectrum_plot(arrays: Mapping[str, np.ndarray]) -> Plot:
    """Mean power spectra of FMix's low-frequency images, as printed (eq. 1–2) and as in the published code."""
    titles = {"paper": "FMix, eq. 1–2", "official": "FMix, published code"}
    with drawing():
        figure = Figure(figsize=(6.4, 3.0), layout="constrained")
        axes = figure.subplots(1, 2, sharey=True)
        shown: Any = None
        for axis, (variant, title) in zip(axes, titles.items(), strict=True):
            power = arrays[f"spectrum:{variant}"]
            height, width = power.shape
            extent = (-(width // 2) - 0.5, (width - 1) // 2 + 0.5, (height - 1) // 2 + 0.5, -(height // 2) - 0.5)
            shown = axis.imshow(
                np.maximum(power, SPECTRUM_FLOOR), norm=LogNorm(SPECTRUM_FLOOR, 1), cmap="viridis", extent=extent
            )
            axis.set_title(title)
            axis.set_facecolor("#8a919b")  # of the zero frequency, which is left out
            axis.set_xlabel("kx (cycles per image)")
        axes[0].set_ylabel("ky (cycles per image)")
        bar = figure.colorbar(shown, ax=axes, shrink=0.8, label="mean power, of the largest bin")
        bar.outline.set_edgecolor(INK)
    return Plot(
        "spectra",
        "Mean power spectrum of FMix's low-frequency images",
        "Mean over 4,096 images, without the zero frequency. The printed definition is isotropic. The published code "
        "takes two rows of its noise for the real and imaginary parts of a spectrum: all power sits in |kx| ≤ 1. "
        "Without more said, FMix here is the printed one; the published code's is fmix-official.",
        "Two heat maps: a round peak that falls off alike in all directions, and a vertical line of three columns.",
        figure,
    )
