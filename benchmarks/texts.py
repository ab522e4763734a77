"""Batches of texts: an epoch of reviews against a loop as torchtext's, and 25,000 reviews made ready to be learnt from.

    python benchmarks/texts.py [--quick] [--json FILE] [--threads N] [--device cpu] [--batch 64]

Ours is an epoch of the classifiers' own batches: all texts in one array on the device, an order drawn anew, texts of
like length together, each batch padded by indexing. The peer has them as torchtext has: lists of words' numbers, pools
of 100 batches sorted by length (its BucketIterator), a `torch.utils.data.DataLoader` whose collate_fn makes a tensor of
each list and pads them with `pad_sequence`. The second peer holds a tensor a text. The floor copies matrices of the same
shapes to the device. Both give every text once, in batches of like length. Aim: at least 5 times the first peer.

The reviews are drawn: words as frequent as Zipf's law has it, lengths as IMDb's (log-normal, mean 234 words). What they
are made ready from is text: tokenised, counted, numbered. Aim: 25,000 in less than 10 seconds on two idle cores.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from harness import arguments, interleave, record, show, write
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Sampler

from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.data.modalities import text
from mixlens.analysis.data.of_texts import Reading, Written, of_texts

WORDS = 30_000  # kinds of words
POOL = 100  # batches sorted together


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], batch=64)
    count = 2_500 if given.quick else 25_000
    reviews = drawn(count, seed=0)
    dataset, seconds = made_ready(reviews, given.repeats or 5)
    each = statistics.median(seconds)
    words = int(dataset.train.images.lengths.sum())
    spread = " ".join(f"{one:.2f}" for one in seconds)
    print(f"{count:,} reviews of {words:,} words ready in {each:.2f} s (n = {len(seconds)}: {spread})")
    records = raced(given, dataset, count)
    show(records)
    write(given.json, records)


def drawn(count: int, seed: int) -> list[str]:
    generator = np.random.default_rng(seed)
    shares = 1 / np.arange(1, WORDS + 1)
    lengths = np.exp(generator.normal(5.25, 0.65, count)).clip(10, 2500).astype(int)
    numbers = generator.choice(WORDS, lengths.sum(), p=shares / shares.sum())
    words = np.array([f"w{number}" for number in range(WORDS)], object)[numbers]
    return [", ".join(part) + "." for part in np.split(words, lengths.cumsum()[:-1])]


def made_ready(reviews: list[str], repeats: int) -> tuple[Dataset, list[float]]:
    """The data set, and the seconds that its training split took each time; its test split has two reviews."""
    labels, seconds = torch.arange(len(reviews)) % 2, []
    for _ in range(repeats):
        start = time.perf_counter()
        train, test = Written(reviews, labels), Written(["w1 w2", "w2 w3"], labels[:2])
        dataset = of_texts("drawn", train, test, ("even", "odd"), Reading())
        seconds.append(time.perf_counter() - start)
    return dataset, seconds


class Buckets(Sampler[list[int]]):
    """As torchtext's BucketIterator: pools of shuffled texts sorted by length, their batches in a random order."""

    def __init__(self, lengths: list[int], size: int) -> None:
        self.lengths, self.size = lengths, size

    def __iter__(self) -> Iterator[list[int]]:
        order = torch.randperm(len(self.lengths)).tolist()
        pool = POOL * self.size
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool], key=lambda number: self.lengths[number])
            batches = [part[first : first + self.size] for first in range(0, len(part), self.size)]
            for place in torch.randperm(len(batches)).tolist():
                yield batches[place]

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.size)


def raced(given: Any, dataset: Dataset, count: int) -> list[dict[str, Any]]:
    device, train = given.backend.device, dataset.train
    generator = given.backend.generator("benchmark", "texts")
    ours = text.batches(train, (), (), given.batch, device=device, generator=generator, shuffle=True)
    shapes = [x.shape for x, _ in ours]
    blank = [torch.zeros(shape, dtype=torch.int64) for shape in shapes]

    def our_epoch() -> int:
        return sum(len(y) for _, y in ours)

    def floor() -> int:
        return sum(len(one.to(device, copy=True)) for one in blank)

    lengths = train.images.lengths.tolist()
    lists = [(train.images[place].tolist(), int(label)) for place, label in enumerate(train.labels)]
    tensors = [(torch.tensor(words), torch.tensor(label)) for words, label in lists]

    def of_lists(samples: list[tuple[list[int], int]]) -> tuple[Tensor, Tensor]:
        padded = pad_sequence([torch.tensor(words) for words, _ in samples], batch_first=True)
        return padded, torch.tensor([label for _, label in samples])

    def of_tensors(samples: list[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        return pad_sequence([words for words, _ in samples], batch_first=True), torch.stack([one for _, one in samples])

    records = []
    for peer, samples, collate in (("lists of numbers", lists, of_lists), ("a tensor a text", tensors, of_tensors)):
        loader: DataLoader[Any] = DataLoader(samples, batch_sampler=Buckets(lengths, given.batch), collate_fn=collate)  # type: ignore[arg-type]

        def their_epoch(loader: DataLoader[Any] = loader) -> int:
            return sum(len(y.to(device)) for x, y in loader if len(x.to(device)))

        assert our_epoch() == their_epoch() == count
        timings = interleave(
            {"ours": our_epoch, "theirs": their_epoch, "floor": floor}, given.repeats or (5 if given.quick else 9)
        )
        records.append(record(f"epoch of {count:,} texts, batches of {given.batch}", peer, given.backend, **timings))
    return records


if __name__ == "__main__":
    main()
