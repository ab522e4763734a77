"""Texts as numbers, one way or the other: the words of the training texts, or a model's own tokens."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from .dataset import Vocabulary
from .modalities.text import Texts
from .tokenizer import tokenised
from .vectors import with_vectors
from .words import WORDS, numbered, tokens, vocabulary


def numbered_texts(
    train: Sequence[str],
    test: Sequence[str],
    *,
    words: int = WORDS,
    length: int = 0,
    vectors: str = "",
    tokenizer: str = "",
) -> tuple[Vocabulary, Texts, Texts]:
    """The vocabulary, and the texts of both splits by it.

    Args:
        words: of the vocabulary: the most frequent of the training texts that occur twice.
        length: how many words, or tokens, of a text are kept, its first; 0: all, of tokens as many as the model takes.
        vectors: a file of word vectors in FastText's text format, for an embedding to begin at; empty: none.
        tokenizer: the folder of a Hugging Face model, whose tokens stand in the words' stead; empty: words.

    Raises:
        InputError: vectors or a tokeniser that cannot be read, or settings of the one with the other.
    """
    if tokenizer:
        if vectors or words != WORDS:
            raise InputError("words= and vectors= are of words, and tokenizer= has tokens of its own: leave them out.")
        known, texts = tokenised(tokenizer, length, train, test)
        return known, texts[0], texts[1]
    split = [[tokens(text) for text in texts] for texts in (train, test)]
    known = with_vectors(vocabulary(split[0], words), vectors)
    first, second = (numbered(texts, known, length or None) for texts in split)
    return known, first, second
