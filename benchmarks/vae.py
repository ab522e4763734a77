"""VAE training images per second: ours against a torchvision DataLoader, and against a fixed resident batch.

    python benchmarks/vae.py [--quick] [--json FILE] [--threads N] [--device cpu] [--workers N]

Ours is the section's own training: batches cut, flipped, jittered and normalised on the device, FMix, one optimiser
step. The peer runs the same network, augmentation and optimiser, fed by `torch.utils.data.DataLoader` and torchvision's
ColorJitter, RandomHorizontalFlip, ToTensor and Normalize on PIL images, as the published code does. The floor is the
same step without any data work: one resident, normalised batch, unmixed, again and again. Aim: at least 0.9 of the
floor's speed, that is a floor ratio of at most 1.11.
"""

from __future__ import annotations

import torch
from harness import arguments
from loading import Pictures, race
from torchvision import transforms

from mixlens import FMix
from mixlens.analysis.data.sources import photos
from mixlens.analysis.training.engine import Step
from mixlens.vae.config import VAEConfig
from mixlens.vae.model import VAE
from mixlens.vae.train import make_batches, make_optimizer, make_step


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], workers=0, precision="auto")
    backend, config, dataset = given.backend, VAEConfig(), photos.load()

    def fresh(mixed: bool) -> tuple[Step, torch.optim.Optimizer]:
        model = VAE(config.latents)
        model.initialise(torch.Generator().manual_seed(0))
        model = backend.prepare(model).train()
        generators = {name: backend.generator("benchmark", name) for name in ("mixing", "latents")}
        mix = FMix(num_classes=10, mode="batch-mask") if mixed else None
        return make_step(config, model, mix, generators, backend), make_optimizer(config, model, backend)

    batches = make_batches(config, dataset, backend.generator("benchmark", "images"), backend)
    augment = [transforms.ColorJitter(*[config.jitter] * 4), transforms.RandomHorizontalFlip()]
    race(given, "images", fresh, batches, Pictures(dataset, augment), steps=4 if given.quick else 20)


if __name__ == "__main__":
    main()
