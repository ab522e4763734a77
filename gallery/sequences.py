"""Figures of sequences: masks as strips, and the words of two texts by which of them is taken. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..analysis.presentation.figures import FAINT, INK, drawing, text_width
from ..analysis.presentation.names import label, short
from ..analysis.presentation.parts import Plot

LETTER, GAP, ACROSS, LINE_PAIR = 8.2, 8.0, 265.0, 2.6  # points of a letter, between words and of a line; rows of two


def strip_plot(arrays: Mapping[str, np.ndarray], named: Callable[[str], str] = label) -> Plot:
    """Masks of a sequence (N, length): for each augmentation a panel, a mask a line, the share it takes beside it."""
    drawn = [(key.removeprefix("mask:"), masks) for key, masks in arrays.items() if key.startswith("mask:")]
    count, length = drawn[0][1].shape
    with drawing():
        figure = Figure(figsize=(6.4, 0.45 + len(drawn) * (0.42 + 0.12 * count)), layout="constrained")
        panels = figure.subplots(len(drawn), 1, squeeze=False, sharex=True)[:, 0]
        for axis, (name, masks) in zip(panels, drawn, strict=True):
            axis.imshow(
                masks,
                cmap="gray",
                vmin=0,
                vmax=1,
                aspect="auto",
                interpolation="nearest",
                extent=(0, length, count - 0.5, -0.5),
            )
            for line in range(1, count):
                axis.axhline(line - 0.5, color=FAINT, lw=1.5)
            axis.set_title(short(named(name)))
            axis.spines[:].set(visible=True, color=FAINT, linewidth=0.5)
            axis.yaxis.tick_right()
            shown = range(0, count, max(1, -(-count // 12)))
            axis.set_yticks(list(shown), [f"λ = {masks[line].mean():.2f}" for line in shown], fontsize=7)
            axis.tick_params(axis="y", length=0)
        panels[-1].set_xlabel("position")
    return Plot(
        "masks",
        "Masks of a sequence",
        f"{count} masks of {length:,} positions each, a line each, at one λ; beside it the share that it realises. "
        "White takes the first sequence, black the second; grey is λ itself. The ends are neighbours to FMix's noise.",
        f"A panel of strips for each of {', '.join(named(name) for name, _ in drawn)}: where each mask takes the first "
        "sequence.",
        figure,
    )


def word_plot(
    arrays: Mapping[str, np.ndarray], texts: Sequence[Sequence[str]], named: Callable[[str], str] = label
) -> Plot:
    """The first words of two texts, under a mask of each augmentation: those taken are bold, in a frame."""
    taken = {key.removeprefix("taken:"): masks[0] for key, masks in arrays.items() if key.startswith("taken:")}
    with drawing():
        lines = list(_lines(texts))
        height = len(lines) * LINE_PAIR
        figure = Figure(figsize=(4.0, len(taken) * (0.36 + 0.18 * height)), layout="constrained")
        panels = figure.subplots(len(taken), 1, squeeze=False)[:, 0]
        for axis, (name, mask) in zip(panels, taken.items(), strict=True):
            for number, line in enumerate(lines):
                for place, left in line:
                    for row, share in enumerate((mask[place], 1 - mask[place])):
                        _write(axis, left, number * LINE_PAIR + row + 0.5, texts[row][place], float(share))
            axis.set(xlim=(-2, ACROSS), ylim=(height, 0))
            axis.axis("off")
            axis.set_title(short(named(name)))
    return Plot(
        "words",
        "Two texts, mixed",
        f"The first {len(texts[0])} words of two test texts, in pairs of lines, the first text above. A word that is "
        "taken is bold and in a frame; in italics both are there, by their shares. What is mixed are the words' "
        "embeddings.",
        _spoken(taken, texts, named),
        figure,
        quotes=True,
    )


def _spoken(taken: Mapping[str, np.ndarray], texts: Sequence[Sequence[str]], named: Callable[[str], str]) -> str:
    """The mixed texts, read out: the second text's words in brackets."""
    said = []
    for name, mask in taken.items():
        if ((mask > 0) & (mask < 1)).any():
            said.append(f"{named(name)}: shares of both at every word")
        else:
            words = [texts[0][place] if share else f"[{texts[1][place]}]" for place, share in enumerate(mask)]
            said.append(f"{named(name)}: {' '.join(words)}")
    return f"Words by which text they are of, the second text's in brackets. {'. '.join(said)}."


def _lines(texts: Sequence[Sequence[str]]) -> Iterator[list[tuple[int, float]]]:
    """Places of words, line by line, and where each stands, in points: both words of a place below each other."""
    line: list[tuple[int, float]] = []
    left = 0.0
    for place, pair in enumerate(zip(*texts, strict=True)):
        room = max(text_width(word, LETTER, bold=True) for word in pair)
        if line and left + room > ACROSS:
            yield line
            line, left = [], 0.0
        line.append((place, left))
        left += room + GAP
    yield line


def _write(axis: Axes, left: float, top: float, word: str, share: float) -> None:
    """A word by the share of it that is taken: all, none, or some."""
    heavy, gone = share > 1 - 1e-6, share < 1e-6
    frame = {"boxstyle": "square,pad=0.15", "facecolor": "none", "edgecolor": INK, "linewidth": 0.6}
    style: dict[str, Any] = {"fontweight": "bold", "bbox": frame} if heavy else {} if gone else {"fontstyle": "italic"}
    axis.text(left, top, word, fontsize=LETTER, va="center", ha="left", **style)
