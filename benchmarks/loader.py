"""Training images per second from JPEG files: ours against torchvision's loader, and against a fixed resident batch.

    python benchmarks/loader.py [--quick] [--json FILE] [--threads N] [--device cpu] [--decoders N] [--model SPEC]

Ours is an epoch of the classifiers' own training on a data set of files: decoder processes, crops at random, flips and
normalisation on the device, optimiser steps. The peer trains the same network on the same files through
`torchvision.datasets.ImageFolder`, RandomResizedCrop, RandomHorizontalFlip, PILToTensor, ToDtype and Normalize in a
`torch.utils.data.DataLoader` with as many workers, which stay between epochs, pinned for CUDA. The floor has as many
steps on one resident batch. Images are 64×64, and 500×375 of which 224² are cut. A second line of each size has no
network: the loaders alone, and as floor the transfer of a batch of bytes and its normalisation. Aim: at least 1.5 times
the peer at 64², no slower at 224². The memory over an epoch is printed too, of this process and of those that decode.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from harness import arguments, interleave, record, show, write
from loading import Source
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2

from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.data.decoders import decoders, use
from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.loader import normalise
from mixlens.analysis.training.backend import Backend
from mixlens.analysis.training.engine import take_step
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.train import make_batches, make_recipe, make_step

CLASSES = 10
CASES = ((64, (64, 64), 128), (224, (500, 375), 64))  # size, the files' width and height, batch size


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], decoders=0, model="conv4(width=4)", precision="auto")
    use(given.decoders or None)
    records = []
    with TemporaryDirectory() as folder:
        for size, sides, batch in CASES:
            count = (1024 if given.quick else 4096) if size == 64 else (128 if given.quick else 512)
            root = Path(folder) / str(size)
            for split, images in (("train", count), ("val", 2 * CLASSES)):
                draw(root / split, images, *sides)
            dataset = load_dataset(f"folder(path={str(root)!r},size={size})", Path(folder) / "data")
            for network in (True, False):
                records.append(raced(given, dataset, root, size, batch, network=network))
            print(f"{size}²: {flatness(given, dataset, batch)}")
    show(records)
    write(given.json, records)


def raced(
    given: argparse.Namespace, dataset: Dataset, root: Path, size: int, batch: int, *, network: bool
) -> dict[str, Any]:
    backend, config = given.backend, ClassifierConfig(model=given.model, batch_size=batch)
    ours = make_batches(config, dataset, backend.generator("benchmark", "images"), backend)
    transform = v2.Compose(
        [
            v2.RandomResizedCrop(size, antialias=True),
            v2.RandomHorizontalFlip(),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(dataset.mean, dataset.std),
        ]
    )
    workers, on_cuda = decoders().count, backend.device.type == "cuda"
    theirs = DataLoader(
        ImageFolder(str(root / "train"), transform),
        batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        pin_memory=on_cuda,
        drop_last=True,
    )

    def loaded() -> Source:
        for x, y in theirs:
            x = x.to(backend.device, non_blocking=on_cuda).contiguous(memory_format=torch.channels_last)
            yield x, y.to(backend.device, non_blocking=on_cuda)

    pixels, labels = dataset.train.images[:batch], dataset.train.labels[:batch].to(backend.device)
    fixed = normalise(pixels.to(backend.device), dataset.mean, dataset.std).contiguous(
        memory_format=torch.channels_last
    )

    def resident() -> Source:
        for _ in range(len(ours)):
            yield (fixed if network else normalise(pixels.to(backend.device), dataset.mean, dataset.std)), labels

    timings = interleave(
        {
            name: epoch_of(config, dataset, backend, source, network)
            for name, source in (("ours", ours.__iter__), ("theirs", loaded), ("floor", resident))
        },
        given.repeats or (5 if given.quick else 9),
    )
    images = len(dataset.train)
    what = f"train {given.model}" if network else "load"
    peer = f"ImageFolder, {workers} worker{'s' * (workers > 1)}"
    case = f"{what}, {images:,} at {size}²"
    found = record(case, peer, backend, **timings)
    speeds = ", ".join(f"{name} {images / found[name]:,.0f} images/s" for name in timings)
    print(f"{case}: {speeds}")
    return found


def epoch_of(
    config: ClassifierConfig, dataset: Dataset, backend: Backend, source: Callable[[], Source], network: bool
) -> Callable[[], None]:
    recipe = make_recipe(config, dataset, backend.generator("benchmark", "images"), backend)
    recipe.network.train()
    step = make_step(recipe, None, {}, backend)

    def epoch() -> None:
        for number, (x, y) in enumerate(source()):
            if network:
                take_step(recipe.optimizer, step, x, y, number)

    return epoch


def flatness(given: argparse.Namespace, dataset: Dataset, batch: int) -> str:
    """How the memory of this process, and of those that decode, grows over an epoch."""
    config = ClassifierConfig(model=given.model, batch_size=batch)
    batches = make_batches(config, dataset, given.backend.generator("benchmark", "memory"), given.backend)
    seen = [memory() for _ in batches]
    if not seen[0]:
        return "the memory is not known here"
    each = max(map(memory, children()), default=0)
    return (
        f"over an epoch of {len(dataset.train):,} images this process had {seen[len(seen) // 4]:.0f} MB after a "
        f"quarter, {max(seen):.0f} MB at most; each that decodes {each:.0f} MB"
    )


def memory(process: int | str = "self") -> float:
    """Megabytes that a process has in memory; 0 where the system does not say."""
    try:
        found = re.search(r"VmRSS:\s*(\d+) kB", Path(f"/proc/{process}/status").read_text(encoding="ascii"))
    except OSError:
        return 0.0
    return int(found[1]) / 1024 if found else 0.0


def children() -> list[int]:
    """Those that decode."""
    return [process.pid for process in decoders()._processes if process.poll() is None]


def draw(folder: Path, count: int, width: int, height: int) -> None:
    """JPEGs (quality 90) in class folders, of noise whose spectrum falls with the frequency as a photograph's does."""

    def one(number: int) -> None:
        generator = np.random.default_rng([number, width, len(folder.name)])
        across, down = np.fft.rfftfreq(width)[None, :], np.fft.fftfreq(height)[:, None]
        amplitude = np.maximum(np.hypot(across, down), 1 / width) ** -1.1
        shape = (3, *amplitude.shape)
        spectrum = amplitude * (generator.normal(size=shape) + 1j * generator.normal(size=shape))
        spectrum = 0.3 * spectrum + spectrum[:1]  # colours go together
        pixels = np.fft.irfft2(spectrum, s=(height, width)).transpose(1, 2, 0)
        pixels = 128 + 50 * (pixels - pixels.mean()) / pixels.std()
        place = folder / f"{number % CLASSES}" / f"{number}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place, quality=90)

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        list(threads.map(one, range(count)))


if __name__ == "__main__":
    main()
