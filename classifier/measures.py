"""A classifier's logits on test images, and how often they are right. Tensors in, tensors out."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from ..analysis.data.image_files import ImageFiles
from ..analysis.errors import InputError
from ..analysis.training.backend import Backend, images_at_once


def to_unit(images: Tensor, backend: Backend) -> Tensor:
    """uint8 images on the device as float32 in [0, 1]."""
    x = images.to(backend.device).float().div_(255)
    return x.contiguous(memory_format=torch.channels_last) if backend.channels_last else x


def predict(
    model: nn.Module,
    images: Tensor | np.ndarray[Any, Any] | ImageFiles,
    backend: Backend,
    batch_size: int | None = None,
) -> Tensor:
    """Logits (N, classes), float32 on the device, of uint8 images (N, C, H, W), in batches and without gradients.

    Raises:
        InputError: images that are none, a model in training mode, or one that gives no logits.
    """
    if not isinstance(images, ImageFiles):
        images = torch.as_tensor(images)
    if images.ndim != 4 or not len(images) or images.dtype != torch.uint8:
        raise InputError(f"expected images as uint8 (N, C, H, W); got {tuple(images.shape)} of {images.dtype}.")
    check_evaluating(model)
    logits = []
    with torch.no_grad():
        for part in images.split(batch_size or images_at_once(backend.device)):
            logits.append(model(to_unit(part, backend)))
            check_logits(logits[-1], len(part))
    return torch.cat(logits).float()


def check_evaluating(model: nn.Module) -> None:
    """Refuse a model whose outputs depend on the batch, or on chance, and whose passes change it. Raises InputError."""
    for name, module in model.named_modules():
        if module.training and isinstance(module, _NormBase | _DropoutNd | nn.RReLU):
            kind = type(module).__name__
            raise InputError(f"the model's {name or 'root'} ({kind}) is in training mode: call eval().")
        if isinstance(module, _BatchNorm) and module.running_mean is None:
            raise InputError(
                f"the model's {name or 'root'} ({type(module).__name__}) normalises by the batch at hand, in eval mode "
                "too, so that an image's logits depend on the others. Leave out track_running_stats=False."
            )


def check_logits(logits: object, images: int) -> None:
    """Refuse what is no tensor of logits (B, classes). Raises InputError."""
    if not isinstance(logits, Tensor):
        raise InputError(f"the model returns {type(logits).__name__}; expected one tensor of logits (B, classes).")
    if logits.ndim != 2 or len(logits) != images or logits.shape[1] < 2:
        raise InputError(
            f"the model returns {tuple(logits.shape)} for {images} images; expected ({images}, classes), a logit for "
            "each class."
        )


def right_and_nll(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which images (N,) are classified correctly, and the cross entropy −log p(label) of each in nats."""
    return logits.argmax(1) == labels, F.cross_entropy(logits, labels, reduction="none")
