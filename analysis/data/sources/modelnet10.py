"""ModelNet10 (Wu et al. 2015): 4,899 shapes of ten kinds of furniture, as voxels, from its meshes or from arrays of
them.

Read from the folder ``ModelNet10`` below the data's: ``modelnet10-32.npz``, which holds X_train (3991, 32, 32, 32),
y_train, X_test (908, …) and y_test, 0 or 1; or the published meshes, ``bathtub/train/bathtub_0001.off`` and so on,
which are filled with voxels once and then kept as such a file. In the arrays that go about, 27 training and 7 test
shapes are empty, and 69 test shapes are voxel for voxel one of the training shapes.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from ...errors import InputError, first_line
from ..dataset import Dataset, Split
from ..files import DataFile, data_root, fetching

ABOUT = "4,899 shapes of ten kinds of furniture, as 32×32×32 voxels; 451 MB of meshes, or 16 MB of voxels"
MEGABYTES = 451.0
SHAPE = None  # noise of its size would fill a gigabyte

FOLDER, SIDE = "ModelNet10", 32
URL = "http://3dvision.princeton.edu/projects/2014/3DShapeNets/ModelNet10.zip"
CLASSES = (
    "bathtub",
    "bed",
    "chair",
    "desk",
    "dresser",
    "monitor",
    "night_stand",
    "sofa",
    "table",
    "toilet",
)
TRAINED, TESTED = 3991, 908
MEAN, STD = (0.0954,), (0.2937,)  # over all voxels of the training shapes
_REMEDY = f"Run `mixlens data modelnet10 --fetch`, or unpack {URL}"


def status(root: str | Path | None = None) -> list[DataFile]:
    """The voxels, or the meshes that they are made of."""
    folder = data_root(root) / FOLDER
    voxels = folder / f"modelnet10-{SIDE}.npz"
    if voxels.is_file():
        return [DataFile(voxels, True, zipfile.is_zipfile(voxels))]
    return [DataFile(folder, folder.is_dir(), all((folder / name).is_dir() for name in CLASSES))]


def fetch(root: str | Path | None = None) -> None:
    """Download the meshes (451 MB) and unpack them; nothing happens if these or voxels are there.

    Raises:
        InputError: they cannot be fetched or written.
    """
    from torchvision.datasets.utils import download_and_extract_archive

    folder = data_root(root)
    if not all(file.ok for file in status(root)):
        with fetching("ModelNet10", folder / FOLDER, f"{_REMEDY} in {folder}."):
            download_and_extract_archive(URL, folder)


def load(root: str | Path | None = None) -> Dataset:
    """3,991 training and 908 test shapes, (1, 32, 32, 32) uint8, 0 or 255.

    Raises:
        InputError: they are missing, or are not of these shapes.
    """
    (file,) = status(root)
    if not file.ok:
        state = "is damaged" if file.present else "is missing"
        raise InputError(f"ModelNet10 cannot be used: {file.path} {state}. {_REMEDY} in {file.path.parent}.")
    try:
        with np.load(file.path, allow_pickle=False) as arrays:
            train, test = (_split(arrays, *part) for part in (("train", TRAINED), ("test", TESTED)))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise InputError(f"ModelNet10 cannot be used: {file.path}: {first_line(error)}. {_REMEDY}.") from error
    return Dataset("modelnet10", train, test, CLASSES, MEAN, STD)


def _split(arrays: np.lib.npyio.NpzFile, name: str, count: int) -> Split:
    voxels, labels = arrays[f"X_{name}"], arrays[f"y_{name}"]
    if voxels.shape != (count, SIDE, SIDE, SIDE) or labels.shape != (count,):
        raise ValueError(f"X_{name} has shape {voxels.shape}, y_{name} {labels.shape}; expected {count:,} of {SIDE}³")
    if not np.isin(labels, range(len(CLASSES))).all() or not ((voxels == 0) | (voxels == 1)).all():
        raise ValueError(f"X_{name} must be 0 or 1, and y_{name} 0 to {len(CLASSES) - 1}")
    full = torch.from_numpy(voxels.astype(np.uint8)).mul_(255)
    return Split(full.unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))
