"""Yelp's reviews as Zhang et al. (2015) gave them out: two CSV files of a class and a text, in an archive."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

import pandas as pd
import torch

from ..errors import InputError, first_line
from .dataset import Dataset
from .files import DataFile, data_root, fetching
from .of_texts import Reading, Written, of_texts
from .words import WORDS

FILES = ("train.csv", "test.csv")
_ADDRESS = "https://s3.amazonaws.com/fast-ai-nlp/"


class Yelp(NamedTuple):
    """One of the two sets: a folder below the data's, or the archive that unpacks to it.

    A row has a class from 1 on and a text, both in double quotes; a double quote within the text stands twice, and a
    line's end as a backslash and an n.
    """

    name: str  # as a study has it
    folder: str
    sha256: str  # of the archive
    megabytes: float
    rows: tuple[int, int]  # of the two files
    classes: tuple[str, ...]

    @property
    def archive(self) -> str:
        return f"{self.folder}.tgz"

    def status(self, root: str | Path | None = None) -> list[DataFile]:
        """The two files where the folder is there; else the archive, which is held to its SHA-256."""
        there = data_root(root) / self.folder
        if there.is_dir():
            return [DataFile(there / name, (there / name).is_file(), (there / name).is_file()) for name in FILES]
        path = data_root(root) / self.archive
        return [DataFile(path, path.is_file(), path.is_file() and _sha256(path) == self.sha256)]

    def fetch(self, root: str | Path | None = None) -> None:
        """Download the archive and check it; nothing happens if the reviews are there.

        Raises:
            InputError: it cannot be fetched, fails its checksum or cannot be written.
        """
        from torchvision.datasets.utils import download_url

        if all(file.ok for file in self.status(root)):
            return
        folder = data_root(root)
        with fetching(self.name, folder, self._remedy(folder)):
            (folder / self.archive).unlink(missing_ok=True)
            download_url(f"{_ADDRESS}{self.archive}", str(folder), self.archive)
            if _sha256(folder / self.archive) != self.sha256:
                raise OSError("it has another SHA-256 than the published archive")

    def load(
        self,
        root: str | Path | None = None,
        *,
        words: int = WORDS,
        length: int = 0,
        vectors: str = "",
        tokenizer: str = "",
    ) -> Dataset:
        """All reviews, in their order; one without a word, such as of marks alone, is one unknown word.

        Args:
            words: of the vocabulary: the most frequent of the training reviews that occur twice.
            length: how many words of a review are kept, its first; 0: all.
            vectors: a file of word vectors in FastText's text format, which the embedding begins at.
            tokenizer: the folder of a Hugging Face model, whose tokens stand in the words' stead.

        Raises:
            InputError: files are missing or damaged; arguments out of range; vectors or a tokeniser that cannot be
                read.
        """
        reading = Reading(words, length, vectors, tokenizer)
        reading.check(self.name)
        folder = data_root(root)
        if wrong := [file for file in self.status(root) if not file.ok]:
            raise self._unusable(folder, f"{wrong[0].path} is {'damaged' if wrong[0].present else 'missing'}")
        splits = [self._read(folder, name, rows) for name, rows in zip(FILES, self.rows, strict=True)]
        return of_texts(self.name, splits, self.classes, reading, wordless=True)

    def _read(self, folder: Path, name: str, rows: int) -> Written:
        try:
            with self._opened(folder, name) as file:
                table = pd.read_csv(file, header=None, dtype=str, keep_default_na=False, encoding="utf-8")
        except (OSError, EOFError, ValueError, tarfile.TarError) as error:  # pandas' are ValueErrors
            raise self._unusable(folder, f"{name} cannot be read as a table ({first_line(error)})") from error
        if table.shape != (rows, 2):
            found = f"{table.shape[0]:,} rows of {table.shape[1]} columns"
            raise self._unusable(folder, f"{name} has {found}; expected {rows:,} rows of a class and a text")
        labels = pd.to_numeric(table[0], errors="coerce")
        wrong = ~labels.isin(range(1, len(self.classes) + 1))
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            told = f"row {row + 1} of {name} has the class {table[0][row]!r:.40}; expected 1 to {len(self.classes)}"
            raise self._unusable(folder, told)
        texts = (text.replace("\\n", "\n") for text in table[1])
        return Written(texts, torch.from_numpy(labels.to_numpy("int64") - 1))

    @contextmanager
    def _opened(self, folder: Path, name: str) -> Iterator[IO[bytes]]:
        if (folder / self.folder).is_dir():
            with (folder / self.folder / name).open("rb") as file:
                yield file
            return
        with tarfile.open(folder / self.archive) as archive:
            try:
                member = archive.extractfile(f"{self.folder}/{name}")
            except KeyError:
                member = None
            if member is None:
                raise OSError(f"there is none in {self.archive}")
            yield member

    def _unusable(self, folder: Path, why: str) -> InputError:
        return InputError(f"{self.name} cannot be used: {why}. {self._remedy(folder)}")

    def _remedy(self, folder: Path) -> str:
        archive, there = f"{_ADDRESS}{self.archive}", folder / self.folder
        anew = f"Remove {there}: while it is there nothing is fetched. " if there.is_dir() else ""
        return f"{anew}Run `mixlens data {self.name} --fetch`, or put {archive}, or what it unpacks to, in {folder}."


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
