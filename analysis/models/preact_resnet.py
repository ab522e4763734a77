"""PreAct-ResNet18 with a stem for small images (He et al. 2016, "Identity mappings in deep residual networks")."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError

BLOCKS_PER_STAGE = 2
GROWTH = (1, 2, 4, 8)  # channels of the four stages, in units of the width


class PreActBlock(nn.Module):
    """BN–ReLU–conv–BN–ReLU–conv added to the input, which a 1×1 convolution projects where the shape changes.

    ``activated`` blocks add to BN–ReLU of their input rather than to the input itself: those with a projection, and of
    He et al.'s network the first, whose input nothing has activated yet.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, *, activated: bool) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        projects = stride != 1 or inputs != outputs
        self.projection = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if projects else None
        self.activated = activated or projects

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        shortcut = active if self.activated else x
        if self.projection is not None:
            shortcut = self.projection(shortcut)
        return self.conv2(F.relu(self.norm2(self.conv1(active)))) + shortcut


class PreActResNet18(nn.Module):
    """Images (B, in_channels, H, W) → logits (B, num_classes). 11.2 million parameters at the default width.

    ``official`` is the network of the published FMix code, which differs from He et al.: BN–ReLU stands between the
    stem and the first block, whose own follows; every block adds to its activated input, so that no path is an
    identity; and the last sum is pooled as it is, without BN–ReLU.
    """

    def __init__(self, num_classes: int, *, width: int = 64, in_channels: int = 3, official: bool = False) -> None:
        super().__init__()
        if type(width) is not int or width < 1:
            raise InputError(f"width must be a whole number of at least 1, got {width!r}.")
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.stem_norm = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU()) if official else nn.Identity()
        stages: list[nn.Module] = []
        inputs = width
        for growth in GROWTH:
            blocks: list[nn.Module] = []
            for number in range(BLOCKS_PER_STAGE):
                stride = 2 if number == 0 and stages else 1
                first = not (stages or blocks)
                blocks.append(PreActBlock(inputs, growth * width, stride, activated=first or official))
                inputs = growth * width
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.head_norm = nn.Identity() if official else nn.Sequential(nn.BatchNorm2d(inputs), nn.ReLU())
        self.head = nn.Linear(inputs, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        features = self.head_norm(self.stages(self.stem_norm(self.stem(x))))
        return self.head(features.mean((2, 3)))


ARCHITECTURES = {  # what is fixed here is no argument of a user's
    "preact-resnet18": partial(PreActResNet18, official=False),
    "preact-resnet18-official": partial(PreActResNet18, official=True),
}
