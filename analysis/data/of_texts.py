"""A data set of texts as they were written: tokenised, counted, numbered, with vectors where a file of them is named."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor

from ..errors import InputError
from .dataset import Dataset, Head, Split
from .tokenizer import tokenised
from .vectors import with_vectors
from .words import WORDS, Words, with_unknown


class Written(NamedTuple):
    """A split of texts as they were written, each read once, and their labels."""

    texts: Iterable[str]
    labels: Tensor


class Reading(NamedTuple):
    """How texts are read: what a source's arguments say.

    Raises:
        InputError: by `check`, an argument out of range.
    """

    words: int = WORDS  # of the vocabulary: the most frequent of the training texts that occur twice
    length: int = 0  # how many words of a text are kept, its first; 0: all
    vectors: str = ""  # a file of word vectors in FastText's text format, which the embedding begins at
    tokenizer: str = ""  # the folder of a Hugging Face model, whose tokens stand in the words' stead

    def check(self, name: str) -> None:
        words, length, vectors, tokenizer = self
        if type(words) is not int or words < 2 or type(length) is not int or length < 0:
            raise InputError(f"data set {name!r}: words={words!r}, length={length!r}; expected 2 or more, and 0 or more.")
        if not isinstance(vectors, str):
            raise InputError(f"data set {name!r}: vectors={vectors!r}; expected the path of a file of word vectors.")
        if not isinstance(tokenizer, str):
            raise InputError(f"data set {name!r}: tokenizer={tokenizer!r}; expected the folder of a model.")
        if tokenizer and (vectors or words != WORDS):
            raise InputError(
                f"data set {name!r}: words= and vectors= are of words, and tokenizer= has tokens; leave them out."
            )


def of_texts(
    name: str,
    train: Written,
    test: Written,
    classes: tuple[str, ...],
    reading: Reading,
    *,
    heads: tuple[Head, ...] = (),
    wordless: bool = False,
) -> Dataset:
    """The data set; its vocabulary is of the training texts, of whole ones also where their first words are kept, or a
    tokeniser's tokens.

    Args:
        wordless: a text without a word, such as one of marks alone, is read as one unknown word; else it is refused.
            A tokeniser has a number for every mark.

    Raises:
        InputError: an argument out of range, vectors or a tokeniser that cannot be read, what `Dataset` refuses.
    """
    reading.check(name)
    if reading.tokenizer:
        known, texts = tokenised(reading.tokenizer, reading.length, train.texts, test.texts)
    else:
        words = Words()
        read = [words.read(split.texts) for split in (train, test)]
        if wordless:
            read = [with_unknown(split, words) for split in read]
        known = words.vocabulary(read[0], reading.words)
        texts = [words.numbered(split, known, reading.length) for split in read]
        known = with_vectors(known, reading.vectors)
    splits = (Split(ids, split.labels) for ids, split in zip(texts, (train, test), strict=True))
    return Dataset(name, *splits, classes, (), (), heads=heads, vocabulary=known)
