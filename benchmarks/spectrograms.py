"""Spectrograms of a batch: ours, all recordings at once on the device, against one file's after the other.

    python benchmarks/spectrograms.py [--quick] [--json FILE] [--threads N] [--device cpu] [--recordings N]

The peer is librosa's melspectrogram and power_to_db where it is installed (pip install librosa), else the same by
scipy's transforms; then the published code's random changes and spectrogram, by librosa alone. The floor is the Fourier
transforms of the batch alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import torch
from harness import arguments, interleave, record, show, write
from numpy.typing import NDArray
from scipy import fft, signal

from mixlens.analysis.data.spectrograms import FULL, HOP, IN_CACHE, MELS, WINDOW, log_mel, mel_filters
from mixlens.analysis.data.speech import FRAMES, LOUDNESS, SCALE, Speech

try:
    import librosa
except ImportError:
    librosa = None

RATE = 16_000
Floats = NDArray[np.float32]


def by_scipy(waveform: Floats) -> Floats:
    """(32, frames) in decibels."""
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(waveform, WINDOW // 2), WINDOW)[::HOP]
    transformed = fft.rfft(windows * signal.get_window("hann", WINDOW).astype(np.float32))
    power = BANK @ (transformed.real**2 + transformed.imag**2).T
    decibels = 10 * np.log10(np.maximum(power, 1e-10))
    return np.maximum(decibels - decibels.max(), -80)


def by_librosa(waveform: Floats) -> Floats:
    power = librosa.feature.melspectrogram(y=waveform, sr=RATE, n_mels=MELS)
    return librosa.power_to_db(power, ref=np.max)


def changed_by_librosa(waveform: Floats) -> Floats:
    """Each change of every second recording: loudness, speed and pitch, stretch, shift."""
    count = len(waveform)
    if random.random() < 0.5:
        waveform = waveform * np.float32(random.uniform(*LOUDNESS))
    if random.random() < 0.5:
        speed = 1 / (1 + random.uniform(-SCALE, SCALE))
        waveform = np.interp(np.arange(0, count, speed), np.arange(count), waveform).astype(np.float32)
    waveform = np.pad(waveform, (0, max(0, count - len(waveform))))[:count]
    transformed = librosa.stft(waveform, n_fft=WINDOW, hop_length=HOP)
    frames = transformed.shape[1]
    if random.random() < 0.5:
        transformed = librosa.phase_vocoder(transformed, rate=1 + random.uniform(-SCALE, SCALE), hop_length=HOP)
    if random.random() < 0.5:
        start = FRAMES + random.randint(-FRAMES, FRAMES)
        length = transformed.shape[1]
        transformed = np.pad(transformed, ((0, 0), (FRAMES, FRAMES)))[:, start : start + length]
    transformed = np.pad(transformed, ((0, 0), (0, max(0, frames - transformed.shape[1]))))[:, :frames]
    return librosa.power_to_db(BANK @ np.abs(transformed) ** 2, ref=np.max)


BANK = mel_filters(RATE).numpy()


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], recordings=128)
    backend, records = given.backend, []
    drawn = torch.rand(given.recordings, RATE, generator=torch.Generator().manual_seed(0))
    alone = list((drawn - 0.5).numpy())  # floats in memory, as a file's reader would leave them
    waveforms = ((drawn - 0.5) * FULL).short().to(backend.device)
    generator = backend.generator("benchmark", "sounds")
    window = torch.hann_window(WINDOW, device=backend.device)
    speech = Speech(RATE)

    def floor() -> None:  # keeps none, since they would not fit the cache
        for part in waveforms.split(IN_CACHE):
            torch.stft(part.float(), WINDOW, HOP, window=window, pad_mode="constant", return_complex=True)

    cases: dict[str, tuple[Callable[[], object], str, Callable[[Floats], Floats]]] = {
        "log-mel spectrograms": (
            lambda: log_mel(waveforms, RATE),
            "librosa" if librosa else "scipy",
            by_librosa if librosa else by_scipy,
        )
    }
    if librosa:
        cases["of speech changed at random"] = (
            lambda: speech(waveforms, generator=generator),
            "librosa",
            changed_by_librosa,
        )
    for name, (ours, peer, transform) in cases.items():
        timings = interleave(
            {
                "ours": ours,
                "theirs": lambda transform=transform: [transform(waveform) for waveform in alone],
                "floor": floor,
            },
            given.repeats or (5 if given.quick else 15),
        )
        records.append(record(f"{given.recordings} × {name}", peer, backend, **timings))
    show(records)
    write(given.json, records)


if __name__ == "__main__":
    main()
