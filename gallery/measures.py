"""What masks look like: example masks, mixed samples and mean power spectra of each augmentation, as plain arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..analysis.data.dataset import Dataset
from ..analysis.errors import InputError
from ..analysis.masks.fmix import FMix, low_frequency_image
from ..analysis.masks.policies import PUBLISHED, OwnAugmentation, Policy
from ..analysis.masks.structure import Statistic, power_shares, structure
from ..analysis.masks.transform import Mix, check_lam, sample_lam

SPECTRUM_IMAGES = 4096
SPECTRUM_PIXELS = 2**23  # of all images together: fewer large ones
WORDS = 20  # of a text that are shown


def gallery(
    policies: Sequence[Policy],
    images: Tensor,
    partners: Tensor,
    *,
    lam: float = 0.5,
    seed: int = 0,
    num_classes: int = 1,
) -> dict[str, np.ndarray]:
    """Masks and mixed images by each policy, from the same images; a user's own mixes them as it likes, without masks.

    Args:
        policies: the baseline and alternating ones (their parts draw the same) are left out.
        images, partners: uint8 (N, C, H, W), or volumes (N, C, D, H, W), of one or three channels, N ≥ 2; image i is
            mixed with partner i.
        lam: λ asked of every mask, as in Fig. 2.
        seed: of the masks.
        num_classes: of the labels, which users' own augmentations may look at: all are class 0 here.

    Returns:
        ``mask:<name>`` (N, H, W) float32 and ``mixed:<name>`` (N, H, W, C) uint8 for each policy, of volumes with their
        depth before H; of a user's own the latter alone.

    Raises:
        InputError: λ outside [0, 1], images and partners of different shapes or of 2 channels; what `OwnAugmentation`
            refuses.
    """
    if images.shape != partners.shape or len(images) < 2:
        raise InputError(f"need as many images as partners, two or more, got {len(images)} and {len(partners)}.")
    if not 0 <= lam <= 1:
        raise InputError(f"lam must lie in [0, 1], got {lam!r}.")
    if images.shape[1] not in (1, 3):
        raise InputError(f"pictures have 1 or 3 channels, these have {images.shape[1]}.")
    both = torch.cat([images, partners]).float() / 255
    n = len(images)
    index = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    drawn: dict[str, np.ndarray] = {}
    for policy in policies:
        mix = policy.build(num_classes=num_classes, mode=PUBLISHED)
        generator = torch.Generator().manual_seed(seed)
        labels = torch.zeros(2 * n, dtype=torch.long)
        if isinstance(mix, Mix):
            batch = mix.pairs(both, labels, generator=generator, index=index, lam=torch.full((2 * n,), float(lam)))
            drawn[f"mask:{policy.text}"] = batch.mask[:n, 0].numpy().copy()
            made = batch.x
        elif isinstance(mix, OwnAugmentation):
            made = mix.pairs(both.clone(), labels, generator=generator, step=0)[0]
        else:
            continue
        drawn[f"mixed:{policy.text}"] = pixels((made[:n].clamp(0, 1) * 255).round().byte())
    return drawn


def masks_of(
    policies: Sequence[Policy], count: int, size: tuple[int, ...], *, lam: float | None = 0.5, seed: int = 0
) -> dict[str, Tensor]:
    """So many masks of each policy that makes them, (count, *size) float32 each, drawn independently.

    Args:
        lam: λ of every mask; None: each has its own of the policy's distribution, as in a training.

    Raises:
        InputError: λ outside [0, 1]; a size that a policy has no masks of.
    """
    asked = torch.full((count,), 0.5 if lam is None else float(lam))
    check_lam(asked)
    drawn = {}
    for policy in policies:
        mix, generator = policy.build(num_classes=1, mode=PUBLISHED), torch.Generator().manual_seed(seed)
        if isinstance(mix, Mix):
            if lam is None:
                asked = sample_lam(count, mix.alpha, reformulate=mix.reformulate, generator=generator)
            masks = mix.draw_mask(asked, size, generator=generator)
            drawn[policy.text] = masks.expand(count, 1, *size)[:, 0]
    return drawn


def structures(masks: Mapping[str, Tensor]) -> dict[str, list[Statistic]]:
    """What tells masks apart, of each policy whose masks are not λ everywhere."""
    return {
        name: structure(each)
        for name, each in masks.items()
        if bool((each != each.flatten(1)[:, 0].view(-1, *[1] * (each.ndim - 1))).any())
    }


def spectra(size: tuple[int, int], decay_power: float = FMix.decay_power, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Mean power spectra of low-frequency images of both variants, zero frequency in the middle: (H, W) each.

    In units of the largest bin apart from the zero frequency, which no threshold sees and which is left out (NaN).
    """
    found = {}
    for variant in ("paper", "official"):
        generator = torch.Generator().manual_seed(seed)
        images = low_frequency_image(SPECTRUM_IMAGES, size, decay_power, variant=variant, generator=generator)
        power = torch.fft.fft2(images.double()).abs().square().mean(0)
        power[0, 0] = torch.nan
        scaled = power / power[~power.isnan()].max()
        found[f"spectrum:{variant}"] = torch.fft.fftshift(scaled).float().numpy()
    return found


