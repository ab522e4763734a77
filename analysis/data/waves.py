"""WAV files as rows of one array: 16-bit PCM, one channel, of one rate."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError, first_line

BYTES = 2  # of a sample


def read_waves(paths: Sequence[Path], rate: int, samples: int) -> Tensor:
    """Their first ``samples``, (N, samples) int16, zeros after those that are shorter.

    Raises:
        InputError: one cannot be read, is empty or cut, or has another rate, bit depth or number of channels.
    """
    waveforms = np.zeros((len(paths), samples), np.int16)
    for row, path in zip(waveforms, paths, strict=True):
        found = read_wave(path, rate)[:samples]
        row[: len(found)] = found
    return torch.from_numpy(waveforms)


def read_wave(path: Path, rate: int) -> np.ndarray[tuple[int], np.dtype[np.int16]]:
    """All of one, (samples,) int16. Raises InputError, as `read_waves`."""
    try:
        with path.open("rb") as file, wave.open(file) as opened:
            kind = opened.getparams()
            content = opened.readframes(kind.nframes)
    except (OSError, EOFError, RuntimeError, wave.Error) as error:
        known = {EOFError: "it ends within its header", RuntimeError: "its parts end outside of it"}  # said in no words
        reason = getattr(error, "strerror", None) or known.get(type(error)) or first_line(error)
        raise InputError(f"recording {path} cannot be read as a WAV file: {reason}. {_wanted(rate)}") from error
    if kind.framerate != rate:
        raise InputError(f"recording {path} has {kind.framerate:,} samples a second. {_wanted(rate)}")
    if kind.sampwidth != BYTES:
        raise InputError(f"recording {path} has {8 * kind.sampwidth} bits a sample. {_wanted(rate)}")
    if kind.nchannels != 1:
        raise InputError(f"recording {path} has {kind.nchannels} channels. {_wanted(rate)}")
    if len(content) != BYTES * kind.nframes:
        raise InputError(
            f"recording {path} is cut: it has {len(content) // BYTES:,} of {kind.nframes:,} samples. Copy it anew."
        )
    if not content:
        raise InputError(f"recording {path} is empty: it has no samples. Leave it out.")
    return np.frombuffer(content, "<i2").astype(np.int16)


def _wanted(rate: int) -> str:
    return f"Expected 16-bit PCM, one channel, {rate:,} samples a second: convert it, or copy it anew."
