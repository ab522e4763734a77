"""A classifier's logits on test images, and how often they are right. Tensors in, tensors out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..analysis.training.backend import Backend, images_at_once


def to_unit(images: Tensor, backend: Backend) -> Tensor:
    """uint8 images on the device as float32 in [0, 1]."""
    x = images.to(backend.device).float().div_(255)
    return x.contiguous(memory_format=torch.channels_last) if backend.channels_last else x


def predict(model: nn.Module, images: Tensor, backend: Backend, batch_size: int | None = None) -> Tensor:
    """Logits (N, classes), float32 on the device, of uint8 images (N, C, H, W), in batches and without gradients."""
    parts = images.split(batch_size or images_at_once(backend.device))
    with torch.no_grad():
        return torch.cat([model(to_unit(part, backend)).float() for part in parts])


def right_and_nll(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which images (N,) are classified correctly, and the cross entropy −log p(label) of each in nats."""
    return logits.argmax(1) == labels, F.cross_entropy(logits, labels, reduction="none")
