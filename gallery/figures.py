"""The section's figures (like the paper's Fig. 2), from plain arrays. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ..analysis.interface import PaperValues
from ..analysis.presentation.figures import INK, drawing, name_lines, picture_grid
from ..analysis.presentation.names import label
from ..analysis.presentation.parts import About, Plot, Table
from ..analysis.statistics.effect import Measured
from ..analysis.store.record import StudyRecord
from .rows import rows_of
from .sequences import strip_plot, word_plot
from .volumes import slice_plot, solid_plot

ABOUT = About(
    question="What do the augmentations make?",
    text=("Each augmentation mixes the same pairs of the test split, under masks of the same λ.",),
)
EXCERPTS = "texts.json"  # of a run of texts: the first words of two
PLACES = ("first", "second", "last")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("FMix, eq. 1–2", {"marker": "o", "ms": 3.5}),
    "official": ("FMix, published code", {"marker": "s", "ms": 6, "mfc": "none", "ls": "--"}),
}
SPECTRUM_FLOOR = 1e-9  # of the largest bin; float32 noise lies below


def tables(record: StudyRecord, printed: PaperValues) -> Sequence[Table]:
    return []


def plots(record: StudyRecord, printed: PaperValues) -> Sequence[Plot]:
    """Masks and mixed samples, and the spectra; of several studies, the first one's."""
    for task in record.done("gallery"):
        run = record.run(task.name)
        arrays = run.read_arrays()
        texts = run.read_json(EXCERPTS) if any(key.startswith("taken:") for key in arrays) else ()
        return drawn(arrays, texts, lambda text: label(record.alias(record.arm(text))))
    return []


def drawn(
    arrays: Mapping[str, np.ndarray], texts: Sequence[Sequence[str]] = (), named: Callable[[str], str] = label
) -> list[Plot]:
    """All that is drawn of masks, of what they mix if anything, and of FMix's noise.

    Args:
        arrays: as `measures.gallery`, `measures.spectra` and `measures.powers` give them, with ``images`` and
            ``partners``; of sequences ``mask:<name>`` (N, length) and ``taken:<name>`` (1, words).
        texts: the first words of two.
        named: gives each augmentation the name that people see.
    """
    shapes = {
        array.ndim - key.startswith("mixed:") - 1 for key, array in arrays.items() if key[:5] in ("mask:", "mixed")
    }
    made = []
    for dims in shapes:
        made += [strip_plot(arrays, named)] if dims == 1 else []
        made += [mask_plot(arrays, named)] if dims == 2 else []
        made += [solid_plot(arrays, named), slice_plot(arrays, named)] if dims == 3 else []
    if texts:
        made.append(word_plot(arrays, texts, named))
    if "spectrum:paper" in arrays:
        made.append(spectrum_plot(arrays))
    return [*made, power_plot(arrays)] if "power:paper" in arrays else made


def measured(record: StudyRecord) -> Sequence[Measured]:
    return []


def mask_plot(arrays: Mapping[str, np.ndarray], named: Callable[[str], str] = label) -> Plot:
    """Two rows of originals, then for each augmentation its masks and the images they mix: uint8 (N, H, W, 3).

    ``named`` gives each the name that people see. Without images, the masks alone.
    """
    strips, names = rows_of(arrays, named)
    return Plot(
        "masks",
        "Masks and mixed images",
        "Masks at the same λ, and the images they mix. White takes the first image, black the second; grey is λ "
        "itself. CutMix's boxes are cut off at the border, so that the share they take is smaller there. An "
        "augmentation without masks of its own, such as one that takes turns, is drawn by its mixed images alone.",
        f"A grid of pictures: for each of {', '.join(names)}, a row of mixed images, under one of masks if it has "
        "them.",
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
        "Mean power spectrum of FMix's low-frequency noise",
        "Mean over 4,096 draws, without the zero frequency. The printed definition is isotropic. The published code "
        "takes two rows of its noise for the real and imaginary parts of a spectrum: all power sits in |kx| ≤ 1. "
        "Without more said, FMix here is the printed one; the published code's is fmix-official.",
        "Two heat maps: a round peak that falls off alike in all directions, and a vertical line of three columns.",
        figure,
    )


def power_plot(arrays: Mapping[str, np.ndarray]) -> Plot:
    """Mean shares of the power by |k| along each axis, of FMix's low-frequency images in one or three dimensions."""
    count = len(arrays["power:paper"])
    with drawing():
        figure = Figure(figsize=(6.4, 2.8), layout="constrained")
        panels = figure.subplots(1, count, squeeze=False, sharey=True)[0]
        for number, axis in enumerate(panels):
            for variant, (title, style) in VARIANTS.items():
                share = arrays[f"power:{variant}"][number]
                k = np.arange(len(share))
                shown = share > SPECTRUM_FLOOR
                axis.plot(k[shown], share[shown], label=title, color=INK, lw=1, **style)
            axis.set_yscale("log")
            axis.set_ylim(top=2)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
            axis.set_xlabel("|k| (cycles per side)")
            if count > 1:
                axis.set_title(f"{PLACES[number]} axis")
        panels[0].set_ylabel("mean share of the power")
        name_lines(figure, panels[0])
    fact = (
        "In one dimension the published code leaves one wave: all power is at |k| = 1, whatever δ."
        if count == 1
        else "The published code has power at |k| ≤ 1 alone along the last axis, and its axes differ; the printed "
        "definition is alike along all."
    )
    return Plot(
        "spectra",
        "Mean power spectrum of FMix's low-frequency noise",
        f"By |k| along {'the sequence' if count == 1 else 'each axis, summed over the others'}, without the zero "
        f"frequency. {fact} Without more said, FMix here is the printed one; the published code's is fmix-official.",
        "Lines that fall with |k|: the printed definition over all of them, the published code's "
        + ("at |k| = 1 alone." if count == 1 else "in the last panel at |k| of 0 and 1 alone."),
        figure,
    )
