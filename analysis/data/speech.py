"""Speech faster, slower, higher, lower, earlier or later: random changes of recordings, each of half of them.

As the published code changes its commands: 0.7 to 1.1 times as loud; played up to a fifth faster or slower, pitch with
it; stretched as much without (a phase vocoder's magnitudes, all that a spectrogram sees of it, are those of the frames
between); shifted by up to 8 frames. Loudness cancels where decibels are relative to a recording's loudest.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from .spectrograms import FULL, HOP, Warp, in_cache, log_mel

NAME = "speech"
CHANCE, SCALE, FRAMES = 0.5, 0.2, 8
LOUDNESS = (0.7, 1.1)


@dataclass(frozen=True)
class Speech:
    """Waveforms (B, T) int16 → log-mel spectrograms (B, 1, 32, 1 + T // 512) in [0, 1] of what was made of them."""

    rate: int  # samples a second

    def __call__(self, waveforms: Tensor, *, generator: Generator | None = None) -> Tensor:
        """Drawn for each recording, on the generator's device, by default the waveforms'."""
        return in_cache(self._changed, waveforms, *_drawn(waveforms, generator))

    def _changed(self, waveforms: Tensor, loudness: Tensor, speed: Tensor, stretch: Tensor, shift: Tensor) -> Tensor:
        played = resampled(waveforms.float() / FULL * loudness.unsqueeze(1), speed)
        return log_mel(played, self.rate, warp=Warp(stretch, shift))


@dataclass(frozen=True)
class SpeechInWaves:
    """Waveforms (B, 1, T) int16 → (B, 1, T) in [−1, 1]: louder or softer, faster or slower, earlier or later.

    With the draws of `Speech`, and without its stretch, which is one of spectrograms.
    """

    def __call__(self, waveforms: Tensor, *, generator: Generator | None = None) -> Tensor:
        loudness, speed, _, shift = _drawn(waveforms, generator)
        return in_cache(self._changed, waveforms.squeeze(1), loudness, speed, shift * HOP).unsqueeze(1)

    def _changed(self, waveforms: Tensor, loudness: Tensor, speed: Tensor, shift: Tensor) -> Tensor:
        return resampled(waveforms.float() / FULL * loudness.unsqueeze(1), speed, shift).clamp_(-1, 1)


def _drawn(waveforms: Tensor, generator: Generator | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Loudness, speed, stretch and shift in frames of each (B,); 1, 1, 1 and 0 where nothing is done."""
    count, device = len(waveforms), waveforms.device
    source = generator.device if generator is not None else device
    chances, draws = torch.rand(2, 4, count, generator=generator, dtype=torch.float32, device=source).to(device)
    changed = chances < CHANCE
    scale = (SCALE * (2 * draws - 1)).where(changed, 0)
    loudness = (LOUDNESS[0] + (LOUDNESS[1] - LOUDNESS[0]) * draws[0]).where(changed[0], 1)
    shift = ((2 * FRAMES + 1) * draws[3]).floor().sub(FRAMES).where(changed[3], 0)
    return loudness, 1 / (1 + scale[1]), 1 + scale[2], shift


def resampled(waveforms: Tensor, speed: Tensor, shift: Tensor | None = None) -> Tensor:
    """Waveforms (B, T) at ``speed`` (B,) times theirs, sample t the one at speed · t, between two in proportion.

    What is over is cut, and what lacks is silence; then the whole is shifted: sample t is what t + shift (B,) was.
    """
    length = waveforms.shape[1]
    steps = torch.arange(length, device=waveforms.device, dtype=torch.float32).unsqueeze(0)
    steps = steps if shift is None else steps + shift.unsqueeze(1)
    places = steps * speed.unsqueeze(1)
    heard = (steps >= 0) & (steps < length) & (places < length)
    before = places.long().clamp_(0, length - 1)
    share = (places - before).clamp_max_(1)
    low, high = (waveforms.gather(1, at.clamp_max(length - 1)) for at in (before, before + 1))
    return torch.lerp(low, high, share) * heard
