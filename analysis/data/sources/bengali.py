"""Bengali.AI's handwritten graphemes (2020) as its Kaggle competition gives them out: a CSV and four parquet files.

Each of the 200,840 images has three labels: the grapheme's root, its vowel diacritic and its consonant diacritic. The
competition kept its test images, so that the test split is one part of several of the training images, as the paper's.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from ...errors import InputError, first_line
from ..dataset import Dataset, Head, Split, dealt
from ..files import DataFile, data_root

ABOUT = (
    "200,840 handwritten Bengali graphemes, grey, at 64×64 pixels, three labels each; 5 GB, it must be asked for, "
    "nothing to fetch"
)
MEGABYTES = 0.0
SHAPE = None  # it cannot be fetched, so that nothing is planned without it

ASK = "https://www.kaggle.com/c/bengaliai-cv19/data"
FOLDER = "bengaliai-cv19"
LABELS, NAMES = "train.csv", "class_map.csv"
IMAGES = tuple(f"train_image_data_{part}.parquet" for part in range(4))
LAYOUT = f"{FOLDER}/ with {LABELS}, {NAMES} and {IMAGES[0]} to {IMAGES[-1].removeprefix('train_image_data_')}"
# As their heads are called: the column of the labels, how many classes there are, and the weight of the head's recall
# in the competition's score.
HEADS = {
    "root": ("grapheme_root", 168, 2.0),
    "vowel": ("vowel_diacritic", 11, 1.0),
    "consonant": ("consonant_diacritic", 7, 1.0),
}
HEIGHT, WIDTH = 137, 236  # pixels, as they come
SIZE = 64  # pixels, as they are learnt from
INK = 64  # of 255: what is at least so dark is ink
EDGE = 4  # pixels on each side in which ink is no part of the grapheme: scans have lines there
MARGIN = 6  # pixels around the grapheme
ROWS = 1024  # images prepared at a time
COLUMNS = 512  # read at a time: readers of all 32,332 would take a gigabyte beside what they read
SEED = 0  # of the folds
_REMEDY = (
    f"They are had from {ASK}, with an account and the competition's rules accepted; expected {LAYOUT} in the folder "
    "of the data, which MIXLENS_DATA can name."
)
_MAGIC = b"PAR1"  # begins and ends a parquet file


def status(root: str | Path | None = None) -> list[DataFile]:
    """The six files. No checksum is published: a parquet file is whole if it begins and ends as one."""
    folder = data_root(root) / FOLDER
    paths = [folder / name for name in (LABELS, NAMES, *IMAGES)]
    return [DataFile(path, path.is_file(), path.is_file() and _ends_well(path)) for path in paths]


def fetch(root: str | Path | None = None) -> None:
    """Nothing where the files are there; else it says how they are had.

    Raises:
        InputError: they are not: Kaggle asks who wants them to accept the competition's rules.
    """
    if wrong := missing(root):
        raise InputError(f"Bengali.AI's graphemes cannot be fetched by a program, and are {wrong}. {_REMEDY}")


def missing(root: str | Path | None = None) -> str:
    """Which files are not there or not whole, in words; empty where all are."""
    files = status(root)
    absent = [file.path.name for file in files if not file.present]
    cut = [file.path.name for file in files if file.present and not file.ok]
    found = [
        f"{words} {', '.join(names)}" for words, names in (("missing", absent), ("cut off or damaged", cut)) if names
    ]
    return "; ".join(found)


def load(root: str | Path | None = None, *, head: str = "", fold: int = 0, folds: int = 5) -> Dataset:
    """All images, `prepared`: part ``fold`` of ``folds`` is the test split, and the others are the train split.

    The parts are dealt by whole labels (`dealt`), the same for each head. Mean and deviation are those of the train
    split's pixels.

    Args:
        head: root, vowel or consonant: that label alone, as the paper's networks have it; empty: three heads.

    Raises:
        InputError: files are missing or damaged, or labels and images do not go together; no such head or fold;
            pyarrow, which reads parquet files, is not installed.
    """
    folder = data_root(root)
    if head not in ("", *HEADS):
        raise InputError(f"data set 'bengali': head={head!r}; expected {', '.join(HEADS)}, or none for all of them.")
    if type(folds) is not int or folds < 2 or type(fold) is not int or not 0 <= fold < folds:
        raise InputError(
            f"data set 'bengali': fold={fold!r} of folds={folds!r}; expected 0 to folds − 1, of 2 or more."
        )
    if wrong := missing(root):
        raise _unusable(folder, wrong)
    heads = _heads(folder)
    ids, labels = _labels(folder, heads)
    if 2 * folds > len(ids):
        raise InputError(f"data set 'bengali': {len(ids)} images cannot be cut in {folds} folds of two images or more.")
    held_out = dealt(labels, fold, folds, SEED)
    train_images, test_images = _read(folder, ids, held_out)
    mean, std = moments(train_images)
    classes: tuple[str, ...] = ()
    if head:
        chosen = list(HEADS).index(head)
        labels, classes, heads = labels[:, chosen], heads[chosen].classes, ()
    train, test = Split(train_images, labels[~held_out]), Split(test_images, labels[held_out])
    return Dataset("bengali", train, test, classes, (mean,), (std,), heads=heads)


def prepared(pixels: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Scans (N, 137, 236) uint8, dark on light, as graphemes (N, 64, 64) uint8, bright on dark.

    Inverted. Cut to the smallest box that holds all pixels of at least `INK`, those within `EDGE` of the border apart,
    with `MARGIN` around it as far as the scan goes; a scan without such a pixel stays whole. Padded with zeros to a
    square, the grapheme in its middle. Resized by Pillow's bilinear filter, which averages where it shrinks.
    """
    ink = 255 - pixels
    inner = ink[:, EDGE:-EDGE, EDGE:-EDGE] >= INK
    boxes = zip(_ends(np.any(inner, axis=2), HEIGHT), _ends(np.any(inner, axis=1), WIDTH), strict=True)
    out = np.empty((len(pixels), SIZE, SIZE), np.uint8)
    for place, ((top, bottom), (left, right)) in enumerate(boxes):
        height, width = bottom - top, right - left
        side = max(height, width)
        square = np.zeros((side, side), np.uint8)
        above, before = (side - height) // 2, (side - width) // 2
        square[above : above + height, before : before + width] = ink[place, top:bottom, left:right]
        out[place] = np.asarray(Image.fromarray(square).resize((SIZE, SIZE), Image.Resampling.BILINEAR))
    return out


