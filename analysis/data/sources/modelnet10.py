"""ModelNet10 (Wu et al. 2015): 4,899 shapes of ten kinds of furniture, as voxels, from its meshes or from arrays of
them.

Read from the folder ``ModelNet10`` below the data's: ``modelnet10-32.npz``, which holds X_train (3991, 32, 32, 32),
y_train, X_test (908, …) and y_test, 0 or 1; or the published meshes, ``bathtub/train/bathtub_0001.off`` and so on,
which are filled with voxels once (`meshes.fill`) and then kept as such a file. In the arrays that go about, 27 training
and 7 test shapes are empty, and 69 test shapes are voxel for voxel one of the training shapes.
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock

from ...errors import InputError, first_line
from ..dataset import Dataset, Split
from ..files import DataFile, data_root, fetching, one_time_bar, write_arrays
from ..meshes import fill, read_off

ABOUT = "4,899 shapes of ten kinds of furniture, as 32×32×32 voxels; 451 MB of meshes, or 3 MB of voxels"
MEGABYTES = 451.0
SHAPE = None  # noise of its size would fill a gigabyte

FOLDER, SIDE = "ModelNet10", 32
SIDES = range(8, 129)  # of 128 they take 10 GB of memory
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
COUNTS = {"train": 3991, "test": 908}
_REMEDY = f"Run `mixlens data modelnet10 --fetch`, or unpack {URL}"


def status(root: str | Path | None = None) -> list[DataFile]:
    """The voxels, or the meshes that they are made of."""
    folder = data_root(root) / FOLDER
    voxels = _kept(folder, SIDE)
    if voxels.is_file():
        return [DataFile(voxels, True, zipfile.is_zipfile(voxels))]
    whole = all(sum(len(_meshes(folder, kind, name)) for kind in CLASSES) == count for name, count in COUNTS.items())
    return [DataFile(folder, folder.is_dir(), whole)]


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


def load(root: str | Path | None = None, *, side: int = SIDE) -> Dataset:
    """3,991 training and 908 test shapes, (1, side, side, side) uint8, 0 or 255.

    Mean and deviation are those of the training shapes' voxels, to four digits.

    Args:
        side: voxels, 8 to 128; other than 32 from the meshes, which are filled with voxels once.

    Raises:
        InputError: files are missing, or hold something else; voxels cannot be kept.
    """
    if type(side) is not int or side not in SIDES:
        raise InputError(f"data set 'modelnet10': side={side!r}; expected {SIDES[0]} to {SIDES[-1]} voxels.")
    folder = data_root(root) / FOLDER
    kept = _kept(folder, side)
    if not kept.is_file():
        _make(folder, side)
    try:
        with np.load(kept, allow_pickle=False) as arrays:
            train, test = (_split(arrays, name, side) for name in COUNTS)
    except Exception as error:  # zipfile, zlib and numpy each have their own
        raise InputError(
            f"ModelNet10 cannot be used: {kept}: {first_line(error)}. Remove that file; it is made anew from the "
            f"meshes. {_REMEDY} in {folder.parent}."
        ) from error
    share = train.images.count_nonzero().item() / train.images.numel()
    mean, std = round(share, 4), round((share * (1 - share)) ** 0.5, 4)
    return Dataset("modelnet10", train, test, CLASSES, (mean,), (std,))


def _meshes(folder: Path, kind: str, name: str) -> list[Path]:
    return sorted((folder / kind / name).glob("*.off"))


def _kept(folder: Path, side: int) -> Path:
    return folder / f"modelnet10-{side}.npz"


def _split(arrays: np.lib.npyio.NpzFile, name: str, side: int) -> Split:
    voxels, labels = arrays[f"X_{name}"], arrays[f"y_{name}"]
    count = COUNTS[name]
    if voxels.shape != (count, side, side, side) or labels.shape != (count,):
        raise ValueError(f"X_{name} has shape {voxels.shape}, y_{name} {labels.shape}; expected {count:,} of {side}³")
    if not np.isin(labels, range(len(CLASSES))).all() or not ((voxels == 0) | (voxels == 1)).all():
        raise ValueError(f"X_{name} must be 0 or 1, and y_{name} 0 to {len(CLASSES) - 1}")
    full = torch.from_numpy(voxels.astype(np.uint8)).mul_(255)
    return Split(full.unsqueeze(1), torch.from_numpy(labels.astype(np.int64)))


# From meshes


def _make(folder: Path, side: int) -> None:
    """Fill the meshes with voxels, and keep these. Raises InputError."""
    meshes = {name: _listed(folder, name, side) for name in COUNTS}
    kept = _kept(folder, side)
    try:
        with FileLock(kept.with_suffix(".lock")):  # another process may be at it
            if not kept.is_file():
                write_arrays(kept, _filled(meshes, side), compressed=True)
    except OSError as error:
        raise InputError(
            f"the voxels of ModelNet10 cannot be kept as {kept}: {error.strerror or error}. Make room or the folder "
            "writable, or name another folder for data with --data-root."
        ) from error


def _listed(folder: Path, name: str, side: int) -> list[tuple[int, Path]]:
    """The class and file of every mesh of a split. Raises InputError where some are missing."""
    if not folder.is_dir() or not any((folder / kind).is_dir() for kind in CLASSES):
        other = "" if side == SIDE else f", and {side} voxels a side are made of meshes"
        raise InputError(f"ModelNet10 cannot be used: {folder} has no meshes{other}. {_REMEDY} in {folder.parent}.")
    found: list[tuple[int, Path]] = []
    for label, kind in enumerate(CLASSES):
        paths = _meshes(folder, kind, name)
        if not paths:
            where = folder / kind / name
            raise InputError(f"ModelNet10 is not whole: no meshes in {where}. {_REMEDY} in {folder.parent}.")
        found += [(label, path) for path in paths]
    if len(found) != COUNTS[name]:
        raise InputError(
            f"ModelNet10 is not whole: {len(found):,} {name} meshes in {folder}; expected {COUNTS[name]:,}. {_REMEDY} "
            f"in {folder.parent}."
        )
    return found


def _filled(meshes: dict[str, list[tuple[int, Path]]], side: int) -> dict[str, Any]:
    bar = one_time_bar()
    arrays: dict[str, Any] = {}
    with bar:
        shown = bar.add_task("filling the meshes of ModelNet10 with voxels, once", total=sum(map(len, meshes.values())))
        for name, listed in meshes.items():
            voxels = np.zeros((len(listed), side, side, side), dtype=np.uint8)
            for place, (_, path) in enumerate(listed):
                try:
                    voxels[place] = fill(read_off(path), side)
                except InputError as error:
                    words = str(error).removesuffix(".")
                    named = words if str(path) in words else f"{path}: {words}"
                    raise InputError(f"ModelNet10 cannot be used: {named}. Unpack {URL} again.") from error
                bar.advance(shown)
            arrays |= {f"X_{name}": voxels, f"y_{name}": np.array([label for label, _ in listed])}
    return arrays
