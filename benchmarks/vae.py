"""VAE training images per second: ours against a torchvision DataLoader, and against a fixed resident batch.

    python benchmarks/vae.py [--quick] [--json FILE] [--threads N] [--device cpu] [--workers N]

Ours is the section's own training: batches cut, flipped, jittered and normalised on the device, FMix, one optimiser
step. The peer runs the same network, augmentation and optimiser, fed by `torch.utils.data.DataLoader` and torchvision's
ColorJitter, RandomHorizontalFlip, ToTensor and Normalize on PIL images, as the published code does. The floor is the
same step without any data work: one resident, normalised batch, unmixed, again and again. Aim: at least 0.9 of the
floor's speed, that is a floor ratio of at most 1.11.
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
from mixlens.analysis.training.backend import Backend
from mixlens.analysis.training.loop import Step
from mixlens.vae.config import VAEConfig
from mixlens.vae.model import VAE
from mixlens.vae.train import make_batches, make_optimizer, make_step


def trainer(
    config: VAEConfig, backend: Backend, source: Iterator[tuple[Tensor, Tensor]], steps: int, mixed: bool
) -> Callable[[], None]:
    """A function that trains a fresh VAE for ``steps`` more batches of the source."""
    model = VAE(config.latents)
    model.initialise(torch.Generator().manual_seed(0))
    model = backend.prepare(model).train()
    optimizer = make_optimizer(config, model, backend)
    generators = {name: backend.generator("benchmark", name) for name in ("mixing", "latents")}
    mix = FMix(num_classes=10, mode=config.mix_mode) if mixed else None
    step: Step = make_step(config, model, mix, generators, backend)

    def train() -> None:
        for number in range(steps):
            x, y = next(source)
            loss = step(x, y, number)["loss"]
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    return train


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], workers=0, precision="auto")
    backend, config = given.backend, VAEConfig()
    dataset = photos.load()
    steps = 4 if given.quick else 20
    batches = make_batches(config, dataset, backend.generator("benchmark", "images"), backend)
    augment = [transforms.ColorJitter(*[config.jitter] * 4), transforms.RandomHorizontalFlip()]
    loader = DataLoader(
        Pictures(dataset, augment), config.batch_size, shuffle=True, drop_last=True, num_workers=given.workers
    )

    def loaded() -> Iterator[tuple[Tensor, Tensor]]:
        memory_format = torch.channels_last if backend.channels_last else torch.contiguous_format
        for x, y in loader:
            yield x.to(backend.device).contiguous(memory_format=memory_format), y.to(backend.device)

    resident = next(iter(batches))
    make = partial(trainer, config, backend, steps=steps)
    timings = interleave(
        {
            "ours": make(source=endless(batches.__iter__), mixed=True),
            "theirs": make(source=endless(loaded), mixed=True),
            "floor": make(source=endless(lambda: iter([resident])), mixed=False),
        },
        given.repeats or (5 if given.quick else 9),
    )
    case = f"train {steps} × {config.batch_size} images, {backend.precision}"
    peer = f"DataLoader, {given.workers} workers"
    records = [record(case, peer, backend, timings["ours"], timings["theirs"], timings["floor"])]
    show(records)
    images = steps * config.batch_size
    print(", ".join(f"{name} {images / records[0][name]:,.0f} images/s" for name in ("ours", "theirs", "floor")))
    write(given.json, records)


if __name__ == "__main__":
    main()
