"""Classifier training images per second: ours against a torchvision DataLoader, and against a fixed resident batch.

    python benchmarks/training.py [--quick] [--json FILE] [--threads N] [--device cpu] [--workers N] [--width N]

Ours is the classifiers' own training: batches cut, flipped, cropped and normalised on the device, FMix, soft labels,
one optimiser step. The peer runs the same network, augmentation, optimiser and precision, fed by
`torch.utils.data.DataLoader` and torchvision's RandomCrop, RandomHorizontalFlip, ToTensor and Normalize on PIL images.
The floor is the same step without any data work: one resident, normalised batch, unmixed, again and again. Aim: at
least 0.9 of the floor's speed, that is a floor ratio of at most 1.11.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from harness import arguments, interleave, record, show, write
from loading import Pictures, endless
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms

from mixlens import FMix
from mixlens.analysis.data import photos
from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.training.backend import Backend
from mixlens.analysis.training.classifier import make_batches, make_network, make_optimizer, make_step
from mixlens.analysis.training.config import ClassifierConfig


def trainer(
    config: ClassifierConfig,
    dataset: Dataset,
    backend: Backend,
    source: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    mixed: bool,
) -> Callable[[], None]:
    """A function that trains a fresh classifier for ``steps`` more batches of the source."""
    network = backend.prepare(make_network(config, dataset)).train()
    optimizer = make_optimizer(config, network)
    mix = FMix(num_classes=len(dataset.classes), mode=config.mix_mode) if mixed else None
    step = make_step(network, mix, {"mixing": backend.generator("benchmark", "mixing")}, backend)

    def train() -> None:
        for number in range(steps):
            x, y = next(source)
            loss = step(x, y, number)["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return train


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], workers=0, width=16, precision="auto")
    backend, config = given.backend, ClassifierConfig(width=given.width)
    dataset = photos.load()
    steps = 4 if given.quick else 10
    batches = make_batches(config, dataset, backend.generator("benchmark", "images"), backend)
    augment = [transforms.RandomCrop(dataset.image_size, padding=config.crop), transforms.RandomHorizontalFlip()]
    loader = DataLoader(
        Pictures(dataset, augment), config.batch_size, shuffle=True, drop_last=True, num_workers=given.workers
    )

    def loaded() -> Iterator[tuple[Tensor, Tensor]]:
        memory_format = torch.channels_last if backend.channels_last else torch.contiguous_format
        for x, y in loader:
            yield x.to(backend.device).contiguous(memory_format=memory_format), y.to(backend.device)

    resident = next(iter(batches))
    make = partial(trainer, config, dataset, backend, steps=steps)
    timings = interleave(
        {
            "ours": make(source=endless(batches.__iter__), mixed=True),
            "theirs": make(source=endless(loaded), mixed=True),
            "floor": make(source=endless(lambda: iter([resident])), mixed=False),
        },
        given.repeats or (5 if given.quick else 9),
    )
    case = f"train {steps} × {config.batch_size} images, width {config.width}, {backend.precision}"
    peer = f"DataLoader, {given.workers} workers"
    records = [record(case, peer, backend, timings["ours"], timings["theirs"], timings["floor"])]
    show(records)
    images = steps * config.batch_size
    print(", ".join(f"{name} {images / records[0][name]:,.0f} images/s" for name in ("ours", "theirs", "floor")))
    write(given.json, records)


if __name__ == "__main__":
    main()
