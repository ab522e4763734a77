"""Speech faster, slower, higher, lower, earlier or later: random changes of recordings, each of half of them.

As the published code changes its commands: 0.7 to 1.1 times as loud; played up to a fifth faster or slower, pitch with
it; stretched as much without (a phase vocoder's magnitudes, all that a spectrogram sees of it, are those of the frames
between); shifted by up to 8 frames. Loudness cancels where decibels are relative to a recording's loudest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from .spectrograms import FULL, Warp, in_cache, log_mel

NAME = "speech"
CHANCE, SCALE, FRAMES = 0.5, 0.2, 8
LOUDNESS = (0.7, 1.1)


@dataclass(frozen=True)
class Speech:
    """Waveforms (B, T) int16 → log-mel spectrograms (B, 1, 32, 1 + T // 512) in [0, 1] of what was made of them."""

    rate: int  # samples a second

    def __call__(self, waveforms: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Drawn for each recording, on the generator's device, by default the waveforms'."""
        count, device = len(waveforms), waveforms.device
        source = generator.device if generator is not None else device
        chances, draws = torch.rand(2, 4, count, generator=generator, dtype=torch.float32, device=source).to(device)
        changed = chances < CHANCE
        scale = (SCALE * (2 * draws - 1)).where(changed, 0)
        loudness = (LOUDNESS[0] + (LOUDNESS[1] - LOUDNESS[0]) * draws[0]).where(changed[0], 1)
        shift = ((2 * FRAMES + 1) * draws[3]).floor().sub(FRAMES).where(changed[3], 0)
        return in_cache(self._changed, waveforms, loudness, 1 / (1 + scale[1]), 1 + scale[2], shift)

    def _changed(self, waveforms: Tensor, loudness: Tensor, speed: Tensor, stretch: Tensor, shift: Tensor) -> Tensor:
        played = resampled(waveforms.float() / FULL * loudness.unsqueeze(1), speed)
        return log_mel(played, self.rate, warp=Warp(stretch, shift))


def resampled(waveforms: Tensor, speed: Tensor) -> Tensor:
    """Waveforms (B, T) at ``speed`` (B,) times theirs, sample t the one at speed · t, between two in proportion.

    What is over is cut, and what lacks is silence.
    """
    length = waveforms.shape[1]
    places = torch.arange(length, device=waveforms.device, dtype=torch.float32) * speed.unsqueeze(1)
    before = places.long().clamp_max_(length - 1)
    share = (places - before).clamp_max_(1)
    low, high = (waveforms.gather(1, at.clamp_max(length - 1)) for at in (before, before + 1))
    return torch.lerp(low, high, share) * (places < length)
