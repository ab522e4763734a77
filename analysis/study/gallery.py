"""The task that draws a study's augmentations: example masks and mixed images, for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..data.dataset import Dataset
from ..interface import Row, Task
from ..masks.gallery import gallery, spectra
from ..store.runs import Run
from .plan import Study

COLUMNS = 8


def gallery_task(study: Study, dataset: Dataset) -> Task:
    """Masks at λ = ½ on test images of different classes; the power spectra of both FMix variants."""
    policies = [policy for policy in study.policies if not policy.is_baseline]

    def work(run: Run, inputs: tuple[Run, ...], context: Any) -> Sequence[Row]:
        columns = min(COLUMNS, len(dataset.test) // 2)
        first, second = pictures(dataset, columns)
        drawable = columns > 1 and dataset.train.images.shape[1] in (1, 3)
        drawn = gallery(policies, first, second) if drawable else {}
        run.write_arrays({"images": pixels(first), "partners": pixels(second)} | drawn | spectra(dataset.image_size))
        return []

    config = {"data": dataset.checksum, "augmentations": [dict(policy.settings) for policy in policies]}
    return Task("gallery", 1, "draw the masks", config, (), work)


def pictures(dataset: Dataset, columns: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two sets of test images (columns, C, H, W), drawn without replacement; partners of other classes if there are."""
    order = torch.randperm(len(dataset.test), generator=torch.Generator().manual_seed(seed))
    labels = dataset.test.labels[order]
    first, rest = order[:columns], order[columns:]
    chosen: list[int] = []
    for own in labels[:columns].tolist():
        others = (int(i) for i in rest.tolist() if i not in chosen)
        fallback = next(others)
        match = (
            fallback
            if int(dataset.test.labels[fallback]) != own
            else next((i for i in others if int(dataset.test.labels[i]) != own), fallback)
        )
        chosen.append(match)
    return dataset.test.images[first], dataset.test.images[torch.tensor(chosen)]


def pixels(images: Tensor) -> np.ndarray[Any, Any]:
    """uint8 (N, C, H, W) to (N, H, W, C) for drawing."""
    return images.permute(0, 2, 3, 1).contiguous().numpy()
