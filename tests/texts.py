"""Small texts whose classes are told by their words."""

import torch

from mixlens.analysis.data.dataset import Dataset, Head, Split, Vocabulary
from mixlens.analysis.data.modalities.text import Texts

WORDS = 20  # of which those from 11 on are one class's, and from 16 on the other's


def texts(count, seed, *, longest=12):
    """Of classes in turn, 3 to ``longest`` words each."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    rows = []
    for label in labels.tolist():
        length = int(torch.randint(3, longest + 1, (1,), generator=generator))
        row = torch.randint(1, 11, (length,), generator=generator)
        own = torch.randint(5, (length,), generator=generator) + 11 + 5 * label
        rows.append(torch.where(torch.rand(length, generator=generator) < 0.5, own, row).tolist())
    return Split(Texts.of(rows), labels)


def text_dataset(train=96, test=48, *, vectors=None):
    words = tuple(f"word{number}" for number in range(1, WORDS + 1))
    return Dataset(
        "few-texts", texts(train, 0), texts(test, 1), ("bad", "good"), (), (), vocabulary=Vocabulary(words, vectors)
    )


def labelled_texts(train=96, test=48):
    """With three labels at once: the class, whether a text is long, and whether it has word 1."""
    heads = tuple(Head(name, ("no", "yes")) for name in ("rude", "long_winded", "first"))

    def several(split):
        has_first = torch.stack([(row == 1).any() for row in split.images[:]])
        return Split(split.images, torch.stack([split.labels, split.images.lengths > 7, has_first], 1).long())

    one = text_dataset(train, test)
    return Dataset(one.name, several(one.train), several(one.test), (), (), (), heads=heads, vocabulary=one.vocabulary)