def moments(images: Tensor) -> tuple[float, float]:
    """Mean and deviation of all pixels on the [0, 1] scale, to four digits, from how often each value occurs."""
    counts = torch.zeros(256, dtype=torch.float64)
    for part in images.split(10_000):
        counts += part.flatten().bincount(minlength=256)
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = (counts * values).sum() / counts.sum()
    std = ((counts * (values - mean).square()).sum() / counts.sum()).sqrt()
    return round(mean.item(), 4), round(std.item(), 4)


def _ends(inked: Any, side: int) -> np.ndarray[Any, Any]:
    """From where to where (N, 2) there is ink, with the margin; all where there is none. Of (N, side − 2 · EDGE)."""
    first = inked.argmax(1) + EDGE - MARGIN
    last = side - EDGE - inked[:, ::-1].argmax(1) + MARGIN
    found = inked.any(1)
    return np.stack([np.where(found, first.clip(0), 0), np.where(found, last.clip(max=side), side)], 1)


def _heads(folder: Path) -> tuple[Head, ...]:
    """The heads with their classes' names, from the file of names."""
    table = _table(folder, NAMES, ("component_type", "label", "component"))
    heads = []
    for name, (column, count, weight) in HEADS.items():
        names = table[table["component_type"] == column].set_index("label")["component"]
        if sorted(names.index) != list(range(count)):
            raise _unusable(
                folder, f"{NAMES} has {len(names)} labels of {column}; expected 0 to {count - 1}, each once"
            )
        heads.append(Head(name, tuple(names.loc[label] for label in range(count)), weight))
    return tuple(heads)


def _labels(folder: Path, heads: tuple[Head, ...]) -> tuple[pd.Index, Tensor]:
    """The images' names, and their labels (N, 3) int64."""
    columns = [column for column, _, _ in HEADS.values()]
    table = _table(folder, LABELS, ("image_id", *columns))
    ids = pd.Index(table["image_id"].astype(str))
    if ids.has_duplicates:
        raise _unusable(folder, f"{LABELS} has two rows of the image {ids[ids.duplicated()][0]}")
    for column, head in zip(columns, heads, strict=True):
        values, count = pd.to_numeric(table[column], errors="coerce"), len(head.classes)
        wrong = table[column][~values.isin(range(count))]
        if len(wrong):
            raise _unusable(
                folder,
                f"{LABELS} gives the image {ids[wrong.index[0]]} the {column} {wrong.iloc[0]}, which has classes 0 to "
                f"{count - 1}",
            )
        table[column] = values
    return ids, torch.from_numpy(table[columns].to_numpy(np.int64))


