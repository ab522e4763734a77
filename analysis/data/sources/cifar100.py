"""CIFAR-100 (Krizhevsky, 2009), by its 100 fine classes; its pickles are opened only after their MD5 is confirmed."""

from torchvision.datasets import CIFAR100

from ..published import cifar
from ..shape import Shape

ABOUT = "60,000 colour photographs of 32×32 pixels in 100 classes; 169 MB"
MEGABYTES = 169.0

MEAN = (0.5071, 0.4865, 0.4409)  # over all pixels of the training images, as is its deviation
STD = (0.2673, 0.2564, 0.2762)

SHAPE = Shape(50_000, 10_000, (3, 32, 32), tuple(map(str, range(100))), MEAN, STD)  # the names are in the files

_SET = cifar("cifar100", "CIFAR-100", CIFAR100, SHAPE)
status, fetch, load = _SET.status, _SET.fetch, _SET.load
