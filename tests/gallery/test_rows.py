"""The rows of a grid: originals, then masks and what they mix; of masks alone, these."""

import numpy as np

from mixlens.gallery.rows import rows_of

ONE = np.zeros((2, 4, 4))


def test_originals_stand_before_masks_and_what_they_mix():
    arrays = {"images": ONE, "partners": ONE, "mask:fmix": ONE, "mixed:fmix": ONE, "mixed:my:make": ONE}
    rows, names = rows_of(arrays, str.upper, "volume")
    assert [title for title, _ in rows] == [
        "First volume",
        "Second volume",
        "FMIX, mask",
        "FMIX, mixed",
        "MY:MAKE, mixed",
    ]
    assert names == ["FMIX", "MY:MAKE"]


def test_masks_without_originals():
    rows, names = rows_of({"mask:fmix": ONE, "power:paper": ONE}, str)
    assert [title for title, _ in rows] == ["fmix, mask"]
    assert names == ["fmix"]
