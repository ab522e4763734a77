"""CIFAR-10 (Krizhevsky, 2009) as torchvision stores it; its pickles are opened only after their MD5 is confirmed."""

from torchvision.datasets import CIFAR10

from ..published import cifar
from ..shape import Shape

ABOUT = "60,000 colour photographs of 32×32 pixels in ten classes; 170 MB"
MEGABYTES = 170.0

# The constants of the published FMix code. Its std is the average of the images' own deviations, which is smaller than
# the deviation over all pixels (0.247, 0.243, 0.262).
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2023, 0.1994, 0.2010)

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
SHAPE = Shape(50_000, 10_000, (3, 32, 32), CLASSES, MEAN, STD)

_SET = cifar("cifar10", "CIFAR-10", CIFAR10, SHAPE)
status, fetch, load = _SET.status, _SET.fetch, _SET.load
