"""Toxic comments of Wikipedia's talk pages (Jigsaw 2018) as the Kaggle competition gives them out: three CSV files.

Each comment has six labels, each of which may hold. The competition has since told the labels of 63,978 of its test
comments, those that it was judged by; the others have −1 in each and are left out.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from ...errors import InputError, first_line
from ..dataset import Dataset, Head
from ..files import DataFile, data_root
from ..of_texts import Reading, Written, of_texts
from ..words import WORDS

ABOUT = "223,549 comments, six labels each; it must be asked for, nothing to fetch"
MEGABYTES = 0.0
SHAPE = None  # it cannot be fetched, so that nothing is planned without it

ASK = "https://www.kaggle.com/c/jigsaw-toxic-comment-classification-challenge/data"
FOLDER = "jigsaw-toxic-comment-classification-challenge"
TRAIN, TEST, LABELS = FILES = ("train.csv", "test.csv", "test_labels.csv")
LAYOUT = f"{FOLDER}/ with {TRAIN}, {TEST} and {LABELS}, unpacked"
HEADS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
_REMEDY = (
    f"They are had from {ASK}, with an account and the competition's rules accepted; expected {LAYOUT} in the folder "
    "of the data, which MIXLENS_DATA can name."
)


def status(root: str | Path | None = None) -> list[DataFile]:
    """The three files. No checksum of them is published."""
    paths = [data_root(root) / FOLDER / name for name in FILES]
    return [DataFile(path, path.is_file(), path.is_file()) for path in paths]


def fetch(root: str | Path | None = None) -> None:
    """Nothing where the files are there; else it says how they are had.

    Raises:
        InputError: they are not: Kaggle asks who wants them to accept the competition's rules.
    """
    if wrong := missing(root):
        raise InputError(f"Toxic comments cannot be fetched by a program, and are {wrong}. {_REMEDY}")


def missing(root: str | Path | None = None) -> str:
    """Which files are not there, in words; empty where all are."""
    absent = [file.path.name for file in status(root) if not file.present]
    return f"missing {', '.join(absent)}" if absent else ""


def load(
    root: str | Path | None = None,
    *,
    head: str = "",
    words: int = WORDS,
    length: int = 0,
    vectors: str = "",
    tokenizer: str = "",
) -> Dataset:
    """All labelled comments, in their order; one without a word, such as of marks alone, is one unknown word.

    Such comments are few, and they stay, so that what is measured is of the whole test split, as in Table 5.

    Args:
        head: one of the six labels, alone; empty: six heads.
        words: of the vocabulary: the most frequent of the training comments that occur twice.
        length: how many words of a comment are kept, its first; 0: all.
        vectors: a file of word vectors in FastText's text format, which the embedding begins at.
        tokenizer: the folder of a Hugging Face model, whose tokens stand in the words' stead.

    Raises:
        InputError: files are missing or damaged, or do not go together; arguments out of range; vectors or a tokeniser
            that cannot be read.
    """
    reading = Reading(words, length, vectors, tokenizer)
    reading.check("toxic")
    if head not in ("", *HEADS):
        raise InputError(f"data set 'toxic': head={head!r}; expected {', '.join(HEADS)}, or none for all of them.")
    folder = data_root(root) / FOLDER
    if wrong := missing(root):
        raise _unusable(folder, wrong)
    train, comments, labels = (
        _table(folder, name, columns)
        for name, columns in ((TRAIN, ("comment_text", *HEADS)), (TEST, ("comment_text",)), (LABELS, HEADS))
    )
    if not comments.index.equals(labels.index):
        if lacking := comments.index.difference(labels.index).tolist():
            raise _unusable(folder, f"the comment {lacking[0]} of {TEST} has no row in {LABELS}")
        if beyond := labels.index.difference(comments.index).tolist():
            raise _unusable(folder, f"the comment {beyond[0]} of {LABELS} has no row in {TEST}")
    test = comments.join(labels)
    splits = [_written(folder, TRAIN, train, 0), _written(folder, LABELS, test, -1)]
    no_yes = ("no", "yes")
    if head:
        splits = [split._replace(labels=split.labels[:, HEADS.index(head)]) for split in splits]
        return of_texts("toxic", splits, no_yes, reading, wordless=True)
    heads = tuple(Head(name, no_yes) for name in HEADS)
    return of_texts("toxic", splits, (), reading, heads=heads, wordless=True)


def _table(folder: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """These columns of a file, as text, by the comments' names."""
    try:
        table = pd.read_csv(folder / name, dtype=str, keep_default_na=False, encoding="utf-8")
    except (OSError, ValueError) as error:  # pandas' errors of what it reads are ValueErrors
        raise _unusable(folder, f"{name} cannot be read as a table ({first_line(error)})") from error
    if lacking := [column for column in ("id", *columns) if column not in table]:
        raise _unusable(
            folder, f"{name} lacks the column {lacking[0]}; it has {', '.join(map(str, table.columns[:8]))}"
        )
    if table["id"].duplicated().any():
        raise _unusable(folder, f"{name} has two rows of the comment {table['id'][table['id'].duplicated()].iloc[0]}")
    return table.set_index("id")[[*columns]]


def _written(folder: Path, name: str, table: pd.DataFrame, least: int) -> Written:
    """The comments that have labels, and these: 0 or 1, or −1 in each of those that have none."""
    labels = table[[*HEADS]].apply(pd.to_numeric, errors="coerce")
    told = ~(labels < 0).all(axis=1)
    values = "0 or 1" if least == 0 else "0 or 1, or −1 of every label"
    for column in HEADS:
        wrong = ~labels[column].isin(range(least, 2)) | told & (labels[column] < 0)
        if wrong.any():
            comment = wrong.idxmax()
            raise _unusable(
                folder,
                f"{name} gives the comment {comment} the {column} {table.at[comment, column]!r:.40}; expected {values}",
            )
    return Written(table.loc[told, "comment_text"], torch.from_numpy(labels[told].to_numpy("int64", copy=True)))


def _unusable(folder: Path, why: str) -> InputError:
    return InputError(f"Toxic comments in {folder} cannot be used: {why}. {_REMEDY}")
