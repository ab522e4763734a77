"""Fashion-MNIST (Xiao, Rasul and Vollgraf, 2017): Zalando's articles in the format of MNIST.

The paper's published code pins an earlier revision, in which images stood in both splits; torchvision's files are the
later ones.
"""

from pathlib import Path

from torchvision.datasets import FashionMNIST
from torchvision.datasets.utils import download_and_extract_archive

from ..published import Published
from ..shape import Shape

ABOUT = "70,000 grey pictures of clothes of 28×28 pixels in ten classes; 31 MB"
MEGABYTES = 31.0

MEAN = (0.2860,)  # over all pixels of the training images, as is its deviation
STD = (0.3530,)

CLASSES = tuple(FashionMNIST.classes)
SHAPE = Shape(60_000, 10_000, (1, 28, 28), CLASSES, MEAN, STD)
FOLDER = "FashionMNIST/raw"
_FILES = {  # unpacked
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}


def _download(folder: Path) -> None:
    for name, md5 in FashionMNIST.resources:
        download_and_extract_archive(f"{FashionMNIST.mirrors[0]}{name}", folder / FOLDER, filename=name, md5=md5)


_SET = Published(
    name="fashion_mnist",
    title="Fashion-MNIST",
    folder=FOLDER,
    files=_FILES,
    shape=SHAPE,
    address=FashionMNIST.mirrors[0],
    read=FashionMNIST,
    download=_download,
)
status, fetch, load = _SET.status, _SET.fetch, _SET.load
