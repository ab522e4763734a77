"""A training step of each of the paper's networks at its full size, with each augmentation.

    python benchmarks/architectures.py [--quick] [--json FILE] [--threads N] [--device cpu] [--images N] [--only WORD]

Ours is the classifiers' own step: a batch cut, flipped, cropped and normalised on the device, mixed as published, both
labels, the optimiser. The floor is the same step bare: one resident, normalised batch, unmixed, again and again; what
ours takes longer is what augmentation costs. Parameters, and the multiply-adds of a step for each image, forward and
backward, are counted by PyTorch's FlopCounterMode (convolutions and matrix products). Images are noise of the data
set's size. ``--quick`` takes small networks of the same kinds; ``--only`` those whose name holds a word.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from harness import arguments, installed, interleave, record, show, write
from torch.utils.flop_counter import FlopCounterMode

from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.data.shape import Shape
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.models.build import build
from mixlens.analysis.training.backend import Backend
from mixlens.analysis.training.engine import take_step
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.train import make_recipe, make_step

AUGMENTATIONS = ("baseline", "mixup", "cutmix", "fmix", "fmix+mixup")
REPEATS = 5


class Case(NamedTuple):
    data: str
    model: str
    image: tuple[int, int, int]  # channels, height, width
    classes: int


FULL = (
    Case("CIFAR-10", "preact-resnet18", (3, 32, 32), 10),
    Case("CIFAR-10", "wide-resnet(depth=28,width=10)", (3, 32, 32), 10),
    Case("CIFAR-10", "densenet-bc(depth=190,growth=40)", (3, 32, 32), 10),
    Case("CIFAR-10", "pyramidnet(depth=272,alpha=200)", (3, 32, 32), 10),
    Case("Fashion-MNIST", "preact-resnet18", (1, 28, 28), 10),
    Case("Fashion-MNIST", "wide-resnet(depth=28,width=10)", (1, 28, 28), 10),
    Case("Fashion-MNIST", "densenet-bc(depth=190,growth=40)", (1, 28, 28), 10),
    Case("Tiny-ImageNet", "preact-resnet18", (3, 64, 64), 200),
    Case("ImageNet", "torchvision:resnet101", (3, 224, 224), 1000),
    Case("Bengali.AI", "timm:seresnext50_32x4d", (1, 64, 64), 168),
)
SMALL = (
    Case("32×32", "preact-resnet18(width=8)", (3, 32, 32), 10),
    Case("32×32", "wide-resnet(depth=10,width=1)", (3, 32, 32), 10),
    Case("32×32", "densenet-bc(depth=22,growth=4)", (3, 32, 32), 10),
    Case("32×32", "pyramidnet(depth=29,alpha=12)", (3, 32, 32), 10),
    Case("64×64", "torchvision:resnet18", (3, 64, 64), 10),
    Case("64×64", "timm:seresnext26t_32x4d", (1, 64, 64), 10),
)


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], images=4, only="", precision="auto")
    records = []
    for case in SMALL if given.quick else FULL:
        if given.only not in f"{case.data} {case.model}":
            continue
        if case.model.startswith("timm:") and installed("timm") is None:
            print(f"{case.model}: timm is not installed")
            continue
        records += measured(case, given.images, given.backend, given.repeats or REPEATS)
        write(given.json, records)  # what is there so far: the whole takes a while
    show(records)
    for row in records[:: len(AUGMENTATIONS)]:
        print(
            f"{row['case'].rpartition(', ')[0]}: {row['parameters'] / 1e6:.1f} million parameters, "
            f"{row['multiply_adds'] / 1e9:.2f} billion multiply-adds an image, {row['images']} images a step"
        )


def measured(case: Case, images: int, backend: Backend, repeats: int) -> list[dict[str, Any]]:
    """A record for each augmentation."""
    channels = case.image[0]
    classes = tuple(f"class {number}" for number in range(case.classes))
    dataset = Shape(images, images, case.image, classes, (0.5,) * channels, (0.25,) * channels).stand_in(case.data)
    stepping = steps(case, dataset, images, backend)
    facts = {"model": case.model, "data": case.data, "images": images, **counted(case)}
    with backend.session():
        timings = interleave(stepping, repeats)
    timings["fmix+mixup"] = [seconds / 2 for seconds in timings["fmix+mixup"]]
    return [
        record(
            f"{case.data}, {case.model}, {name}", "bare step", backend, timings[name], timings["bare"], timings["bare"]
        )
        | {"augmentation": name, **facts}
        for name in AUGMENTATIONS
    ]


def steps(case: Case, dataset: Dataset, images: int, backend: Backend) -> dict[str, Callable[[], None]]:
    """A training step by name, all of one network. Of augmentations that take turns, both."""
    config = ClassifierConfig(model=case.model, batch_size=images, learning_rate=1e-6)
    recipe = make_recipe(config, dataset, backend.generator("benchmark", "images"), backend)
    recipe.network.train()
    resident = next(iter(recipe.batches))

    def stepping(name: str, bare: bool) -> Callable[[], None]:
        mix = parse_policy(name).build(len(dataset.classes), config.mix_mode)
        step = make_step(recipe, mix, {"mixing": backend.generator("benchmark", "mixing")}, backend)
        numbers = itertools.count()

        def once() -> None:
            x, y = resident if bare else next(iter(recipe.batches))
            take_step(recipe.optimizer, step, x, y, next(numbers))

        def twice() -> None:
            once()
            once()

        return twice if "+" in name else once

    return {"bare": stepping("baseline", True)} | {name: stepping(name, False) for name in AUGMENTATIONS}


def counted(case: Case) -> dict[str, int]:
    """Parameters, and the multiply-adds of a training step for an image; nothing is computed for it."""
    with torch.device("meta"):
        network = build(case.model, classes=case.classes, channels=case.image[0])
        x = torch.zeros(2, *case.image)
        counter = FlopCounterMode(display=False)
        with counter:
            network.train()(x).sum().backward()
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "multiply_adds": counter.get_total_flops() // 2 // len(x)}


if __name__ == "__main__":
    main()