def powers(size: tuple[int, ...], decay_power: float = FMix.decay_power, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Mean shares of the power by |k| along each axis, of low-frequency images of both variants: (axes, most |k| + 1).

    Without the zero frequency of all axes; NaN beyond an axis' highest.
    """
    count = max(2, min(SPECTRUM_IMAGES, SPECTRUM_PIXELS // math.prod(size)))
    found = {}
    for variant in ("paper", "official"):
        generator = torch.Generator().manual_seed(seed)
        images = low_frequency_image(count, size, decay_power, variant=variant, generator=generator)
        table = np.full((len(size), max(size) // 2 + 1), np.nan, np.float32)
        for row, shares in zip(table, power_shares(images), strict=True):
            row[: shares.shape[1]] = shares.mean(0).numpy()
        found[f"power:{variant}"] = table
    return found


def excerpts(dataset: Dataset, seed: int = 0) -> tuple[list[str], list[str]]:
    """The first words of two test texts, of different classes if there are: as many of each, `WORDS` at most."""
    assert dataset.vocabulary is not None
    lengths = dataset.test.images.lengths
    shown = min(WORDS, int(lengths.median()))
    order = torch.randperm(len(lengths), generator=torch.Generator().manual_seed(seed))
    order = order[lengths[order] >= shown]  # half of them at least
    labels = dataset.test.first[order]
    others = (labels != labels[0]).nonzero().flatten()
    both = order[0], order[int(others[0]) if len(others) else 1]
    words = dataset.vocabulary.words
    first, second = ([words[int(number) - 1] for number in dataset.test.images[int(text)][:shown]] for text in both)
    return first, second


def masks_of_texts(
    policies: Sequence[Policy], dataset: Dataset, count: int, words: int, *, lam: float = 0.5, seed: int = 0
) -> dict[str, np.ndarray]:
    """``mask:<name>``, masks (count, length) of the test texts' median length, and ``taken:<name>``, one (1, words)."""
    drawn: dict[str, np.ndarray] = {}
    for key, number, length in (("mask", count, int(dataset.test.images.lengths.median())), ("taken", 1, words)):
        masks = masks_of(policies, number, (length,), lam=lam, seed=seed)
        drawn |= {f"{key}:{name}": each.numpy() for name, each in masks.items()}
    return drawn


def pictures(dataset: Dataset, columns: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Two sets of test images (columns, C, H, W), drawn without replacement; partners of other classes if there are."""
    order = torch.randperm(len(dataset.test), generator=torch.Generator().manual_seed(seed))
    labels = dataset.test.first[order]
    first, rest = order[:columns], order[columns:]
    chosen: list[int] = []
    for label in labels[:columns].tolist():
        others = (int(i) for i in rest.tolist() if i not in chosen)
        fallback = next(others)
        match = (
            fallback
            if int(dataset.test.first[fallback]) != label
            else next((i for i in others if int(dataset.test.first[i]) != label), fallback)
        )
        chosen.append(match)
    return dataset.test.images[first], dataset.test.images[torch.tensor(chosen)]


def pixels(images: Tensor) -> np.ndarray[Any, Any]:
    """uint8 (N, C, *size) to (N, *size, C) for drawing."""
    return images.movedim(1, -1).contiguous().numpy()
