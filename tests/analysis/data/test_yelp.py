"""Yelp's reviews, on small files of their true format."""

import hashlib
import tarfile

import pytest

from mixlens.analysis.data import yelp
from mixlens.analysis.data.load import find_source, source_names
from mixlens.analysis.errors import InputError

ROWS = [
    r'"1","Awful!\n\nWe waited ""an hour"", never again."',
    r'"2","Great food; friendly, quick."',
    r'"2","Great place. NA"',
    r'"1","NA"',
    r'"1","!!! :("',
]
SETS = {name: find_source(name).load.__self__ for name in ("yelp_polarity", "yelp_full")}


@pytest.fixture(params=["folder", "archive"])
def known(request, tmp_path):
    """The polarity set with five and four rows, in a folder or an archive, and a way to change its files."""
    small = SETS["yelp_polarity"]._replace(rows=(5, 4))
    folder = tmp_path / small.folder

    def write(train=ROWS, test=ROWS[:4]):
        folder.mkdir(exist_ok=True)
        for name, rows in (("train.csv", train), ("test.csv", test)):
            (folder / name).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        if request.param == "folder":
            return small
        with tarfile.open(tmp_path / small.archive, "w:gz") as archive:
            archive.add(folder, small.folder)
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        digest = hashlib.sha256((tmp_path / small.archive).read_bytes()).hexdigest()
        return small._replace(sha256=digest)

    return write


def test_both_are_sources():
    assert SETS.keys() <= set(source_names())
    assert [len(one.classes) for one in SETS.values()] == [2, 5]


def test_what_is_loaded(known, tmp_path):
    data = known().load(tmp_path)
    assert data.train.labels.tolist() == [0, 1, 1, 0, 0]
    assert data.vocabulary.words == ("<unk>", "great", "na"), "na is a word, and no missing value"
    assert data.train.images.lengths.tolist() == [7, 4, 3, 1, 1]
    assert data.train.images[4:].tolist() == [[1]], "marks alone are one unknown word"
    assert data.test.images[1:3].tolist() == [[2, 1, 1, 1], [2, 1, 3, 0]]


def test_an_escaped_line_end_is_none_of_a_word(known, tmp_path):
    rows = [r'"1","bad\nnight"', r'"2","night\nbad"']
    data = known(rows * 2 + ROWS[:1], rows * 2).load(tmp_path)
    assert data.vocabulary.words == ("<unk>", "bad", "night")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (ROWS[:4], "train.csv has 4 rows of 2 columns; expected 5 rows of a class and a text"),
        ([*ROWS[:4], '"3","five"'], "row 5 of train.csv has the class '3'; expected 1 to 2"),
        ([*ROWS[:4], '"good","five"'], "row 5 of train.csv has the class 'good'"),
        ([row + ',"more"' for row in ROWS], "train.csv has 5 rows of 3 columns"),
        ([*ROWS[:4], '"1","never closed'], "train.csv cannot be read as a table"),
        ([], "train.csv cannot be read as a table"),
    ],
)
def test_other_files_are_refused(known, tmp_path, rows, told):
    with pytest.raises(InputError, match=f"yelp_polarity cannot be used: {told}.*Run `mixlens data yelp_polarity"):
        known(rows).load(tmp_path)


def test_missing_and_damaged(known, tmp_path):
    small = SETS["yelp_polarity"]
    with pytest.raises(InputError, match=r"yelp_review_polarity_csv.tgz is missing"):
        small.load(tmp_path)
    written = known()
    if (path := tmp_path / small.archive).exists():
        path.write_bytes(path.read_bytes()[:-8])
        told = "is damaged"
    else:
        (tmp_path / small.folder / "test.csv").unlink()
        told = "test.csv is missing"
    with pytest.raises(InputError, match=told):
        written.load(tmp_path)


def test_an_archive_without_the_files(tmp_path):
    (tmp_path / "x").write_text("x", encoding="utf-8")
    small = SETS["yelp_full"]
    with tarfile.open(tmp_path / small.archive, "w:gz") as archive:
        archive.add(tmp_path / "x", "x")
    small = small._replace(sha256=yelp._sha256(tmp_path / small.archive))
    with pytest.raises(InputError, match=r"train.csv cannot be read as a table .there is none in"):
        small.load(tmp_path)


def test_arguments_are_tried_before_files_are_looked_for(tmp_path):
    with pytest.raises(InputError, match="data set 'yelp_full': words=1"):
        SETS["yelp_full"].load(tmp_path, words=1)


def test_what_is_fetched_is_held_to_its_checksum(tmp_path, monkeypatch):
    from torchvision.datasets import utils

    content = [b"another"]
    monkeypatch.setattr(utils, "download_url", lambda url, root, name: (tmp_path / name).write_bytes(content[0]))
    small = SETS["yelp_full"]
    with pytest.raises(InputError, match=r"yelp_full could not be fetched .*another SHA-256"):
        small.fetch(tmp_path)
    small._replace(sha256=hashlib.sha256(b"another").hexdigest()).fetch(tmp_path)
    content[0] = b"never asked for"
    small._replace(sha256=hashlib.sha256(b"another").hexdigest()).fetch(tmp_path)
    assert (tmp_path / small.archive).read_bytes() == b"another"


def test_what_is_there_must_go_before_anything_is_fetched(tmp_path):
    one = SETS["yelp_polarity"]
    (tmp_path / one.folder).mkdir()
    (tmp_path / one.folder / "train.csv").write_text("")
    for lacking in ("test.csv is missing", "train.csv cannot be read"):
        with pytest.raises(
            InputError, match=rf"{lacking}.* Remove .*{one.folder}: while it is there nothing is fetched"
        ):
            one.load(tmp_path)
        (tmp_path / one.folder / "test.csv").write_text("")
