"""Words of texts and their numbers: tokenised once, counted on the training texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from .dataset import Vocabulary
from .modalities.text import UNKNOWN, Texts

UNKNOWN_WORD = "<unk>"
WORDS = 30_000  # of a vocabulary, at most, where nobody says how many
LEAST = 2  # training texts' occurrences of a word that is known

_BREAK = re.compile(r"<[^<>]{1,20}>")  # HTML's, as reviews have them: <br />
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def tokens(text: str) -> list[str]:
    """Runs of letters and digits with their apostrophes, in lower case; marks between them are dropped."""
    return _WORD.findall(_BREAK.sub(" ", text).lower())


def vocabulary(texts: Iterable[Sequence[str]], most: int = WORDS, least: int = LEAST) -> Vocabulary:
    """The words that occur ``least`` times, the most frequent first, up to ``most``; the first stands for others."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    frequent = sorted(
        (word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word)
    )
    return Vocabulary((UNKNOWN_WORD, *frequent[: most - 1]))


def numbered(texts: Sequence[Sequence[str]], known: Vocabulary, length: int | None = None) -> Texts:
    """The texts as numbers, of each its first ``length`` words; all without None."""
    numbers = {word: number for number, word in enumerate(known.words, start=UNKNOWN)}
    return Texts.of([np.fromiter((numbers.get(word, UNKNOWN) for word in text[:length]), np.int32) for text in texts])
