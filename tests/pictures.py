"""Small image files of true formats, in the layouts that data sets have."""

import numpy as np
from PIL import Image


def picture(seed, width=40, height=32):
    """Smooth noise, (H, W, 3) uint8: what JPEG keeps nearly as it is."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def save(path, seed=0, width=40, height=32, mode="RGB", **options):
    """A picture as a file of the format that its name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture(seed, width, height)).convert(mode).save(path, **options)
    return path


def class_folders(folder, classes=("cat", "dog"), each=6, start=0, ending="jpg", **options):
    """So many pictures, each of its own, in a folder for each class."""
    for place, name in enumerate(classes):
        for number in range(each):
            save(folder / name / f"{number}.{ending}", start + place * each + number, **options)
    return folder


def two_splits(folder, test="val", each=6, **options):
    """train and val, as torchvision's ImageFolder has them; sizes differ."""
    class_folders(folder / "train", each=each, **options)
    class_folders(folder / test, each=3, start=1000, width=36, height=50, **options)
    return folder