def _table(folder: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    path = folder / FOLDER / name
    try:
        table = pd.read_csv(path, keep_default_na=False)
    except (OSError, ValueError) as error:  # pandas' errors of what it reads are ValueErrors
        raise _unusable(folder, f"{name} cannot be read as a table ({first_line(error)})") from error
    if lacking := [column for column in columns if column not in table]:
        raise _unusable(
            folder, f"{name} lacks the column {lacking[0]}; it has {', '.join(map(str, table.columns[:6]))}"
        )
    return table


def _read(folder: Path, ids: pd.Index, test: Tensor) -> tuple[Tensor, Tensor]:
    """The prepared images of both splits, each in the order of its rows, from files in any order.

    What is read lies in its split at once, so that no more than one row group of a file is held beside the result.
    """
    in_test = test.numpy()
    places = np.where(in_test, in_test.cumsum(), (~in_test).cumsum()) - 1
    train_images, test_images = (
        np.empty((int(count), 1, SIZE, SIZE), np.uint8) for count in ((~in_test).sum(), in_test.sum())
    )
    seen = np.zeros(len(ids), bool)
    for name in IMAGES:
        for names, pixels in _parts(folder, name):
            rows = ids.get_indexer(pd.Index(names))
            if (rows < 0).any():
                raise _unusable(folder, f"the image {names[(rows < 0).argmax()]} of {name} has no row in {LABELS}")
            if seen[rows].any() or len(np.unique(rows)) < len(rows):
                twice = (
                    names[seen[rows].argmax()] if seen[rows].any() else pd.Index(names)[pd.Index(names).duplicated()][0]
                )
                raise _unusable(folder, f"the image {twice} stands twice in the files of images; the second in {name}")
            seen[rows] = True
            graphemes = prepared(pixels)[:, None]
            held_out = in_test[rows]
            test_images[places[rows[held_out]]] = graphemes[held_out]
            train_images[places[rows[~held_out]]] = graphemes[~held_out]
    if not seen.all():
        raise _unusable(
            folder,
            f"{int((~seen).sum()):,} of the {len(ids):,} rows of {LABELS} have no image in the files of images, such "
            f"as {ids[int((~seen).argmax())]}",
        )
    return torch.from_numpy(train_images), torch.from_numpy(test_images)


def _parts(folder: Path, name: str) -> Iterator[tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]]:
    """The images of a file, a part at a time: their names (N,), and their pixels (N, 137, 236) uint8.

    A row group is held at a time, a byte a pixel: at most 1.6 GB, of the 50,210 images of a file.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InputError(
            "data set 'bengali' is stored in parquet files, which the package pyarrow reads: "
            "pip install 'mixlens[parquet]'."
        ) from error
    path = folder / FOLDER / name
    wanted = [str(pixel) for pixel in range(HEIGHT * WIDTH)]
    try:
        with parquet.ParquetFile(path, memory_map=True) as file:
            there = set(file.schema_arrow.names)
            if lacking := [column for column in ("image_id", *wanted) if column not in there]:
                raise _unusable(
                    folder,
                    f"{name} lacks the column {lacking[0]}; expected image_id and a column for each of {HEIGHT}×{WIDTH}"
                    f" pixels, 0 to {len(wanted) - 1}",
                )
            for group in range(file.num_row_groups):
                names = file.read_row_group(group, columns=["image_id"]).column(0).to_pylist()
                pixels = np.empty((len(wanted), len(names)), np.uint8)
                for start in range(0, len(wanted), COLUMNS):
                    part = file.read_row_group(group, columns=wanted[start : start + COLUMNS], use_threads=False)
                    for place, column in enumerate(part.columns, start):
                        if column.type != pyarrow.uint8() or column.null_count:
                            kind = "empty values" if column.null_count else column.type
                            raise _unusable(
                                folder, f"{name} has {kind} in its column {place}; expected uint8, 0 to 255"
                            )
                        pixels[place] = column.to_numpy()
                for start in range(0, len(names), ROWS):
                    rows = slice(start, start + ROWS)
                    yield np.asarray(names[rows]), pixels[:, rows].T.reshape(-1, HEIGHT, WIDTH)
    except (OSError, pyarrow.ArrowException) as error:
        raise _unusable(
            folder, f"{name} cannot be read, and may be cut off or damaged ({first_line(error)})"
        ) from error


def _ends_well(path: Path) -> bool:
    if path.suffix != ".parquet":
        return True
    with path.open("rb") as file:
        begins = file.read(4)
        file.seek(-min(4, path.stat().st_size), 2)
        return begins == file.read(4) == _MAGIC


def _unusable(folder: Path, why: str) -> InputError:
    return InputError(f"Bengali.AI's graphemes in {folder / FOLDER} cannot be used: {why}. {_REMEDY}")
