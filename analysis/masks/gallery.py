"""What masks look like: example masks, mixed images and mean power spectra of each augmentation, as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..interface import MixedBatch
from .fmix import FMix, low_frequency_image
from .policies import Policy

SPECTRUM_IMAGES = 4096


def gallery(
    policies: Sequence[Policy], images: Tensor, partners: Tensor, *, lam: float | None = 0.5, seed: int = 0
) -> dict[str, np.ndarray]:
    """Masks and mixed images by each policy that mixes pairs, from the same images.

    Args:
        policies: the baseline and users' own augmentations without ``pairs`` are left out.
        images, partners: uint8 (N, 3, H, W), N ≥ 2; image i is mixed with partner i.
        lam: λ asked of every mask, as in Fig. 2; None draws it.
        seed: of the masks.

    Returns:
        ``mask:<name>`` (N, H, W) float32 and ``mixed:<name>`` (N, H, W, 3) uint8 for each policy.

    Raises:
        InputError: λ outside [0, 1], images and partners of different shapes.
    """
    if images.shape != partners.shape or len(images) < 2:
        raise InputError(f"need as many images as partners, two or more, got {len(images)} and {len(partners)}.")
    if lam is not None and not 0 <= lam <= 1:
        raise InputError(f"lam must lie in [0, 1], got {lam!r}.")
    both = torch.cat([images, partners]).float() / 255
    n = len(images)
    index = torch.cat([torch.arange(n, 2 * n), torch.arange(n)])
    drawn: dict[str, np.ndarray] = {}
    for policy in policies:
        mix = policy.build(num_classes=1, mode="elem")
        if mix is None or not hasattr(mix, "pairs"):
            continue
        generator = torch.Generator().manual_seed(seed)
        asked = {} if lam is None else {"lam": torch.full((2 * n,), float(lam))}
        labels = torch.zeros(2 * n, dtype=torch.long)
        batch: MixedBatch = mix.pairs(both, labels, generator=generator, index=index, **asked)
        drawn[f"mask:{policy.text}"] = batch.mask[:n, 0].numpy().copy()
        mixed = (batch.x[:n].clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
        drawn[f"mixed:{policy.text}"] = mixed.contiguous().numpy()
    return drawn


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
