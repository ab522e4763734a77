"""Smooth calibration error (Błasiok and Nakkiran 2023): an ECE without bins. Tensors in, tensors out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

GRID = 2**11  # cells of [0, 1]: a smooth ECE of 0.004 is that of exact kernel sums within 2·10⁻⁵
HALVINGS = 16  # of [0, 1], for the bandwidth


def smooth_error(confidence: Tensor, right: Tensor, weights: Tensor | None = None) -> Tensor:
    """smECE of confidences (N,) in [0, 1] and whether each image is right (N,), float64: 0 at best, at most 1.

    smECE_σ = ∫₀¹ |E K_σ(t, confidence) (right − confidence)| dt, with K_σ the Gaussian density of deviation σ reflected
    at 0 and 1, falls as σ grows; smECE is its value where it equals σ (arXiv 2309.12236), so that nobody chooses a
    bandwidth. It bounds neither the ECE nor the distance to calibration, but is a consistent measure of the latter:
    within polynomials of it from both sides, and steady where confidences move a little, which the ECE of bins is not.

    A confidence is shared by the two nearest of `GRID` cells, so that a small step is small there too. A reflected
    Gaussian multiplies the k-th cosine by exp(−(π k σ)²/2): smoothing is a product with the Fourier transform of the
    cells and their mirror image.

    ``weights`` (…, N) are how often each image is there: a value for each row, as of the images repeated.
    """
    weights = torch.ones_like(confidence) if weights is None else weights
    place = confidence * GRID - 0.5
    below = place.floor()
    gaps = weights.new_zeros(*weights.shape[:-1], GRID)
    for cell, share in ((below, 1 - (place - below)), (below + 1, place - below)):
        cells = cell.long().clamp(0, GRID - 1).expand_as(weights)  # beyond an end lies the mirror image of the last one
        gaps.scatter_add_(-1, cells, weights * (share * (right - confidence)))
    gaps /= weights.sum(-1, keepdim=True)
    waves = torch.fft.rfft(torch.cat([gaps, gaps.flip(-1)], -1))
    frequencies = math.pi * torch.arange(GRID + 1, dtype=gaps.dtype, device=gaps.device)

    def at(sigma: Tensor) -> Tensor:
        damped = waves * torch.exp(-((frequencies * sigma.unsqueeze(-1)) ** 2) / 2)
        return torch.fft.irfft(damped, n=2 * GRID)[..., :GRID].abs().sum(-1)

    sigma = torch.zeros_like(gaps[..., 0])
    for halving in range(1, HALVINGS + 1):
        further = sigma + 0.5**halving
        sigma = torch.where(at(further) > further, further, sigma)
    return at(sigma + 0.5 ** (HALVINGS + 1))
