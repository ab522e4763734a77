"""Text classifiers over embeddings: three convolutions, or two bidirectional LSTMs, as of the paper's trainings.

Both end in the mean, the maximum and the last of the sequence's features, two linear layers and the logits. Those of
the published code run over the padding too, so that a text's logits depend on the longest of its batch; here they do
not.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ..errors import InputError
from .layers import at_least_one

CHANNELS = 300  # of embeddings without vectors, as FastText's have


class Embedding(nn.Module):
    """Numbers of words (B, L) → (B, channels, L), zero at number 0. Learned; begun at the vectors where there are some.

    Without: N(0, 0.1²), and so is a word that the vectors lack, or whose vector is zero throughout, which would be
    taken for padding. ``frozen``, they stay as they begin.
    """

    def __init__(self, num_words: int, channels: int, vectors: Tensor | None = None, *, frozen: bool = False) -> None:
        super().__init__()
        self.table = nn.Embedding(num_words + 1, channels, padding_idx=0)
        self.table.requires_grad_(not frozen)
        with torch.no_grad():
            self.table.weight[1:].normal_(0, 0.1)
            if vectors is not None:
                drawn = vectors.isnan() | (vectors == 0).all(1, keepdim=True)
                self.table.weight[1:] = torch.where(drawn, self.table.weight[1:], vectors)

    def forward(self, ids: Tensor) -> Tensor:
        return self.table(ids).mT


class Ending(nn.Module):
    """Features (B, C, L), zero where there is no text, → logits: their mean, maximum, last, and two linear layers."""

    def __init__(self, features: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(3 * features, features), nn.ReLU(), nn.Linear(features, features), nn.ReLU()
        )
        self.output = nn.Linear(features, num_classes)

    def forward(self, x: Tensor, there: Tensor) -> Tensor:
        count = there.sum(2).clamp_(min=1)
        highest = x.masked_fill(~there, -torch.inf).amax(2).nan_to_num(neginf=0.0)
        last = x.gather(2, (ends_of(there) - 1).clamp(min=0).view(-1, 1, 1).expand(-1, x.shape[1], 1)).squeeze(2)
        return self.output(self.layers(torch.cat([x.sum(2) / count, highest, last], 1)))


class Convolution(nn.Conv1d):
    """Of 3 words, as of an image one row high: a text's channels lie together in memory, which that takes as it is."""

    def __init__(self, into: int, width: int) -> None:
        super().__init__(into, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return conv2d(x.unsqueeze(2), self.weight.unsqueeze(2), self.bias, padding=(0, 1)).squeeze(2)


class Convolutions(nn.Module):
    def __init__(self, channels: int, width: int, num_classes: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Convolution(into, width) for into in (channels, width, width))
        self.ending = Ending(width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        there = padding_of(x)
        for conv in self.convs:
            x = conv(x).relu() * there
        return self.ending(x, there)


class Recurrent(nn.Module):
    """Each direction of a layer by itself: the second reads each text from its own end."""

    def __init__(self, channels: int, width: int, num_classes: int, layers: int = 2) -> None:
        super().__init__()
        sizes = [channels] + [2 * width] * (layers - 1)
        self.forwards = nn.ModuleList(nn.LSTM(size, width, batch_first=True) for size in sizes)
        self.backwards = nn.ModuleList(nn.LSTM(size, width, batch_first=True) for size in sizes)
        self.ending = Ending(2 * width, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        there = padding_of(x)
        count, _, longest = x.shape
        places = torch.arange(longest, device=x.device)
        ends = ends_of(there).unsqueeze(1)
        turned = torch.where(places < ends, ends - 1 - places, places)
        rows = (turned + longest * torch.arange(count, device=x.device).unsqueeze(1)).flatten()
        x, inside = x.mT, there.mT
        for onward, back in zip(self.forwards, self.backwards, strict=True):
            from_end = Turn.apply(back(Turn.apply(x, rows))[0], rows)
            x = torch.cat([onward(x.contiguous())[0], from_end], 2) * inside
        return self.ending(x.mT, there)


class Turn(torch.autograd.Function):
    """Texts (B, L, C) by their flat rows in another order that, taken twice, is the first: so are its gradient's.

    PyTorch's own gradient of a selection adds up, since it may name a row twice; on a CPU that takes its time.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        return x.reshape(-1, x.shape[2]).index_select(0, rows).view(x.shape)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        return gradient.reshape(-1, gradient.shape[2]).index_select(0, rows).view(gradient.shape), None


class TextNetwork(nn.Module):
    """Numbers of words (B, L) → logits (B, num_classes): `embed`, which is what is mixed, and then `body`."""

    def __init__(self, embed: nn.Module, body: nn.Module) -> None:
        super().__init__()
        self.embed, self.body = embed, body

    def forward(self, ids: Tensor) -> Tensor:
        return self.body(self.embed(ids))


def padding_of(x: Tensor) -> Tensor:
    """Where embedded texts (B, C, L) are no padding, which is zero in every channel: (B, 1, L) bool."""
    return (x != 0).any(1, keepdim=True)


def ends_of(there: Tensor) -> Tensor:
    """How long texts are to their last word, (B,) int64, of where they are (B, 1, L)."""
    places = torch.arange(1, there.shape[2] + 1, device=there.device)
    return (there.squeeze(1) * places).amax(1)


def text_cnn(
    num_classes: int,
    *,
    channels: int = CHANNELS,
    width: int = 128,
    frozen: bool = False,
    num_words: int = 0,
    vectors: Tensor | None = None,
) -> TextNetwork:
    """Three convolutions of 3 words, ``width`` features each, over embeddings of ``channels`` or the vectors' own.

    ``frozen``, the vectors are no weights to train, as in the published code.
    """
    embed, channels = _embedding(num_words, channels, vectors, frozen)
    return TextNetwork(embed, Convolutions(channels, at_least_one("width", width), num_classes))


def text_lstm(
    num_classes: int,
    *,
    channels: int = CHANNELS,
    width: int = 128,
    frozen: bool = False,
    num_words: int = 0,
    vectors: Tensor | None = None,
) -> TextNetwork:
    """Two bidirectional LSTMs of ``width`` units a direction, over embeddings as `text_cnn`'s."""
    embed, channels = _embedding(num_words, channels, vectors, frozen)
    return TextNetwork(embed, Recurrent(channels, at_least_one("width", width), num_classes))


def _embedding(num_words: int, channels: int, vectors: Tensor | None, frozen: bool) -> tuple[Embedding, int]:
    channels = at_least_one("channels", channels)
    if frozen and vectors is None:
        raise InputError("frozen=True keeps the data's vectors, of which there are none; name a file of them.")
    if vectors is not None:
        if channels not in (CHANNELS, vectors.shape[1]):
            raise InputError(f"channels={channels}, but the data's vectors have {vectors.shape[1]}; leave it out.")
        channels = vectors.shape[1]
    return Embedding(num_words, channels, vectors, frozen=frozen), channels


TAKES = ("text",)
ARCHITECTURES = {"text-cnn": text_cnn, "text-lstm": text_lstm}
