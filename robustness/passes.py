"""The passes through the network that attacks are made of, for as many images as memory holds."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..analysis.training.backend import images_at_once
from ..analysis.training.replay import replayed

TRIED_IMAGES = 64
MEMORY_SHARE = 0.5  # of what is free: other tasks work beside this one, and DeepFool keeps a gradient for each class


class Passes:
    """Predictions, the loss's gradient and the classes' gradients; on a CUDA device replayed as graphs."""

    def __init__(self, model: nn.Module, device: torch.device, say: Callable[[str], None] = lambda text: None) -> None:
        self.model, self.device = model, device
        self._replayed_logits, self._replayed_loss, self._replayed_classes = (
            replayed(function, device, say) for function in (self._logits, self._loss_gradient, self._class_gradients)
        )

    def logits(self, x: Tensor) -> Tensor:
        """(B, classes) of images (B, C, H, W), without a graph."""
        return self._replayed_logits(x)[0]

    def loss_gradient(self, x: Tensor, labels: Tensor) -> Tensor:
        """∇ₓ of each image's cross entropy, like x."""
        return self._replayed_loss(x, labels)[0]

    def class_gradients(self, x: Tensor, ranked: Tensor) -> tuple[Tensor, Tensor]:
        """ℓ_k − ℓ_0 (B, K − 1) of each image's classes ``ranked`` (B, K), and its gradients (B, K − 1, C, H, W).

        One forward pass, and a backward pass for each k.
        """
        differences, gradients = self._replayed_classes(x, ranked)
        return differences, gradients

    def most_images(self, x: Tensor, labels: Tensor) -> int:
        """How many images like these fit on the device at once, from the memory that a few of them take."""
        if self.device.type != "cuda":
            return images_at_once(self.device)
        tried = [part[torch.arange(TRIED_IMAGES, device=part.device) % len(part)] for part in (x, labels)]
        self._loss_gradient(*tried)
        torch.cuda.reset_peak_memory_stats(self.device)
        before = torch.cuda.memory_allocated(self.device)
        self._loss_gradient(*tried)
        taken = torch.cuda.max_memory_allocated(self.device) - before
        unused = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        free = torch.cuda.mem_get_info(self.device)[0] + unused
        fitting = int(MEMORY_SHARE * free * TRIED_IMAGES / max(1, taken))
        return 1 << max(0, fitting.bit_length() - 1)  # a power of two, to which graphs pad anyway

    def _logits(self, x: Tensor) -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (self.model(x),)

    def _loss_gradient(self, x: Tensor, labels: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            loss = nn.functional.cross_entropy(self.model(x), labels, reduction="sum")
            return torch.autograd.grad(loss, x)

    def _class_gradients(self, x: Tensor, ranked: Tensor) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            logits = self.model(x).gather(1, ranked)
            differences = logits[:, 1:] - logits[:, :1]
            last = differences.shape[1] - 1
            gradients = [
                torch.autograd.grad(differences[:, k].sum(), x, retain_graph=k < last)[0]
                for k in range(differences.shape[1])
            ]
        return differences.detach(), torch.stack(gradients, 1)
