"""Recordings: waveforms of one rate and length, whose log-mel spectrograms are the images. Mixed as those, in 2-D.

What takes images takes them, and need not know what they show. None is flipped or cropped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ..loader import Batches, Taken
from ..spectrograms import FULL, MELS, WINDOW, frames, log_mel, to_bytes
from ..speech import NAME as SPEECH
from ..speech import Speech
from .image import encoded, halves, mixable, parts

if TYPE_CHECKING:
    from ..dataset import Split
    from ..modality import Changes

__all__ = ["NAME", "batches", "encoded", "halves", "holds", "mixable", "parts", "problem", "read_changes"]

NAME, ONE, MANY = "sound", "recording", "recordings"
MEAN, STD = (0.5,), (1.0,)  # the published code's (dB + 40) / 80
AT_ONCE = 128  # recordings whose spectrograms are made together
RATES = (1_000, 768_000)  # samples a second


@dataclass(frozen=True, eq=False)
class Recordings:
    """The uint8 tensor (N, 1, 32, 1 + T // 512) of N recordings' spectrograms, as far as others look at one.

    Indexed by a number, a slice or a tensor of numbers or truth values it makes them (`spectrograms.log_mel`), where
    the waveforms are.
    """

    waveforms: Tensor  # (N, T) int16
    rate: int  # samples a second

    dtype = torch.uint8
    ndim = 4

    @classmethod
    def of(cls, waveforms: Any, rate: Any) -> Recordings:
        """From arrays or tensors (N, T), int16 or floats in [−1, 1], of which 1 is the largest int16.

        Raises:
            InputError: they are none of these, or the rate is no whole number of 1,000 to 768,000.
        """
        if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or not RATES[0] <= rate <= RATES[1]:
            raise InputError(
                f"recordings at rate {rate!r}; expected the samples a second, a whole number of {RATES[0]:,} to "
                f"{RATES[1]:,}, such as 16000."
            )
        try:
            x = waveforms.detach() if isinstance(waveforms, Tensor) else torch.from_numpy(np.array(waveforms))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"recordings cannot be read as an array of numbers: {error}. Give all as many samples: zeros after "
                "the shorter."
            ) from error
        if x.ndim != 2 or not x.shape[1]:
            raise InputError(f"recordings of shape {tuple(x.shape)}; expected (N, samples), of one channel each.")
        if x.is_floating_point():
            loudest = float(x.abs().max()) if len(x) else 0.0  # NaN if one is
            if not math.isfinite(loudest):
                raise InputError("recordings that contain NaN or infinity; expected −1 to 1.")
            if loudest > 1:
                raise InputError(
                    f"recordings of floats up to {loudest:g}; expected −1 to 1: divide 16-bit samples by {FULL}, or "
                    "give them as int16."
                )
            x = (x.double() * FULL).round_().clamp_(-FULL, FULL - 1).to(torch.int16)
        if x.dtype != torch.int16:
            kind = str(x.dtype).removeprefix("torch.")
            raise InputError(f"recordings of dtype {kind}; give int16, or floats in [−1, 1].")
        return cls(x.contiguous(), int(rate))

    def __len__(self) -> int:
        return len(self.waveforms)

    @property
    def device(self) -> torch.device:
        return self.waveforms.device

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), 1, MELS, frames(self.waveforms.shape[1])))

    def __getitem__(self, which: Any) -> Tensor:
        waveforms = self.waveforms[which]
        if waveforms.ndim == 1:
            return self._seen(waveforms.unsqueeze(0))[0]
        images = torch.empty(len(waveforms), *self.shape[1:], dtype=self.dtype, device=self.device)
        for place, part in zip(images.split(AT_ONCE), waveforms.split(AT_ONCE), strict=True):
            if len(part):
                place.copy_(self._seen(part))
        return images

    def at(self, which: Tensor) -> Recordings:
        """Those of these numbers, as recordings still."""
        return replace(self, waveforms=self.waveforms[which])

    def split(self, size: int) -> Iterator[Tensor]:
        """Spectrograms of so many, one after the other."""
        return map(self._seen, self.waveforms.split(size))

    def cpu(self) -> Recordings:
        return self.to("cpu")

    def to(self, device: torch.device | str) -> Recordings:
        return replace(self, waveforms=self.waveforms.to(device))

    def hashes(self) -> np.ndarray[Any, Any]:
        """SHA-256 of each recording and its rate, (N, 32) uint8."""
        start = sha256(str(self.rate).encode())
        digests = []
        for waveform in self.waveforms.cpu().numpy():
            one = start.copy()
            one.update(waveform.data)
            digests.append(one.digest())
        return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)

    def _seen(self, waveforms: Tensor) -> Tensor:
        return to_bytes(log_mel(waveforms, self.rate))


def holds(samples: Any) -> bool:
    return type(samples) is Recordings


def problem(samples: Recordings) -> str:
    if samples.waveforms.ndim != 2 or samples.waveforms.dtype != torch.int16:
        shape = tuple(samples.waveforms.shape)
        return f"recordings of shape {shape}, {samples.waveforms.dtype}; make them by Recordings.of"
    if samples.waveforms.shape[1] < WINDOW:
        return f"recordings of {samples.waveforms.shape[1]} samples; a spectrogram needs {WINDOW:,} or more"
    return ""


def batches(
    split: Split,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    *,
    changes: Changes | None = None,
    **taken: Unpack[Taken],
) -> Batches:
    """Spectrograms resident on the device; where recordings are changed, their waveforms, seen anew in each batch."""
    recordings: Recordings = split.images.to(taken.get("device", "cpu"))
    changed = changes is not None and bool(changes.transforms)
    return Batches(
        replace(split, images=recordings.waveforms if changed else recordings[:]),
        mean,
        std,
        batch_size,
        transforms=Speech(recordings.rate) if changed else None,
        **taken,
    )


def read_changes(text: str) -> str:
    if text not in ("", "none", SPEECH):
        raise InputError(f"--transforms {text!r} are not of recordings; give {SPEECH}, or none.")
    return "" if text == "none" else text


def with_recordings(parts: Mapping[str, Any]) -> dict[str, Any]:
    """A data factory's dict with its ``train_sounds``, ``test_sounds`` and ``rate`` as the images of a data set.

    Mean and deviation are the spectrograms' usual ones where it gives none.

    Raises:
        InputError: what `Recordings.of` refuses.
    """
    others = {key: value for key, value in parts.items() if key not in ("train_sounds", "test_sounds", "rate")}
    images = {f"{one}_images": Recordings.of(parts[f"{one}_sounds"], parts["rate"]) for one in ("train", "test")}
    return {"mean": MEAN, "std": STD, **others, **images}
