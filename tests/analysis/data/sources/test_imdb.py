import io
import tarfile

import pytest
import torch

from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.sources import imdb
from mixlens.analysis.errors import InputError

STARS = {"neg": (1, 4, 2), "pos": (7, 10, 8)}
WORDS = {"neg": "dull plot", "pos": "fine film"}


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(imdb, "EACH", 3)


def reviews(**changes):
    """Name → text, as they are published."""
    texts = {
        f"aclImdb/{split}/{side}/{number}_{STARS[side][number]}.txt": (
            f"{WORDS[side]} {split}{side}{number}<br /><br />Seen 2x."
        )
        for split in ("train", "test")
        for side in ("neg", "pos")
        for number in range(3)
    }
    return {name: text for name, text in (texts | changes).items() if text is not None}


def packed(root, name="aclImdb_v1.tar.gz", **changes):
    folder = root / "IMDb"
    folder.mkdir(exist_ok=True)
    more = {"aclImdb/README": "read me", "aclImdb/train/unsup/0_0.txt": "unlabelled", "aclImdb/imdb.vocab": "the"}
    with tarfile.open(folder / name, "w:gz") as archive:
        for path, text in sorted((reviews(**changes) | more).items(), reverse=True):
            member = tarfile.TarInfo(path)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return folder / name


def unpacked(root, **changes):
    for path, text in reviews(**changes).items():
        file = root / "IMDb" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")


def labelled(root, **changes):
    return packed(root, "aclImdb-labelled.tar.gz", **changes)


def published(root, monkeypatch, **changes):
    monkeypatch.setattr(imdb, "MD5", imdb._md5(packed(root, **changes)))


def test_folder_and_archives_are_the_same_data(tmp_path, monkeypatch):
    roots = [tmp_path / name for name in "abc"]
    for root in roots:
        root.mkdir()
    unpacked(roots[0])
    labelled(roots[1])
    published(roots[2], monkeypatch)
    first, *others = (load_dataset("imdb", root) for root in roots)
    assert [one.checksum for one in others] == [first.checksum] * 2
    assert all(file.ok for root in roots for file in imdb.status(root))


def test_what_is_loaded(tmp_path):
    unpacked(tmp_path)
    data = load_dataset("imdb", tmp_path)
    assert (data.name, data.classes, data.mean, data.std) == ("imdb", ("bad", "good"), (), ())
    assert data.train.labels.tolist() == data.test.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert data.vocabulary.words == ("<unk>", "2x", "seen", "dull", "film", "fine", "plot")
    words = data.vocabulary.words
    texts = [[words[number - 1] for number in data.test.images[k].tolist()] for k in (0, 5)]
    assert texts == [["dull", "plot", "<unk>", "seen", "2x"], ["fine", "film", "<unk>", "seen", "2x"]]
    assert data.modality.NAME == "text"


def test_stars_are_eight_classes(tmp_path):
    unpacked(tmp_path)
    data = load_dataset("imdb(stars=true)", tmp_path)
    assert data.classes == ("1 star", "2 stars", "3 stars", "4 stars", "7 stars", "8 stars", "9 stars", "10 stars")
    assert [data.classes[label] for label in data.train.labels] == [
        "1 star", "4 stars", "2 stars", "7 stars", "10 stars", "8 stars",
    ]  # fmt: skip


def test_words_length_and_vectors(tmp_path):
    unpacked(tmp_path)
    (tmp_path / "v.vec").write_text("2 2\nseen 1 2\nother 3 4\n", encoding="utf-8")
    data = load_dataset(f"imdb(words=4,length=3,vectors='{tmp_path / 'v.vec'}')", tmp_path)
    assert data.vocabulary.words == ("<unk>", "2x", "seen", "dull")
    assert data.train.images.shape == (6, 3)
    assert data.vocabulary.vectors[2].tolist() == [1, 2]
    plain = load_dataset("imdb(words=4,length=3)", tmp_path)
    assert data.checksum != plain.checksum
    assert torch.equal(data.train.images[:], plain.train.images[:])


def test_defaults_are_no_part_of_its_name(tmp_path):
    unpacked(tmp_path)
    assert load_dataset("imdb(words=30000,length=0,stars=false)", tmp_path).name == "imdb"


@pytest.mark.parametrize("arguments", ["words=1", "words='many'", "length=-1", "length=2.5", "words=true", "vectors=3"])
def test_arguments_out_of_range(tmp_path, arguments):
    with pytest.raises(InputError, match=r"data set 'imdb': (words=.*expected 2 or more|vectors=.*expected the path)"):
        load_dataset(f"imdb({arguments})", tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"aclImdb/train/pos/1_10.txt": None}, "lacks 1 of 3 reviews of train/pos, the first number 1"),
        ({"aclImdb/test/neg/0_1.txt": "<br /> ..."}, "review 0 of test/neg in .* has no words"),
        (
            {"aclImdb/test/neg/0_1.txt": None, "aclImdb/test/neg/0_5.txt": "fair"},
            "review 0 of test/neg in .* has 5 stars",
        ),
        ({"aclImdb/test/neg/0_2.txt": "twice"}, "has review 0 of test/neg twice"),
    ],
)
@pytest.mark.parametrize("write", [unpacked, labelled])
def test_reviews_that_are_not_as_published(tmp_path, write, changes, told):
    write(tmp_path, **changes)
    with pytest.raises(InputError, match=told):
        load_dataset("imdb", tmp_path)


def test_missing_and_damaged_archives(tmp_path):
    with pytest.raises(InputError, match=r"aclImdb_v1.tar.gz is missing. Run `mixlens data imdb --fetch`"):
        load_dataset("imdb", tmp_path)
    path = packed(tmp_path)
    assert not imdb.status(tmp_path)[0].ok, "another archive than the published one"
    with pytest.raises(InputError, match=r"is damaged\. Remove it: while it is there nothing is fetched\. Run"):
        load_dataset("imdb", tmp_path)
    path.unlink()
    path = labelled(tmp_path)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match=r"(cannot be read|lacks 3 of 3 reviews).* Remove it"):
        load_dataset("imdb", tmp_path)


def test_a_text_that_is_no_utf8(tmp_path):
    unpacked(tmp_path)
    (tmp_path / "IMDb/aclImdb/train/neg/0_1.txt").write_bytes(b"\xff\xfe bad")
    with pytest.raises(InputError, match=r"cannot be read \(aclImdb/train/neg/0_1\.txt: 'utf-8' codec"):
        load_dataset("imdb", tmp_path)


def test_other_files_beside_the_reviews_are_passed_over(tmp_path):
    unpacked(tmp_path)
    whole = load_dataset("imdb", tmp_path).checksum
    for name in (".DS_Store", "._0_1.txt"):
        (tmp_path / "IMDb/aclImdb/train/neg" / name).write_bytes(b"\0\0\0\1Bud1\xff\xfe")
    assert load_dataset("imdb", tmp_path).checksum == whole


def test_fetching_does_nothing_where_they_are_and_says_what_fails(tmp_path, monkeypatch):
    from torchvision.datasets import utils

    def fails(*arguments):
        raise OSError("no network")

    monkeypatch.setattr(utils, "download_url", fails)
    with pytest.raises(InputError, match=r"IMDb could not be fetched to .*no network"):
        imdb.fetch(tmp_path)
    unpacked(tmp_path)
    imdb.fetch(tmp_path)
