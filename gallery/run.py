"""The section's task: masks and mixed images of a study's augmentations, and spectra, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..analysis.data.dataset import Dataset
from ..analysis.interface import Task
from ..analysis.masks.policies import Policy
from ..analysis.store.runs import Run
from ..analysis.study.plan import Asked
from ..analysis.study.worker import Context
from .config import SECTION, GalleryConfig
from .figures import EXCERPTS
from .measures import excerpts, gallery, masks_of_texts, pictures, pixels, powers, spectra


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
    """Leaves the images, their partners, what each augmentation made of them, and FMix's spectra where it is one.

    Of texts: masks of a usual length, the first words of two, and which of them each augmentation takes.
    """
    dataset, settings = context.dataset, config.settings
    policies = [Policy.of(augmentation) for augmentation in config.augmentations]
    if dataset.vocabulary is not None:
        arrays, size = _of_texts(policies, dataset, settings, run)
    else:
        arrays, size = _of_pictures(policies, dataset, settings)
    if any("fmix" in policy.spec.use for policy in policies) and min(size) > 1:
        arrays |= spectra((size[0], size[1])) if len(size) == 2 else powers(size)
    run.write_arrays(arrays)


def _of_pictures(
    policies: Sequence[Policy], dataset: Dataset, settings: GalleryConfig
) -> tuple[dict[str, Any], tuple[int, ...]]:
    columns = min(settings.columns, len(dataset.test) // 2)
    first, second = pictures(dataset, columns, settings.seed)
    arrays = {"images": pixels(first), "partners": pixels(second)}
    if columns > 1 and first.shape[1] in (1, 3):
        classes = len(dataset.classes)
        arrays |= gallery(policies, first, second, lam=settings.lam, seed=settings.seed, num_classes=classes)
    return arrays, tuple(first.shape[2:])


def _of_texts(
    policies: Sequence[Policy], dataset: Dataset, settings: GalleryConfig, run: Run
) -> tuple[dict[str, Any], tuple[int, ...]]:
    length = int(dataset.test.images.lengths.median())
    if length < 2:
        return {}, (length,)
    both = excerpts(dataset, settings.seed)
    run.write_json(EXCERPTS, both)
    masks = masks_of_texts(policies, dataset, settings.columns, len(both[0]), lam=settings.lam, seed=settings.seed)
    return masks, (length,)
