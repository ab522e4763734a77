"""Classifier training images per second: ours against a torchvision DataLoader, and against a fixed resident batch.

    python benchmarks/training.py [--quick] [--json FILE] [--threads N] [--device cpu] [--workers N] [--width N]

Ours is the classifiers' own training: batches cut, flipped, cropped and normalised on the device, FMix, soft labels,
one optimiser step. The peer runs the same network, augmentation, optimiser and precision, fed by
`torch.utils.data.DataLoader` and torchvision's RandomCrop, RandomHorizontalFlip, ToTensor and Normalize on PIL images.
The floor is the same step without any data work: one resident, normalised batch, unmixed, again and again. Aim: at
least 0.9 of the floor's speed, that is a floor ratio of at most 1.11.
"""

from __future__ import annotations

import torch
from harness import arguments
from loading import Pictures, race
from torchvision import transforms

from mixlens import FMix
from mixlens.analysis.data.sources import photos
from mixlens.analysis.training.loop import Step
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.model import make_network
from mixlens.classifier.train import make_batches, make_optimizer, make_step


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], workers=0, width=16, precision="auto")
    backend, config, dataset = given.backend, ClassifierConfig(width=given.width), photos.load()

    def fresh(mixed: bool) -> tuple[Step, torch.optim.Optimizer]:
        network = backend.prepare(make_network(config, dataset)).train()
        mix = FMix(num_classes=len(dataset.classes), mode=config.mix_mode) if mixed else None
        step = make_step(network, mix, {"mixing": backend.generator("benchmark", "mixing")}, backend)
        return step, make_optimizer(config, network)

    batches = make_batches(config, dataset, backend.generator("benchmark", "images"), backend)
    augment = [transforms.RandomCrop(dataset.image_size, padding=config.crop), transforms.RandomHorizontalFlip()]
    steps = 4 if given.quick else 10
    race(given, f"images, width {config.width}", fresh, batches, Pictures(dataset, augment), steps)


if __name__ == "__main__":
    main()
