"""Log-mel spectrograms of recordings, in batches on their device: what networks see of a sound.

As librosa's ``melspectrogram`` and ``power_to_db`` (0.10 and later) make them at their defaults but for 32 mels: Hann
windows of 2,048 samples every 512, zeros beyond the ends; the bank of Slaney's Auditory Toolbox, every filter of one
area; decibels below the recording's loudest cell, no more than 80. Earlier versions mirrored the ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor

WINDOW, HOP, MELS = 2048, 512, 32  # samples, samples, filters
RANGE = 80.0  # decibels between black and white
FULL = 32768  # of int16, a sample of 1
LEAST = 1e-10  # power that counts as this much
IN_CACHE = 16  # recordings whose transforms a core's cache holds
_KNEE, _HZ_A_MEL, _LOG_STEP = 1000.0, 200 / 3, math.log(6.4) / 27  # of Slaney's scale: linear below, then logarithmic


class Warp(NamedTuple):
    """What is heard of each recording's frames: frame t is the one at speed · (t + shift), between two in proportion.

    What lies beyond the recording, or beyond its frames once they are stretched, is silence.
    """

    speed: Tensor  # (B,)
    shift: Tensor  # (B,), frames


def frames(samples: int) -> int:
    """How many a recording of so many samples has."""
    return 1 + samples // HOP


def log_mel(waveforms: Tensor, rate: int, *, warp: Warp | None = None) -> Tensor:
    """Waveforms (B, T), int16 or floats in [−1, 1], at ``rate`` a second → (B, 1, 32, 1 + T // 512) in [0, 1].

    1 is the loudest of a recording, 0 is 80 dB below it or less; low mels stand first. Of silence all is 1: nothing is
    quieter than the rest. How loud a recording is as a whole is lost, but where its power nears 1e-10.

    Args:
        warp: what is heard of the frames, between the transform and the filters.
    """
    with torch.autocast(waveforms.device.type, enabled=False):
        return in_cache(partial(_log_mel, rate), waveforms, *(warp or ()))


def in_cache(function: Callable[..., Tensor], *batches: Tensor) -> Tensor:
    """``function`` of batches (B, …), on a CPU of a few rows at a time, whose transforms its cache holds."""
    if batches[0].device.type != "cpu":
        return function(*batches)
    return torch.cat([function(*parts) for parts in zip(*(one.split(IN_CACHE) for one in batches), strict=True)])


def _log_mel(rate: int, waveforms: Tensor, *warp: Tensor) -> Tensor:
    x = waveforms.float() / FULL if waveforms.dtype == torch.int16 else waveforms.float()
    window = torch.hann_window(WINDOW, device=x.device)
    transformed = torch.stft(x, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)
    power = transformed.real.square().add_(transformed.imag.square())
    if warp:
        speed, shift = warp
        power = (power.sqrt_() @ _heard(speed, shift, transformed.shape[-1])).square_()
    decibels = (_filters_on(rate, x.device) @ power).clamp_min_(LEAST).log10_().mul_(10)
    below = decibels - decibels.amax((1, 2), keepdim=True)
    return below.clamp_min_(-RANGE).add_(RANGE).div_(RANGE).unsqueeze(1)


def to_bytes(spectrograms: Tensor) -> Tensor:
    """Of [0, 1], uint8."""
    return spectrograms.mul(255).round_().to(torch.uint8)


def _heard(speed: Tensor, shift: Tensor, count: int) -> Tensor:
    """(B, count, count): how much of each frame is in each that is heard."""
    numbers = torch.arange(count, device=speed.device, dtype=torch.float32)
    speed, shift = speed.unsqueeze(1), shift.unsqueeze(1)
    places = speed * (numbers + shift)
    inside = (places >= 0) & (numbers + shift.clamp_min(0) < (count / speed).ceil())
    near = (1 - (numbers.view(1, -1, 1) - places.unsqueeze(1)).abs()).clamp_min_(0)
    return near * inside.unsqueeze(1)


@cache
def _filters_on(rate: int, device: torch.device) -> Tensor:
    return mel_filters(rate).to(device)


def mel_filters(rate: int) -> Tensor:
    """(32, 1025) float32: triangles over the frequencies of a window, of area 1 in hertz, evenly spaced in mels.

    From 0 to half the rate, on Slaney's scale: 200/3 Hz a mel up to 1 kHz, then 27 mels from f to 6.4 f.
    """
    edges = _hertz(torch.linspace(0, _mels(rate / 2), MELS + 2, dtype=torch.float64))
    frequencies = torch.linspace(0, rate / 2, 1 + WINDOW // 2, dtype=torch.float64)
    low, middle, high = (edges[k : k + MELS].unsqueeze(1) for k in range(3))
    rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
    return (torch.minimum(rising, falling).clamp_min(0) * 2 / (high - low)).float()


def _mels(hertz: float) -> float:
    if hertz < _KNEE:
        return hertz / _HZ_A_MEL
    return _KNEE / _HZ_A_MEL + math.log(hertz / _KNEE) / _LOG_STEP


def _hertz(mels: Tensor) -> Tensor:
    knee = _KNEE / _HZ_A_MEL
    return torch.where(mels < knee, mels * _HZ_A_MEL, _KNEE * ((mels - knee) * _LOG_STEP).exp())
