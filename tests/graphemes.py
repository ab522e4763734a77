"""Bengali.AI's files in their true format, of a few drawn images: what tests of several files make."""

from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow
from pyarrow import parquet

HEIGHT, WIDTH = 137, 236
SIZES = {"grapheme_root": 168, "vowel_diacritic": 11, "consonant_diacritic": 7}


def scans(count, seed=0):
    """Dark strokes on light paper (count, 137, 236), and labels (count, 3): where a bar stands, and how thick it is."""
    rng = np.random.default_rng(seed)
    labels = np.stack([np.arange(count) % 4, np.arange(count) // 4 % 3, np.arange(count) // 2 % 2], 1)
    images = rng.integers(240, 256, (count, HEIGHT, WIDTH)).astype(np.uint8)
    for image, (root, vowel, consonant) in zip(images, labels, strict=True):
        image[30:110, 60:66] = image[30:36, 60:160] = 10
        image[40 + 16 * root : 50 + 16 * root, 70:150] = 20
        image[60:110, 155 : 158 + 8 * vowel] = 30
        image[104 : 107 + 4 * consonant, 60:160] = 10
    return images, labels


@cache
def _columns():
    return [str(pixel) for pixel in range(HEIGHT * WIDTH)]


def write_images(path, names, images, *, columns=None, kind=np.uint8, groups=None):
    """A parquet file of these images; ``groups``: rows of a group."""
    flat = np.ascontiguousarray(images.reshape(len(images), -1).T.astype(kind))
    arrays = [pyarrow.array(list(names), pyarrow.string()), *map(pyarrow.array, flat)]
    table = pyarrow.Table.from_arrays(arrays, names=["image_id", *(columns or _columns())])
    parquet.write_table(table, path, row_group_size=groups or len(images), use_dictionary=False, write_statistics=False)


def write_labels(folder, names, labels):
    lines = [f"{name},{','.join(map(str, row))},ক" for name, row in zip(names, labels, strict=True)]
    (folder / "train.csv").write_text("\n".join([f"image_id,{','.join(SIZES)},grapheme", *lines]) + "\n")


def write_all(root, count=48, seed=0):
    """The competition's folder below ``root``: half of the images in the first file, the rest in the others."""
    folder = root / "bengaliai-cv19"
    folder.mkdir(parents=True)
    images, labels = scans(count, seed)
    names = [f"Train_{number}" for number in range(count)]
    write_labels(folder, names, labels)
    kinds = [f"{kind},{label},{kind[0]}{label}" for kind, size in SIZES.items() for label in range(size)]
    (folder / "class_map.csv").write_text("\n".join(["component_type,label,component", *kinds]) + "\n")
    edges = [0, count // 2, count // 2 + 4, count // 2 + 8, count]
    for part, (start, end) in enumerate(pairwise(edges)):
        rows = np.arange(start, end)[::-1]  # in another order than the table
        path = folder / f"train_image_data_{part}.parquet"
        write_images(path, [names[row] for row in rows], images[rows], groups=None if part else 14)
    return folder
