"""What training benchmarks share: the data set as a user would load it, one picture at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from mixlens.analysis.data.dataset import Dataset


class Pictures(TorchDataset[tuple[Tensor, int]]):
    """The training images one by one through torchvision's transforms."""

    def __init__(self, dataset: Dataset, augment: Sequence[Callable[..., object]]) -> None:
        self.images = dataset.train.images.permute(0, 2, 3, 1).contiguous().numpy()
        self.labels = dataset.train.labels.tolist()
        scale = [transforms.ToTensor(), transforms.Normalize(dataset.mean, dataset.std)]
        self.transform = transforms.Compose([transforms.ToPILImage(), *augment, *scale])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def endless(batches: Callable[[], Iterator[tuple[Tensor, Tensor]]]) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from batches()
