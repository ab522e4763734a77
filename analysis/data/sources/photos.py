"""A demonstration data set that needs no download: patches of ten photographs shipped in scikit-image and scikit-learn.

The task is to tell which photograph a 32 × 32 patch comes from. It is small and real, and no benchmark: patches overlap
within a split, and photographs differ in colour and sharpness as classes of objects do not. No pixel is in both splits.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import Image

from ...errors import InputError
from ..dataset import Dataset, Split
from ..files import DataFile

ABOUT = "6,000 patches of ten photographs that come with scikit-image and scikit-learn; nothing to fetch"
MEGABYTES = 0.0
SHAPE = None  # always there

SIZE = 32  # pixels

# The wheel's own files, so that scikit-image's downloader is never asked.
_SKIMAGE, _SKLEARN = ("skimage", "data"), ("sklearn", "datasets/images")
_FILES = {
    "astronaut": (*_SKIMAGE, "astronaut.png"),
    "chelsea": (*_SKIMAGE, "chelsea.png"),
    "coffee": (*_SKIMAGE, "coffee.png"),
    "rocket": (*_SKIMAGE, "rocket.jpg"),
    "immunohistochemistry": (*_SKIMAGE, "ihc.png"),
    "retina": (*_SKIMAGE, "retina.jpg"),
    "hubble": (*_SKIMAGE, "hubble_deep_field.jpg"),
    "motorcycle": (*_SKIMAGE, "motorcycle_left.png"),
    "china": (*_SKLEARN, "china.jpg"),
    "flower": (*_SKLEARN, "flower.jpg"),
}
CLASSES = tuple(_FILES)

_LONG_SIDE = 512  # photographs are scaled down by the whole number that brings them nearest to this


def status(root: str | Path | None = None) -> list[DataFile]:
    """The photographs, wherever their packages are installed; their bytes are the packages' own."""
    return [DataFile(path, path.is_file(), path.is_file()) for path in map(_path, CLASSES)]


def fetch(root: str | Path | None = None) -> None:
    """Nothing: the photographs come with packages that mixlens requires."""


def load(root: str | Path | None = None) -> Dataset:
    """5,000 training and 1,000 test patches (3, 32, 32), 500 and 100 of each photograph; the same at every call.

    Raises:
        InputError: scikit-image or scikit-learn is not installed, or lacks a photograph.
    """
    images = {name: photograph(name) for name in CLASSES}
    train, test = (_split(images, which) for which in ("train", "test"))
    scaled = train.images[:].double() / 255
    mean, std = (
        tuple(round(value, 4) for value in moment.tolist())
        for moment in (scaled.mean((0, 2, 3)), scaled.std((0, 2, 3), correction=0))
    )
    return Dataset("photos", train, test, CLASSES, mean, std)


def photograph(name: str) -> np.ndarray:
    """One of the photographs, (H, W, 3) uint8, its long side scaled to about 512 pixels by averaging whole squares."""
    path = _path(name)
    try:
        with Image.open(path) as opened:
            pixels = np.asarray(opened.convert("RGB"))
    except OSError as error:
        raise InputError(f"data set 'photos': {path} cannot be read ({error}); reinstall {_FILES[name][0]}.") from error
    factor = max(1, round(max(pixels.shape) / _LONG_SIDE))
    height, width = (side // factor for side in pixels.shape[:2])
    squares = pixels[: height * factor, : width * factor].reshape(height, factor, width, factor, 3)
    area = factor**2
    return ((squares.sum((1, 3), dtype=np.uint32) + area // 2) // area).astype(np.uint8)


def grid(shape: tuple[int, ...], split: Literal["train", "test"]) -> tuple[np.ndarray, np.ndarray]:
    """Top rows and left columns of the patches: 20 × 5 in the middle fifth of the width for the test split, 25 × 20 in
    what lies to the left and to the right of it for the train split.
    """
    height, width = shape[:2]
    left, right = width * 2 // 5, width * 3 // 5
    if split == "test":
        return _spread(0, height, 20), _spread(left, right, 5)
    return _spread(0, height, 25), np.concatenate([_spread(0, left, 10), _spread(right, width, 10)])


def positions(split: Literal["train", "test"]) -> list[tuple[str, int, int]]:
    """(photograph, top row, left column) of each patch of a split, in the order of its images."""
    found = []
    for name in CLASSES:
        rows, columns = grid(photograph(name).shape, split)
        found += [(name, int(row), int(column)) for row in rows for column in columns]
    return found


def _path(name: str) -> Path:
    package, folder, file = _FILES[name]
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise InputError(f"data set 'photos' needs the package {package}; install scikit-image and scikit-learn.")
    return Path(spec.origin).parent / folder / file


def _spread(start: int, stop: int, count: int) -> np.ndarray:
    """``count`` evenly spaced starts of patches that lie within start … stop − 1."""
    return start + np.arange(count) * (stop - SIZE - start) // (count - 1)


def _split(images: dict[str, np.ndarray], which: Literal["train", "test"]) -> Split:
    patches = []
    for image in images.values():
        rows, columns = grid(image.shape, which)
        windows = np.lib.stride_tricks.sliding_window_view(image, (SIZE, SIZE), axis=(0, 1))
        patches.append(windows[np.ix_(rows, columns)].reshape(-1, 3, SIZE, SIZE))
    labels = np.repeat(np.arange(len(patches)), [len(some) for some in patches])
    return Split.of(np.concatenate(patches), torch.from_numpy(labels))
