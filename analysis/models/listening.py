"""A network of spectrograms that is given waveforms, so that what is mixed before it are these."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from ..data.spectrograms import log_mel

MIDDLE = 0.5  # of [0, 1], subtracted as the published code does: (dB + 40) / 80


class Listening(nn.Module):
    """Waveforms (B, 1, T) in [−1, 1], at ``rate`` samples a second → what ``body`` makes of their spectrograms.

    These are (B, 1, 32, 1 + T // 512) in [−½, ½], not rounded to bytes.
    """

    def __init__(self, body: nn.Module, rate: int) -> None:
        super().__init__()
        self.body, self.rate = body, rate
        self.recipe = getattr(body, "recipe", "")

    def extra_repr(self) -> str:
        return f"rate={self.rate}"

    def forward(self, x: Tensor) -> Any:
        return self.body(log_mel(x.squeeze(1), self.rate) - MIDDLE)
