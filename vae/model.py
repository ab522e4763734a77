"""The VAE of the paper's section 3: a small convolutional Gaussian encoder and decoder for 32×32 images.

The architecture is that of the published analysis (64 latents, four strided 4×4 convolutions, a decoder of bilinear
upsampling and 4×4 convolutions). Images of other sides, and volumes, have the same: every convolution halves what is
left of a side, and every upsampling goes back to what was there. One thing differs, so that no step can overflow
(``vae/README.md``): the log-scale is bounded smoothly.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..analysis.information.rate import rate_per_sample

CHANNELS = (32, 32, 64, 64)
HIDDEN = 256
SHAPE = (3, 32, 32)  # of the paper's images
SMALLEST = 16  # side, of which four halvings leave 1
# log σ lies in (-LOG_SCALE_BOUND, LOG_SCALE_BOUND): σ between 2.5e-3 and 400, far outside what a trained VAE uses.
LOG_SCALE_BOUND = 6.0


_CONVOLUTION = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_UPSAMPLING = {2: "bilinear", 3: "trilinear"}


def _down(in_channels: int, out_channels: int, dimensions: int) -> list[nn.Module]:
    return [
        _CONVOLUTION[dimensions](in_channels, out_channels, 4, stride=2, padding=1),
        nn.ReLU(inplace=True),
        _NORM[dimensions](out_channels),
    ]


def _up(in_channels: int, out_channels: int, sides: Sequence[int]) -> list[nn.Module]:
    """Upsample each side to one more than wanted, then a convolution of 4 with padding 1 gives what is wanted."""
    return [
        nn.Upsample(size=tuple(side + 1 for side in sides), mode=_UPSAMPLING[len(sides)]),
        _CONVOLUTION[len(sides)](in_channels, out_channels, 4, padding=1),
    ]


class VAE(nn.Module):
    """q(z|x) = N(μ(x), diag σ(x)²), p(x|z) = N(decode(z), I) on normalised pixels; prior N(0, I).

    Shapes: images (B, channels, H, W) or volumes (B, channels, D, H, W), of ``shape`` without B; means and log-scales
    (B, latents).
    """

    def __init__(self, latents: int = 64, shape: Sequence[int] = SHAPE):
        super().__init__()
        channels, *sides = shape
        a, b, c, d = CHANNELS
        whole, half, quarter, eighth, least = ([side // 2**halvings for side in sides] for halvings in range(5))
        features = d * math.prod(least)
        self.encoder = nn.Sequential(
            *_down(channels, a, len(sides)),
            *_down(a, b, len(sides)),
            *_down(b, c, len(sides)),
            *_down(c, d, len(sides)),
            nn.Flatten(),
            nn.Linear(features, HIDDEN),
            nn.ReLU(inplace=True),
        )
        self.mean = nn.Linear(HIDDEN, latents)
        self.log_scale = nn.Linear(HIDDEN, latents)
        self.decoder = nn.Sequential(
            nn.Linear(latents, HIDDEN),
            nn.ReLU(inplace=True),
            nn.Linear(HIDDEN, features),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (d, *least)),
            *_up(d, c, eighth),
            nn.ReLU(inplace=True),
            _NORM[len(sides)](c),
            *_up(c, b, quarter),
            nn.ReLU(inplace=True),
            _NORM[len(sides)](b),
            *_up(b, a, half),
            nn.ReLU(inplace=True),
            _NORM[len(sides)](a),
            *_up(a, channels, whole),
        )

    def initialise(self, generator: torch.Generator) -> None:
        """Draw all weights from ``generator``, as published.

        Convolutions are Xavier normal, linear layers uniform in ±1/√inputs. The two heads
        start at zero, so that q(z|x) starts at the prior.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Conv3d):
                nn.init.xavier_normal_(module.weight, generator=generator)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]
            elif isinstance(module, nn.Linear):
                bound = 1 / math.sqrt(module.in_features)
                nn.init.uniform_(module.weight, -bound, bound, generator=generator)
                nn.init.uniform_(module.bias, -bound, bound, generator=generator)
        for head in (self.mean, self.log_scale):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-scales of q(z|x), in float32 whatever the autocast precision."""
        hidden = self.encoder(x)
        log_scale = self.log_scale(hidden).float()
        return self.mean(hidden).float(), LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)

    def decode(self, z: Tensor) -> Tensor:
        """Means of p(x|z), in float32."""
        return self.decoder(z).float()

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction from z = μ + σ·``noise``, with μ and log σ."""
        mean, log_scale = self.encode(x)
        return self.decode(mean + log_scale.exp() * noise), mean, log_scale


def negative_elbo(x: Tensor, reconstruction: Tensor, mean: Tensor, log_scale: Tensor) -> tuple[Tensor, Tensor]:
    """Per-image −log p(x|z) and D(q(z|x)‖N(0, I)) in nats, (B,) each; their sum is −ELBO (paper, eq. 5)."""
    dimensions = x[0].numel()
    distortion = 0.5 * (x - reconstruction).square().flatten(1).sum(1) + 0.5 * dimensions * math.log(2 * math.pi)
    return distortion, rate_per_sample(mean, log_scale)
