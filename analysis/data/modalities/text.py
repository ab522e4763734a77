"""Texts: numbers of words, of any length. Mixed as their embeddings, over the sequence, between texts of like length.

Number 0 is padding: what follows the end of a text in a batch with a longer one. Its embedding is zero, and networks
take what is zero in every channel for padding, so that a text's logits depend on no other. Batches are of texts of like
length (as torchtext's BucketIterator makes them, and the paper's trainings had them), so that mixing puts little
padding into a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import torch
from torch import Generator, Tensor, nn

from ...errors import InputError
from ..loader import Batched, Taken

if TYPE_CHECKING:
    from ..dataset import Split
    from ..modality import Changes

NAME, ONE, MANY = "text", "text", "texts"
PADDING, UNKNOWN = 0, 1  # the first two numbers; words follow
POOL = 100  # batches whose texts are sorted together
USUAL = 256  # words of a text, for which a count of texts in a pass is meant; of longer ones there are fewer
MOST = 2**19  # words of a batch of an evaluation: a GPU's thousand texts, padded to a long one, would be gigabytes
CHANNELS = 16  # of the random embeddings that augmentations are tried on


@dataclass(frozen=True, eq=False)
class Texts:
    """N texts as one flat array; indexed they are a matrix (B, longest) int64, padded with zeros."""

    ids: Tensor  # (words of all texts,) int32
    starts: Tensor  # (N + 1,) int64: text i is ids[starts[i]:starts[i + 1]]

    dtype = torch.int32
    ndim = 2

    @classmethod
    def of(cls, texts: Sequence[Sequence[int] | np.ndarray[Any, Any]]) -> Texts:
        """From a list of lists of numbers."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        flat = (
            np.concatenate([np.asarray(text, np.int32) for text in texts]) if lengths.sum() else np.empty(0, np.int32)
        )
        return cls(torch.from_numpy(flat), torch.from_numpy(np.concatenate([[0], lengths.cumsum()])))

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def device(self) -> torch.device:
        return self.ids.device

    @property
    def lengths(self) -> Tensor:
        return self.starts.diff()

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self), int(self.lengths.max()) if len(self) else 0))

    def __getitem__(self, which: Any) -> Tensor:
        rows = torch.arange(len(self), device=self.device)[which]
        return self.padded(rows) if rows.ndim else self.ids[self.starts[rows] : self.starts[rows + 1]].long()

    def padded(self, rows: Tensor, longest: int | None = None) -> Tensor:
        """Those of these numbers, (B, longest) int64; without ``longest`` the device is waited for."""
        starts = self.starts[rows].unsqueeze(1)
        lengths = self.starts[rows + 1].unsqueeze(1) - starts
        if longest is None:
            longest = int(lengths.max()) if len(rows) else 0
        places = torch.arange(longest, device=self.device)
        inside = places < lengths
        return self.ids[(starts + places) * inside].long() * inside

    def at(self, which: Tensor) -> Texts:
        """Those of these numbers, as texts still."""
        rows = torch.arange(len(self))[which]
        lengths = self.lengths[rows]
        starts = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        within = torch.arange(int(starts[-1])) - starts[:-1].repeat_interleave(lengths)
        return Texts(self.ids[self.starts[rows].repeat_interleave(lengths) + within], starts)

    def split(self, size: int) -> Iterator[Tensor]:
        """So many after the other, as they come."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def cpu(self) -> Texts:
        return self.to("cpu")

    def to(self, device: torch.device | str) -> Texts:
        return replace(self, ids=self.ids.to(device), starts=self.starts.to(device))

    def hashes(self) -> np.ndarray[Any, Any]:
        """SHA-256 of each text, (N, 32) uint8."""
        ids, ends = self.ids.cpu().numpy(), self.starts.tolist()
        each = (sha256(ids[start:end].data).digest() for start, end in pairwise(ends))
        return np.frombuffer(b"".join(each), np.uint8).reshape(-1, 32)


class TextBatches(Batched):
    """Batches of like length: x (B, longest) int64 and y, on the device, which holds all texts.

    With ``shuffle`` each epoch's texts are put in a random order, sorted by length within pools of `POOL` batches, and
    the batches come in a random order; without, they come sorted by length.
    """

    images: Texts
    one_shape = False

    def place(self, split: Split) -> None:
        self.images, self.labels = split.images.to(self.device), split.labels.to(self.device)
        self.lengths = split.images.lengths.cpu()

    def order(self) -> Tensor:
        order = super().order()
        if order is None:
            return self.lengths.argsort(stable=True)
        order = order.cpu()
        pool = torch.arange(len(order)) // (POOL * self.batch_size)
        return order[(pool * (int(self.lengths.max()) + 1) + self.lengths[order]).argsort(stable=True)]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self.order()
        numbers: Sequence[int] = range(len(self))
        if self.shuffle:
            source = self.generator.device if self.generator is not None else "cpu"
            numbers = torch.randperm(len(self), generator=self.generator, device=source).tolist()
        for number in numbers:
            rows = order[self.rows(number)]
            longest, rows = int(self.lengths[rows].max()), rows.to(self.device)
            yield self.images.padded(rows, longest), self.labels[rows]


def holds(samples: Any) -> bool:
    return isinstance(samples, Texts)


def problem(samples: Texts) -> str:
    empty = (samples.lengths == 0).nonzero()
    if len(empty):
        return f"text {int(empty[0])} is empty{f', and {len(empty) - 1} more are' * (len(empty) > 1)}; leave them out"
    wrong = (samples.ids <= PADDING).nonzero()
    if len(wrong):
        text = int((samples.starts <= wrong[0]).sum()) - 1
        return f"text {text} has number {int(samples.ids[wrong[0]])}; words are numbered from 1: 0 is padding"
    return ""


def encoded(samples: Tensor, *, channels_last: bool = False) -> Tensor:
    """The numbers themselves, which have no scale."""
    return samples


def parts(samples: Texts, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """From the longest to the shortest, fewer of long ones."""
    order, lengths = samples.lengths.argsort(descending=True, stable=True), samples.lengths
    start = 0
    while start < len(order):
        size = max(1, count * USUAL // max(USUAL, int(lengths[order[start]])))
        rows = order[start : start + size]
        yield rows, samples.padded(rows)
        start += size


def batches(
    split: Split,
    mean: Sequence[float],
    std: Sequence[float],
    batch_size: int,
    *,
    changes: Changes | None = None,
    **taken: Unpack[Taken],
) -> TextBatches:
    """All texts on the device; without ``shuffle``, as of an evaluation, fewer at a time where one is long."""
    if not taken.get("shuffle"):
        batch_size = min(batch_size, max(2, MOST // split.images.shape[1]))
    return TextBatches(split, (), (), batch_size, **taken)


def read_changes(text: str) -> str:
    if text not in ("", "none"):
        raise InputError(f"--transforms {text!r} are of images or recordings; there are none of texts.")
    return ""


def mixable(samples: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Random embeddings of as many words."""
    generator = Generator().manual_seed(0)
    return torch.randn(len(samples), CHANNELS, samples.shape[1], generator=generator)


def halves(network: nn.Module) -> tuple[Any, Any]:
    """Its embedding before, the rest afterwards.

    Raises:
        InputError: it has no such parts.
    """
    found = [getattr(network, name, None) for name in ("embed", "body")]
    if not all(isinstance(one, nn.Module) for one in found):
        raise InputError(
            f"{type(network).__name__} does not say what is mixed of a text: give it the modules `embed`, numbers of "
            "words (B, L) to (B, channels, L), zero at number 0, and `body`, from there to logits. text-cnn and "
            "text-lstm have them."
        )
    return found[0], found[1]
