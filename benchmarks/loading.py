"""What training benchmarks share: the data set as a user would load it, and the race of our batches against it."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Sequence

from harness import interleave, record, show, write
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.data.loader import Batches
from mixlens.analysis.training.engine import Step

Source = Iterator[tuple[Tensor, Tensor]]


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


def race(
    given: argparse.Namespace,
    case: str,
    fresh: Callable[[bool], tuple[Step, Optimizer]],
    batches: Batches,
    pictures: Pictures,
    steps: int,
) -> None:
    """Time training on our batches, on a DataLoader's, and unmixed on one resident batch; print and write the record.

    ``fresh`` gives the step and the optimiser of a new network, with mixing or without.
    """
    backend, size = given.backend, batches.batch_size
    loader = DataLoader(pictures, size, shuffle=True, drop_last=True, num_workers=given.workers)
    resident = next(iter(batches))

    def loaded() -> Source:
        for x, y in loader:
            yield x.to(backend.device).contiguous(memory_format=batches.memory_format), y.to(backend.device)

    def trainer(source: Source, mixed: bool) -> Callable[[], None]:
        step, optimizer = fresh(mixed)

        def train() -> None:
            for number in range(steps):
                x, y = next(source)
                loss = step(x, y, number)["loss"]
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        return train

    timings = interleave(
        {
            "ours": trainer(endless(batches.__iter__), mixed=True),
            "theirs": trainer(endless(loaded), mixed=True),
            "floor": trainer(itertools.repeat(resident), mixed=False),
        },
        given.repeats or (5 if given.quick else 9),
    )
    peer = f"DataLoader, {given.workers} workers"
    records = [record(f"train {steps} × {size} {case}, {backend.precision}", peer, backend, **timings)]
    show(records)
    print(", ".join(f"{name} {steps * size / records[0][name]:,.0f} images/s" for name in timings))
    write(given.json, records)


def endless(batches: Callable[[], Source]) -> Source:
    while True:
        yield from batches()
