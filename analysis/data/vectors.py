"""Word vectors from a file: FastText's text format, of which those of a vocabulary's words are kept.

They are kept as ``vectors/KEY.npz`` (one float32 array, no pickles) in the user's cache folder, so that a file of
gigabytes is read once; the key is of the file's path, size and time of change, and of the words.
"""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from platformdirs import user_cache_path

from ..errors import InputError
from .dataset import Vocabulary
from .files import write_arrays

Array = np.ndarray[Any, Any]
CUT = 0.99  # of the lines that a file says; published ones may count a word more
_EXPECTED = "Expected FastText's text format, such as wiki.simple.vec of https://fasttext.cc, unpacked"


def with_vectors(known: Vocabulary, path: str) -> Vocabulary:
    """The vocabulary with the vectors of its words, NaN of those that the file lacks; as it is where no file is named.

    The format: a line ``words channels``, then a line a word, the word and its numbers, with spaces between them.
    GloVe's files, which lack the first line, are read too; words with a space in them, as some of its have, are none
    of a vocabulary's. Of a word that stands twice the last is taken.

    Raises:
        InputError: the file cannot be read or is cut off, a line has another number of numbers or none, or no word is
            known.
    """
    if not path:
        return known
    kept = _kept(known, Path(path).expanduser().absolute())
    vectors = _read_kept(kept, len(known.words)) if kept else None
    if vectors is None:
        vectors = _read(known, path)
        if kept:
            with suppress(OSError):  # it is read again the next time
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_arrays(kept, {"vectors": vectors})
    return replace(known, vectors=torch.from_numpy(vectors))


def check_readable(path: str) -> None:
    """Raises InputError where there is no such file, before thousands of texts are read for nothing."""
    try:
        Path(path).expanduser().open("rb").close()
    except (OSError, ValueError) as error:
        raise _unread(path, error) from error


def _unread(path: str, error: Exception) -> InputError:
    return InputError(
        f"word vectors cannot be read from {path}: {getattr(error, 'strerror', None) or error}. {_EXPECTED}."
    )


def _kept(known: Vocabulary, path: Path) -> Path | None:
    """Where the vectors are, or will be; None where the file cannot be looked at, which its reading says."""
    try:
        state = path.stat()
    except OSError:
        return None
    parts = (str(path), str(state.st_size), str(state.st_mtime_ns), *known.words)
    key = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()[:32]
    return user_cache_path("mixlens") / "vectors" / f"{key}.npz"


def _read_kept(path: Path, count: int) -> Array | None:
    try:
        with np.load(path, allow_pickle=False) as stored:
            vectors: Array = stored["vectors"]
    except Exception:  # zipfile, zlib and numpy each have their own
        return None
    return vectors if vectors.dtype == np.float32 and vectors.ndim == 2 and len(vectors) == count else None


def _read(known: Vocabulary, path: str) -> Array:
    wanted = {word: place for place, word in enumerate(known.words)}
    vectors: Array | None = None
    found = said = number = 0
    try:
        with Path(path).expanduser().open(encoding="utf-8-sig", newline="\n", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                word, _, rest = line.rstrip().partition(" ")
                if number == 1 and rest.strip().isdigit() and word.isdigit():
                    said = int(word)
                    vectors = np.full((len(known.words), int(rest)), math.nan, np.float32)
                    continue
                if vectors is None:
                    vectors = np.full((len(known.words), len(rest.split())), math.nan, np.float32)
                if (place := wanted.get(word)) is None:
                    continue
                numbers = rest.split()
                if len(numbers) > vectors.shape[1] and not _is_number(numbers[0]):
                    continue  # "at home", of which the first word is another's
                values = np.array(numbers, np.float32)
                if values.shape != vectors.shape[1:] or not len(values) or not np.isfinite(values).all():
                    finite = int(np.isfinite(values).sum())
                    raise InputError(
                        f"line {number} of {path}, word {word!r}, has {finite} finite numbers; expected "
                        f"{vectors.shape[1] or 'some'}, as the file says at its start. Fetch it anew."
                    )
                found += bool(np.isnan(vectors[place, 0]))
                vectors[place] = values
    except InputError:
        raise
    except (OSError, ValueError, MemoryError) as error:
        raise _unread(path, error) from error
    if not found or vectors is None:
        raise InputError(
            f"{path} has no vector of any of the {len(known.words):,} words of the data: is it of another language? "
            f"{_EXPECTED}."
        )
    if number < CUT * said:
        raise InputError(
            f"{path} is cut off: it has {number - 1:,} of the {said:,} words that it says at its start. Fetch it anew."
        )
    return vectors


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
