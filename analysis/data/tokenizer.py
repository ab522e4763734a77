"""A model's own tokeniser, from its folder: texts as the numbers that its weights know."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, first_line
from .dataset import Vocabulary, number_names
from .modalities.text import PADDING, Texts

AT_ONCE = 1000  # texts that the tokeniser is handed
MOST = 10**6  # tokens; a tokeniser that knows no most says 10³⁰
FILES = ("tokenizer.json", "vocab.txt", "tokenizer_config.json", "spiece.model")  # one of which a tokeniser has


@contextmanager
def reading(folder: str, what: str) -> Iterator[tuple[Any, Path]]:
    """The package transformers, to read ``what`` of a model from its folder: it prints nothing meanwhile.

    Raises:
        InputError: there is no such folder, transformers is not installed, or anything that it raises.
    """
    path = Path(folder).expanduser() if isinstance(folder, str) and folder else None
    if path is None or not path.is_dir():
        raise InputError(
            f"{folder!r} is no folder. Give that of a Hugging Face model, with its config.json, model.safetensors and "
            "tokenizer.json; nothing is downloaded. One that has a name: hf download NAME --local-dir FOLDER."
        )
    try:
        import transformers
    except ImportError as error:
        raise InputError(
            f"{folder!r}: {what} is read by the package transformers, which is not installed: pip install "
            "'mixlens[text]'."
        ) from error
    logging = transformers.utils.logging
    level, shows = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        yield transformers, path
    except InputError:
        raise
    except Exception as error:  # whatever is wrong with the files, and the library's way to say it
        raise InputError(f"{what} cannot be read from {folder!r}: {first_line(error)}") from error
    finally:
        logging.set_verbosity(level)
        if shows:
            logging.enable_progress_bar()


def read_tokenizer(folder: str) -> Any:
    """The fast tokeniser of a model's folder, from the files there alone.

    Raises:
        InputError: as `reading`; there is none, or no fast one; its padding is another number than 0.
    """
    with reading(folder, "the tokeniser") as (transformers, path):
        if not any((path / name).is_file() for name in FILES):
            raise InputError(f"{folder!r} has no tokeniser: expected tokenizer.json or vocab.txt beside config.json.")
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False, use_fast=True
        )
    if not tokenizer.is_fast:
        raise InputError(f"{folder!r} has no fast tokeniser; give a folder with tokenizer.json.")
    if tokenizer.pad_token_id != PADDING:
        number = "none" if tokenizer.pad_token_id is None else f"number {tokenizer.pad_token_id}"
        raise InputError(
            f"{folder!r}: the tokeniser's padding is {number}; here padding is number {PADDING}, as BERT's, ELECTRA's, "
            "ALBERT's and DistilBERT's is. RoBERTa's is not, and cannot be taken."
        )
    return tokenizer


def tokens_of(tokenizer: Any) -> tuple[str, ...]:
    """Its tokens from number 1 on; empty where a number has none."""
    numbers = tokenizer.get_vocab()
    tokens = [""] * (max(numbers.values()) + 1)
    for token, number in numbers.items():
        tokens[number] = token
    return tuple(tokens[PADDING + 1 :])


def tokenised(folder: str, length: int, *splits: Iterable[str]) -> tuple[Vocabulary, list[Texts]]:
    """The tokens, and the texts of each split as their numbers, with the model's special tokens around each.

    What stands in a text is text: a "[SEP]" that somebody wrote is not the model's.

    Args:
        length: how many tokens of a text are kept, special ones among them; 0: as many as the tokeniser says.

    Raises:
        InputError: as `read_tokenizer`; a length that leaves no token of the text.
    """
    tokenizer = read_tokenizer(folder)
    backend = tokenizer.backend_tokenizer
    special = backend.num_special_tokens_to_add(False)
    if 0 < length <= special:
        raise InputError(f"length={length}, of which {special} are the tokeniser's special ones; give more.")
    length = length or (tokenizer.model_max_length if tokenizer.model_max_length < MOST else 0)
    backend.encode_special_tokens = True
    backend.no_padding()
    if length:
        backend.enable_truncation(length)
    else:
        backend.no_truncation()
    return Vocabulary(tokens_of(tokenizer)), [Texts.of(_numbers(backend, texts)) for texts in splits]


def _numbers(backend: Any, texts: Iterable[str]) -> list[np.ndarray[Any, Any]]:
    numbers: list[np.ndarray[Any, Any]] = []
    left = iter(texts)
    while some := list(islice(left, AT_ONCE)):
        numbers += [np.array(encoding.ids, np.int32) for encoding in backend.encode_batch_fast(some)]
    return numbers


def same_tokens(folder: str, words: Sequence[str]) -> bool:
    """Whether these words are the tokens of a model's folder; of one without a tokeniser, whether they are numbers."""
    path = Path(folder).expanduser()
    if not any(os.path.isfile(path / name) for name in FILES):
        return tuple(words) == number_names(len(words))  # whose owner has to know
    return tokens_of(read_tokenizer(folder)) == tuple(words)
