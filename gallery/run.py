"""The section's task: masks and mixed images of a study's augmentations, and spectra, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..analysis.interface import Task
from ..analysis.masks.policies import Policy
from ..analysis.store.runs import Run
from ..analysis.study.plan import Asked
from ..analysis.study.worker import Context
from .config import SECTION, GalleryConfig
from .measures import gallery, pictures, pixels, spectra


@dataclass(frozen=True)
class Drawing:
    settings: GalleryConfig
    augmentations: tuple[Mapping[str, Any], ...]


def tasks(asked: Asked) -> Sequence[Task]:
    """One task, which mixes test images of different classes by every augmentation."""
    policies = [policy for policy in asked.policies if not policy.is_baseline]
    return [
        Task(
            kind="gallery",
            version=2,
            work=f"{__name__}:draw",
            config=Drawing(asked.config, tuple(policy.fingerprint() for policy in policies)),
            section=SECTION.name,
            label="draw the masks",
            data=asked.dataset.checksum,
        )
    ]


def draw(config: Drawing, run: Run, inputs: Sequence[Run], context: Context) -> None:
    """Leaves the images, their partners, what each augmentation made of them, and FMix's spectra where it is one."""
    dataset, settings = context.dataset, config.settings
    columns = min(settings.columns, len(dataset.test) // 2)
    first, second = pictures(dataset, columns, settings.seed)
    drawable = columns > 1 and dataset.train.images.shape[1] in (1, 3)
    policies = [Policy.of(augmentation) for augmentation in config.augmentations]
    arrays = {}
    if drawable:
        classes = len(dataset.classes)
        arrays = gallery(policies, first, second, lam=settings.lam, seed=settings.seed, num_classes=classes)
    if any("fmix" in policy.spec.use for policy in policies):
        arrays |= spectra(dataset.image_size)
    run.write_arrays({"images": pixels(first), "partners": pixels(second)} | arrays)
