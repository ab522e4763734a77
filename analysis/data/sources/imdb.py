"""IMDb (Maas et al. 2011): 25,000 film reviews to train on and 25,000 to test on, half of each good and half bad.

Read from the folder ``IMDb`` below the data's: the archive as it is published, what it unpacks to, or an archive of the
labelled part alone. The stars stand in the files' names, ``ID_STARS.txt``.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

import torch

from ...errors import InputError
from ..dataset import Dataset
from ..files import DataFile, data_root, fetching
from ..of_texts import Reading, Written, of_texts
from ..words import WORDS, tokens

ABOUT = "50,000 film reviews, good or bad, or by their stars; 84 MB"
MEGABYTES = 84.0
SHAPE = None  # texts are of any length

FOLDER, NAME = "IMDb", "aclImdb"
ARCHIVES = (f"{NAME}_v1.tar.gz", f"{NAME}-labelled.tar.gz")
URL = f"https://ai.stanford.edu/~amaas/data/sentiment/{ARCHIVES[0]}"
MD5 = "7c2ac02c03563afcf9b574c7e56c153a"
EACH = 12_500  # reviews of each of the four folders
SPLITS, SIDES = ("train", "test"), ("neg", "pos")
STARS = (1, 2, 3, 4, 7, 8, 9, 10)
_MEMBER = re.compile(rf"(?:.*/)?{NAME}/(train|test)/(neg|pos)/(\d+)_(\d+)\.txt")
_REMEDY = f"Run `mixlens data imdb --fetch`, or put {URL} in"
_ANEW = f"Remove it: while it is there nothing is fetched. {_REMEDY}"


def status(root: str | Path | None = None) -> list[DataFile]:
    """The first of what can be read. The published archive is held to its MD5."""
    folder = data_root(root) / FOLDER
    unpacked, published, labelled = folder / NAME, *(folder / name for name in ARCHIVES)
    if unpacked.is_dir():
        return [DataFile(unpacked, True, all((unpacked / split / side).is_dir() for split in SPLITS for side in SIDES))]
    if labelled.is_file():
        return [DataFile(labelled, True, True)]
    there = published.is_file()
    return [DataFile(published, there, there and _md5(published) == MD5)]


def fetch(root: str | Path | None = None) -> None:
    """Download the archive (84 MB) and check it; nothing happens if the reviews are there.

    Raises:
        InputError: it cannot be fetched, fails its checksum or cannot be written.
    """
    from torchvision.datasets.utils import download_url

    folder = data_root(root) / FOLDER
    if not all(file.ok for file in status(root)):
        with fetching("IMDb", folder, f"{_REMEDY} {folder}."):
            download_url(URL, str(folder), ARCHIVES[0], MD5)


def load(
    root: str | Path | None = None,
    *,
    stars: bool = False,
    words: int = WORDS,
    length: int = 0,
    vectors: str = "",
    tokenizer: str = "",
) -> Dataset:
    """All reviews, in the order of their folders and numbers.

    Args:
        stars: eight classes, by the stars, in place of two.
        words: of the vocabulary: the most frequent of the training reviews that occur twice.
        length: how many words of a review are kept, its first; 0: all.
        vectors: a file of word vectors in FastText's text format, which the embedding begins at.
        tokenizer: the folder of a Hugging Face model, whose tokens stand in the words' stead.

    Raises:
        InputError: reviews are missing or damaged; arguments out of range; vectors or a tokeniser that cannot be read.
    """
    reading = Reading(words, length, vectors, tokenizer)
    reading.check("imdb")
    (file,) = status(root)
    if not file.ok:
        state = f"is damaged. {_ANEW}" if file.present else f"is missing. {_REMEDY}"
        raise InputError(f"IMDb cannot be used: {file.path} {state} {file.path.parent}.")
    reviews: dict[tuple[str, str, int], tuple[int, str]] = {}
    for path, content in _files(file.path):
        match = _MEMBER.fullmatch(path)
        if match is not None:
            split, side, number, given = match.groups()
            if (key := (split, side, int(number))) in reviews:
                raise InputError(
                    f"IMDb cannot be used: {file.path} has review {number} of {split}/{side} twice. {_ANEW} "
                    f"{file.path.parent}."
                )
            reviews[key] = int(given), content
    _check(file.path, reviews)
    written = []
    for split in SPLITS:
        keys = [(split, side, number) for side in SIDES for number in range(EACH)]
        labels = [STARS.index(reviews[key][0]) if stars else SIDES.index(key[1]) for key in keys]
        written.append(Written((reviews[key][1] for key in keys), torch.tensor(labels)))
    names = tuple(f"{given} stars" if given > 1 else "1 star" for given in STARS) if stars else ("bad", "good")
    return of_texts("imdb", written, names, reading)


def _files(path: Path) -> Iterator[tuple[str, str]]:
    """Name and content of each review of a folder or an archive. Raises InputError for what cannot be read."""
    name = ""
    try:
        if path.is_dir():
            for split in SPLITS:
                for side in SIDES:
                    for one in (path / split / side).iterdir():
                        if _MEMBER.fullmatch(name := f"{NAME}/{split}/{side}/{one.name}"):
                            yield name, one.read_text(encoding="utf-8")
            return
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() and _MEMBER.fullmatch(member.name) else None
                if content is not None:
                    name = member.name
                    yield name, content.read().decode("utf-8")
    except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError) as error:
        raise InputError(
            f"IMDb cannot be used: {path} cannot be read ({name}: {error}). {_ANEW} {path.parent}."
        ) from error


def _check(path: Path, reviews: dict[tuple[str, str, int], tuple[int, str]]) -> None:
    for split in SPLITS:
        for side in SIDES:
            lacking = [number for number in range(EACH) if (split, side, number) not in reviews]
            if lacking:
                raise InputError(
                    f"IMDb cannot be used: {path} lacks {len(lacking):,} of {EACH:,} reviews of {split}/{side}, the "
                    f"first number {lacking[0]}. {_ANEW} {path.parent}."
                )
    for (split, side, number), (given, content) in reviews.items():
        if given not in STARS or not (tokens(content[:200]) or tokens(content)):
            what = f"{given} stars" if given not in STARS else "no words"
            raise InputError(f"IMDb cannot be used: review {number} of {split}/{side} in {path} has {what}.")


def _md5(path: Path) -> str:
    digest = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()
