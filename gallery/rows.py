"""The rows of a grid of pictures: originals, then for each augmentation its masks and what they mix."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np


def rows_of(
    arrays: Mapping[str, np.ndarray], named: Callable[[str], str], one: str = "image"
) -> tuple[list[tuple[str, np.ndarray]], list[str]]:
    """What the rows are called and hold, and the augmentations' names. Without originals they are of masks alone.

    ``one``: what a sample is called.
    """
    originals = {"images": f"First {one}", "partners": f"Second {one}"}
    rows = [(title, arrays[key]) for key, title in originals.items() if key in arrays]
    texts = [key.partition(":")[2] for key in arrays if key.startswith("mixed:" if rows else "mask:")]
    for text in texts:
        for what in ("mask", "mixed"):
            if f"{what}:{text}" in arrays:
                rows.append((f"{named(text)}, {what}", arrays[f"{what}:{text}"]))
    return rows, [named(text) for text in texts]
