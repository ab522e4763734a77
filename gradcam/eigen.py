"""EigenCAM, and the sign of a projection on a principal component, which no decomposition determines."""

from __future__ import annotations

import torch
from torch import Tensor


def eigencam(activations: Tensor, gradients: Tensor | None = None) -> Tensor:
    """ReLU of the projection of A, less its mean over pixels, on its first principal component, signed by `oriented`.

    Muhammad and Yeasin (2020); it needs no gradients.
    """
    pixels = activations.detach().flatten(2).double()  # (B, C, h·w)
    if not pixels.isfinite().all():
        return torch.full_like(activations[:, 0], torch.nan)
    centred = pixels - pixels.mean(2, keepdim=True)
    component = torch.linalg.eigh(centred @ centred.mT).eigenvectors[..., -1]
    projection = torch.einsum("bc,bcp->bp", component, centred).view(len(activations), *activations.shape[2:])
    return oriented(projection, activations).relu().to(activations.dtype)


def oriented(projection: Tensor, activations: Tensor) -> Tensor:
    """The projection (B, h, w) of each image or its negative.

    That under which its correlation with the energy Σ_c A_c² of the activations (B, C, h, w) is not negative.
    pytorch-grad-cam leaves the sign to LAPACK, where a rounding error, as another batch size makes, can turn it.
    """
    energy = activations.detach().double().square().sum(1)
    excess = energy - energy.mean((1, 2), keepdim=True)
    return torch.where((projection * excess).sum((1, 2), keepdim=True) < 0, -projection, projection)
