"""PyramidNet with ShakeDrop for small images (Han, Kim and Kim 2017; Yamada, Iwamura, Akiba and Kise 2019)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from .layers import layers_per_stage

STEM = 16  # channels
EXPANSION = 4  # channels of a block's output, in units of those inside
STAGES = 3


class ShakeDrop(nn.Module):
    """x ↦ (b + α − bα) x, whose gradient is (b + β − bβ) that of the output; in evaluation p x, the mean over b and α.

    b ~ Bernoulli(p) once a batch, α ~ U(−1, 1) and β ~ U(0, 1) for each image (Yamada et al. 2019, eq. 8).
    """

    def __init__(self, kept: float) -> None:
        super().__init__()
        self.kept = kept  # p

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return self.kept * x
        each = (len(x), *[1] * (x.ndim - 1))
        whole = torch.rand((), device=x.device) < self.kept
        forth = torch.where(whole, 1.0, 2 * torch.rand(each, device=x.device) - 1).to(x.dtype)
        back = torch.where(whole, 1.0, torch.rand(each, device=x.device)).to(x.dtype)
        return back * x + (forth - back) * x.detach()


class PyramidBlock(nn.Module):
    """BN–1×1–BN–ReLU–3×3–BN–ReLU–1×1–BN, through ShakeDrop, added to the input, whose missing channels are zeros."""

    def __init__(self, inputs: int, inner: int, stride: int, kept: float) -> None:
        super().__init__()
        self.outputs = EXPANSION * inner
        self.stride = stride
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inner, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, self.outputs, 1, bias=False)
        self.norm4 = nn.BatchNorm2d(self.outputs)
        self.shake = ShakeDrop(kept) if kept < 1 else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(self.norm1(x))
        inner = self.conv2(F.relu(self.norm2(inner)))
        inner = self.norm4(self.conv3(F.relu(self.norm3(inner))))
        shortcut = F.avg_pool2d(x, 2, ceil_mode=True) if self.stride == 2 else x
        shortcut = F.pad(shortcut, (0, 0, 0, 0, 0, self.outputs - shortcut.shape[1]))
        return self.shake(inner) + shortcut


class PyramidNet(nn.Module):
    """Images (B, in_channels, H, W) → logits (B, num_classes). With 272 layers and α = 200: 26.2 million parameters.

    Three stages of (depth − 2) / 9 bottleneck blocks, whose channels grow by the same amount at each, from 16 to
    16 + α. ``shakedrop``: the chance p_L that the last block is left as it is; of the l-th of L it is
    1 − l (1 − p_L) / L. 1: no ShakeDrop.

    Raises:
        InputError: a depth that is not 9 n + 2, an α below 0, a chance out of (0, 1].
    """

    def __init__(
        self, num_classes: int, *, depth: int = 272, alpha: float = 200, shakedrop: float = 0.5, in_channels: int = 3
    ) -> None:
        super().__init__()
        blocks = layers_per_stage("depth", depth, 2, 9)
        if not (isinstance(alpha, int | float) and 0 <= alpha < 1e6):
            raise InputError(f"alpha must be a number of at least 0, got {alpha!r}.")
        if not (isinstance(shakedrop, int | float) and 0 < shakedrop <= 1):
            raise InputError(f"shakedrop must be above 0 and at most 1, got {shakedrop!r}.")
        total = STAGES * blocks
        self.stem = nn.Sequential(nn.Conv2d(in_channels, STEM, 3, padding=1, bias=False), nn.BatchNorm2d(STEM))
        stages: list[nn.Module] = []
        inputs = STEM
        for stage in range(STAGES):
            parts: list[nn.Module] = []
            for block in range(blocks):
                number = stage * blocks + block + 1
                inner = round(STEM + alpha * number / total)
                stride = 2 if stage and not block else 1
                parts.append(PyramidBlock(inputs, inner, stride, 1 - number * (1 - shakedrop) / total))
                inputs = EXPANSION * inner
            stages.append(nn.Sequential(*parts))
        self.stages = nn.Sequential(*stages)
        self.head_norm = nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.head = nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.head_norm(self.stages(self.stem(x))).mean((2, 3)))


ARCHITECTURES = {"pyramidnet": PyramidNet}
