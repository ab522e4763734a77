"""Classifier training images per second: ours against a torchvision DataLoader, and against a fixed resident batch.

    python benchmarks/training.py [--quick] [--json FILE] [--threads N] [--device cpu] [--workers N] [--model SPEC]

Ours is the classifiers' own training: batches cut, flipped, cropped and normalised on the device, FMix, both labels,
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
from mixlens.analysis.training.engine import Step
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.train import make_batches, make_recipe, make_step


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], workers=0, model="preact-resnet18(width=16)", precision="auto")
    backend, config, dataset = given.backend, ClassifierConfig(model=given.model), photos.load()

    def fresh(mixed: bool) -> tuple[Step, torch.optim.Optimizer]:
        recipe = make_recipe(config, dataset, backend.generator("benchmark", "images"), backend)
        recipe.network.train()
        mix = FMix(num_classes=len(dataset.classes), mode="batch-mask") if mixed else None
        step = make_step(recipe, mix, {"mixing": backend.generator("benchmark", "mixing")}, backend)
        return step, recipe.optimizer

    batches = make_batches(config, dataset, backend.generator("benchmark", "images"), backend)
    augment = [transforms.RandomCrop(dataset.image_size, padding=config.crop), transforms.RandomHorizontalFlip()]
    steps = 4 if given.quick else 10
    race(given, f"images, {config.model}", fresh, batches, Pictures(dataset, augment), steps)


if __name__ == "__main__":
    main()
