"""Transforms of a batch: ours, all images of an operation at once, against torchvision's image by image.

    python benchmarks/transforms.py [--quick] [--json FILE] [--threads N] [--device cpu] [--images N]

Of AutoAugment (CIFAR-10's policy) and RandAugment, on bytes; then of sub-policies as Fast AutoAugment's, each with a
chance and a level of its own, for which torchvision has no transform: there the peer calls its operations one by one.
The floor is a random crop and flip of the same batch, which every training has.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from harness import arguments, interleave, record, show, write
from torch import Tensor
from torchvision.transforms import v2

from mixlens.analysis.data.loader import Transforms
from mixlens.analysis.data.operations import OPERATIONS
from mixlens.analysis.data.sources import photos
from mixlens.analysis.data.sub_policies import FAST, SubPolicies, autoaugment, fast_autoaugment, randaugment

SUB_POLICIES = 493  # as many as the published list of CIFAR-10's


def made_up(count: int) -> SubPolicies:
    """As many sub-policies of two operations, drawn evenly."""
    draws = random.Random(0)
    listed = [[[draws.choice(list(FAST)), draws.random(), draws.random()] for _ in range(2)] for _ in range(count)]
    with TemporaryDirectory() as folder:
        path = Path(folder) / "policies.json"
        path.write_text(json.dumps(listed), encoding="utf-8")
        return fast_autoaugment(str(path))


def one_by_one(policies: SubPolicies) -> Callable[[Tensor], Tensor]:
    """The same sub-policies on one image (C, H, W): an operation's call for each image and step."""

    def transform(image: Tensor) -> Tensor:
        x = image.unsqueeze(0)
        for step in random.choice(policies.listed):
            if random.random() < step.chance:
                side = -1 if step.mirrored and random.random() < 0.5 else 1
                x = OPERATIONS[step.operation](x, torch.tensor([side * step.strength]), torch.rand(1, 2))
        return x[0]

    return transform


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], images=128)
    backend, records = given.backend, []
    images = photos.load().train.images[: given.images].to(backend.device)
    generator = backend.generator("benchmark", "images")
    floor = Transforms(flip=True, crop_padding=4)
    fast = made_up(SUB_POLICIES)
    cases: dict[str, tuple[SubPolicies, str, Callable[[Tensor], Tensor]]] = {
        "autoaugment": (autoaugment(), "torchvision", v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10)),
        "randaugment(n=2,m=9)": (randaugment(2, 9), "torchvision", v2.RandAugment(2, 9)),
        f"{SUB_POLICIES} sub-policies of 2 operations": (fast, "one by one", one_by_one(fast)),
    }
    for name, (policies, peer, transform) in cases.items():
        timings = interleave(
            {
                "ours": lambda policies=policies: policies(
                    images, lambda rows: torch.rand(rows, len(images), generator=generator, device=images.device)
                ),
                "theirs": lambda transform=transform: torch.stack([transform(image) for image in images]),
                "floor": lambda: floor(images, generator=generator),
            },
            given.repeats or (5 if given.quick else 15),
        )
        records.append(record(f"{len(images)} × {name}", peer, backend, **timings))
    show(records)
    write(given.json, records)


if __name__ == "__main__":
    main()
