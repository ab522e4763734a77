"""The rows of a grid of pictures: originals, then for each augmentation its masks and what they mix."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

ORIGINALS = {"First image": "images", "Second image": "partners"}


def rows_of(
    arrays: Mapping[str, np.ndarray], named: Callable[[str], str]
) -> tuple[list[tuple[str, np.ndarray]], list[str]]:
    """What the rows are called and hold, and the augmentations' names. Without originals they are of masks alone."""
    rows = [(title, arrays[key]) for title, key in ORIGINALS.items() if key in arrays]
    texts = [key.partition(":")[2] for key in arrays if key.startswith("mixed:" if rows else "mask:")]
    for text in texts:
        for what in ("mask", "mixed"):
            if f"{what}:{text}" in arrays:
                rows.append((f"{named(text)}, {what}", arrays[f"{what}:{text}"]))
    return rows, [named(text) for text in texts]
