"""A classifier's logits on test images, and how often they are right. Tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm, _NormBase
from torch.nn.modules.dropout import _DropoutNd

from ..analysis.data.modality import Modality, modality_of
from ..analysis.errors import InputError
from ..analysis.training.backend import Backend, images_at_once

Images: TypeAlias = "Tensor | np.ndarray[Any, Any] | Any"  # what stands in a `Split`


def to_unit(images: Tensor, backend: Backend, modality: Modality | None = None) -> Tensor:
    """uint8 images on the device as float32 in [0, 1]; of another modality whatever it is encoded as."""
    moved = images.to(backend.device)
    return (modality or modality_of(moved)).encoded(moved, channels_last=backend.channels_last)


def predict(
    model: nn.Module,
    images: Images,
    backend: Backend,
    batch_size: int | None = None,
) -> Tensor:
    """Logits (N, classes), float32 on the device, of uint8 images (N, C, H, W), in batches and without gradients.

    Of what else a `Split` may hold likewise.

    Raises:
        InputError: images that are none, a model in training mode, or one that gives no logits.
    """
    logits: list[Tensor] = []
    rows: list[Tensor] = []
    for outputs, part in _batches(model, images, backend, batch_size):
        check_logits(outputs, len(part))
        logits.append(outputs)
        rows.append(part)
    return _in_order(logits, rows)


def predict_heads(
    model: nn.Module, images: Images, backend: Backend, batch_size: int | None = None
) -> tuple[Tensor, ...]:
    """Of a model with several heads the logits of each, as `predict`.

    Raises:
        InputError: as `predict`.
    """
    parts: list[tuple[Tensor, ...]] = []
    rows: list[Tensor] = []
    for outputs, part in _batches(model, images, backend, batch_size):
        if not isinstance(outputs, tuple):
            raise InputError(f"the model returns {type(outputs).__name__}; expected a tuple, the logits of each head.")
        for logits in outputs:
            check_logits(logits, len(part))
        parts.append(outputs)
        rows.append(part)
    return tuple(_in_order(logits, rows) for logits in zip(*parts, strict=True))


def _batches(
    model: nn.Module, images: Images, backend: Backend, batch_size: int | None
) -> Iterator[tuple[Any, Tensor]]:
    """What the model returns for one batch after the other, and which images these are."""
    if isinstance(images, np.ndarray):
        images = torch.as_tensor(images)
    modality = modality_of(images)
    if not len(images) or modality.problem(images):
        raise InputError(
            f"expected images as uint8 (N, C, H, W); got {tuple(images.shape)} of {images.dtype}"
            f"{f': {modality.problem(images)}' * bool(len(images))}."
        )
    check_evaluating(model)
    numbers = torch.arange(len(images))
    for rows, part in modality.parts(images, batch_size or images_at_once(backend.device)):
        with torch.no_grad():
            outputs = model(to_unit(part, backend, modality))
        yield outputs, numbers[rows]


def _in_order(parts: Sequence[Tensor], rows: Sequence[Tensor]) -> Tensor:
    """Logits of parts of the images, whose numbers are ``rows``, in the images' order."""
    return torch.cat(tuple(parts)).float()[torch.cat(tuple(rows)).argsort().to(parts[0].device)]


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


class Recall(NamedTuple):
    """The mean over classes of the share of a class's images that are right, as a mean over images."""

    terms: Tensor  # (N,) whose mean it is
    influence: Tensor  # (N,) of each image on it


def recall(right: Tensor, labels: Tensor) -> Recall:
    """Of images (N,) bool and their labels (N,), over the classes that occur: scikit-learn's balanced accuracy.

    An image counts N / (classes · images of its class), so that every class counts the same. The influence is that of a
    mean for each class, of as many images as it has.
    """
    counts = labels.bincount().double()
    hits = labels.bincount(right.double(), len(counts))
    weights = (len(labels) / ((counts > 0).sum() * counts))[labels]
    return Recall(weights * right, weights * (right.double() - (hits / counts)[labels]))


def roc_auc(logits: Tensor, labels: Tensor) -> Tensor | None:
    """The area under the ROC curve of two classes, as a mean over images: terms (N,) float64 whose mean it is.

    The share of pairs, an image of class 1 and one of class 0, of which the first has the larger difference of logits
    (N, 2); half of those that have the same (Mann and Whitney 1947). A term is the area plus the image's influence on
    it, which is that of a mean for each class: the variance of the terms over N is DeLong's (DeLong, DeLong and
    Clarke-Pearson 1988), but for N − 1 in the place of a class's own, and that of a difference of terms is that of two
    areas on the same images. None where all labels (N,) are of one class.
    """
    scores, positive = (logits[:, 1] - logits[:, 0]).double(), labels == 1
    sides = scores[positive], scores[~positive]
    if not all(map(len, sides)):
        return None
    above = _share_below(sides[0], sides[1])  # of each positive the negatives below it
    below = 1 - _share_below(sides[1], sides[0])
    area = above.mean()
    terms = torch.empty_like(scores)
    terms[positive] = area + len(scores) / len(above) * (above - area)
    terms[~positive] = area + len(scores) / len(below) * (below - area)
    return terms


def _share_below(values: Tensor, others: Tensor) -> Tensor:
    """Which share of the others lies below each value, those that equal it by half."""
    ordered = others.sort().values
    ends = [torch.searchsorted(ordered, values, right=right).double() for right in (False, True)]
    return (ends[0] + ends[1]) / (2 * len(others))


def among_largest(logits: Tensor, labels: Tensor, count: int) -> Tensor:
    """Which images (N,) have their label's logit among the ``count`` largest, of (N, classes)."""
    return (logits.topk(count, dim=1).indices == labels.unsqueeze(1)).any(1)
