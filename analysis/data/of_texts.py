"""A data set of texts as they were written: tokenised, counted, numbered, with vectors where a file is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .dataset import Dataset, Head, Split, Vocabulary, number_names
from .modalities.text import Texts
from .tokenizer import tokenised
from .vectors import check_readable, with_vectors
from .words import WORDS, Words, tokens, with_unknown


class Written(NamedTuple):
    """A split of texts as they were written, each read once, and their labels."""

    texts: Iterable[str]
    labels: Tensor


MOST = 10_000_000  # words that are numbers alone


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
            raise InputError(
                f"data set {name!r}: words={words!r}, length={length!r}; expected 2 or more, and 0 or more."
            )
        if not isinstance(vectors, str):
            raise InputError(f"data set {name!r}: vectors={vectors!r}; expected the path of a file of word vectors.")
        if not isinstance(tokenizer, str):
            raise InputError(f"data set {name!r}: tokenizer={tokenizer!r}; expected the folder of a model.")
        if tokenizer and (vectors or words != WORDS):
            raise InputError(
                f"data set {name!r}: words= and vectors= are of words, and tokenizer= has tokens; leave them out."
            )
        if vectors:
            check_readable(vectors)


def of_texts(
    name: str,
    splits: Sequence[Written],
    classes: tuple[str, ...],
    reading: Reading,
    *,
    heads: tuple[Head, ...] = (),
    wordless: bool = False,
) -> Dataset:
    """The data set; its vocabulary is of the training texts, of whole ones also where their first words are kept, or a
    tokeniser's tokens.

    Args:
        splits: that to train on, and that to test on.
        wordless: a text without a word, such as one of marks alone, is read as one unknown word; else it is refused.
            A tokeniser has a number for every mark.

    Raises:
        InputError: an argument out of range, vectors or a tokeniser that cannot be read, what `Dataset` refuses.
    """
    reading.check(name)
    train, test = splits
    texts, known = _numbered(train.texts, test.texts, reading, wordless=wordless)
    return Dataset(
        name,
        Split(texts[0], train.labels),
        Split(texts[1], test.labels),
        classes,
        (),
        (),
        heads=heads,
        vocabulary=known,
    )


def from_lists(name: str, given: Mapping[str, Any]) -> tuple[tuple[Texts, Texts], Vocabulary]:
    """Both splits of a user's texts, and their vocabulary.

    ``train_texts`` and ``test_texts`` are lists of strings, which are tokenised here as `Reading` has it (``words``,
    ``length``, ``vectors``, ``tokenizer``); or lists of lists of numbers, 1 to ``words``, of which vectors (words,
    channels) may be given as an array.

    Raises:
        InputError: one that is no list of these, a text without words, a number outside, arguments out of range.
    """
    both = []
    for key in ("train_texts", "test_texts"):
        texts = given[key]
        if isinstance(texts, str) or not isinstance(texts, Iterable):
            raise InputError(f"data set {name!r}: {key} is {type(texts).__name__}; expected a list of texts.")
        both.append((key, list(texts)))
    written = isinstance(next(iter(both[0][1]), ""), str)
    for key, texts in both:
        for place, text in enumerate(texts):
            if wrong := _wrong(text, written, marks=bool(given.get("tokenizer"))):
                raise InputError(f"data set {name!r}: {key}[{place}] {wrong}.")
    (_, train), (_, test) = both
    if written:
        reading = Reading(**{key: given[key] for key in Reading._fields if key in given})
        reading.check(name)
        return _numbered(train, test, reading)
    words, vectors = given.get("words"), given.get("vectors")
    if given.get("tokenizer"):
        raise InputError(f"data set {name!r}: tokenizer= reads strings, and these texts are numbers: leave it out.")
    if type(words) is not int or words < 1 or given.get("length"):
        raise InputError(
            f"data set {name!r}: words={words!r}, length={given.get('length')!r}; of texts as numbers expected how "
            "many words there are, numbered from 1, and no length."
        )
    if isinstance(vectors, str):
        raise InputError(
            f"data set {name!r}: vectors={vectors!r}: which word a number stands for is not known; give an array "
            "(words, channels)."
        )
    if words > MOST:
        raise InputError(
            f"data set {name!r}: words={words:,}, of which {MOST:,} at most can be held; number those that occur."
        )
    train, test = ([np.asarray(text) for text in texts] for texts in (train, test))
    outside = [int(number) for text in (*train, *test) for number in (text.max(), text.min())]
    if outside and not 1 <= min(outside) <= max(outside) <= words:
        number = next(number for number in outside if not 1 <= number <= words)
        raise InputError(f"data set {name!r}: word number {number}; expected 1 to {words}: 0 is padding.")
    try:
        table = None if vectors is None else torch.as_tensor(np.asarray(vectors, np.float32))
    except (TypeError, ValueError) as error:
        raise InputError(
            f"data set {name!r}: vectors cannot be read as an array of numbers: {error}. Expected ({words}, channels)."
        ) from error
    known = Vocabulary(number_names(words), table)
    return (Texts.of(train), Texts.of(test)), known


def _wrong(text: Any, written: bool, *, marks: bool) -> str:
    """What is wrong with one of a user's texts; empty if nothing is. With ``marks`` these are words too."""
    if written:
        if not isinstance(text, str):
            return f"is {type(text).__name__}, {text!r:.40}; expected a string, as the first is"
        if tokens(text) or (marks and text.strip()):
            return ""
        return f"has no words: {text!r:.40}; leave it out, with its label"
    try:
        numbers = np.asarray(text)
    except (TypeError, ValueError):
        numbers = np.empty(0, object)
    if not numbers.size and numbers.dtype != object:
        return "has no words; leave it out, with its label"
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        return f"is {type(text).__name__}, {text!r:.40}; expected a string, or a list of whole numbers, as the first is"
    return ""


def _numbered(
    train: Iterable[str], test: Iterable[str], reading: Reading, *, wordless: bool = False
) -> tuple[tuple[Texts, Texts], Vocabulary]:
    if reading.tokenizer:
        known, (first_texts, second_texts) = tokenised(reading.tokenizer, reading.length, train, test)
        return (first_texts, second_texts), known
    words = Words()
    first, second = words.read(train), words.read(test)
    if wordless:
        first, second = with_unknown(first, words), with_unknown(second, words)
    known = words.vocabulary(first, reading.words)
    texts = words.numbered(first, known, reading.length), words.numbered(second, known, reading.length)
    return texts, with_vectors(known, reading.vectors)
