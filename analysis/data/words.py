"""Words of texts and their numbers: tokenised once, counted on the training texts."""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, NamedTuple
from unicodedata import category, normalize

import numpy as np
import torch

from .dataset import Vocabulary
from .modalities.text import UNKNOWN, Texts

UNKNOWN_WORD = "<unk>"
WORDS = 30_000  # of a vocabulary, at most, where nobody says how many
LEAST = 2  # training texts' occurrences of a word that is known

# What reviews have of HTML, such as <br />.
_TAG = re.compile(r"</?(?:a|b|br|em|font|hr|i|li|p|span|strong|u|ul)\b[^<>]{0,99}>", re.IGNORECASE)
# Accents, and vowels of many scripts, which stand behind a letter and are none. Beyond 2¹⁶ they would be slow to find.
_MARKS = "".join(mark for mark in map(chr, range(2**16)) if category(mark)[0] == "M")
_WORD = re.compile(rf"\w+(?:['’]\w+|[{_MARKS}]\w*)*")


def tokens(text: str) -> list[str]:
    """Runs of letters and digits with their accents and apostrophes, in lower case; all else is dropped."""
    return _WORD.findall(_TAG.sub(" ", normalize("NFC", text)).lower().replace("_", " "))


class Read(NamedTuple):
    """Texts whose words are numbered as they first came, all in one array: an integer a word, however long they are."""

    ids: np.ndarray[Any, Any]  # (words of all texts,) int32
    lengths: np.ndarray[Any, Any]  # (texts,) int64


class Words:
    """Reads texts, and numbers each word of them, from 0 on, as it first comes."""

    def __init__(self) -> None:
        self.numbers: defaultdict[str, int] = defaultdict()
        self.numbers.default_factory = self.numbers.__len__

    def read(self, texts: Iterable[str]) -> Read:
        ids, ends, number = array("i"), array("q"), self.numbers.__getitem__
        for text in texts:
            ids.extend(map(number, tokens(text)))
            ends.append(len(ids))
        return Read(np.frombuffer(ids, np.int32), np.diff(np.frombuffer(ends, np.int64), prepend=0))

    def vocabulary(self, train: Read, most: int = WORDS, least: int = LEAST) -> Vocabulary:
        """The words that come ``least`` times, the most frequent first, up to ``most``; the first stands for others."""
        counts = np.bincount(train.ids, minlength=len(self.numbers)).tolist()
        frequent = sorted(
            (word for word, number in self.numbers.items() if counts[number] >= least and word != UNKNOWN_WORD),
            key=lambda word: (-counts[self.numbers[word]], word),
        )
        return Vocabulary((UNKNOWN_WORD, *frequent[: most - 1]))

    def numbered(self, read: Read, known: Vocabulary, length: int = 0) -> Texts:
        """The texts by the vocabulary's numbers, of each its first ``length`` words; all for 0."""
        places = np.full(len(self.numbers), UNKNOWN, np.int32)
        for place, word in enumerate(known.words[1:], start=UNKNOWN + 1):
            places[self.numbers[word]] = place
        ids, lengths = places[read.ids], read.lengths
        if length:
            within = np.arange(len(ids)) - np.repeat(lengths.cumsum() - lengths, lengths)
            ids, lengths = ids[within < length], lengths.clip(max=length)
        return Texts(torch.from_numpy(ids), torch.from_numpy(np.concatenate([[0], lengths.cumsum()])))


def with_unknown(read: Read, words: Words) -> Read:
    """The texts, those without any word as one that no vocabulary has."""
    empty = read.lengths == 0
    if not empty.any():
        return read
    starts = read.lengths.cumsum()[empty]
    return Read(np.insert(read.ids, starts, words.numbers[UNKNOWN_WORD]).astype(np.int32), read.lengths.clip(min=1))
