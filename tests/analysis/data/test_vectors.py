import os

import numpy as np
import pytest
import torch

from mixlens.analysis.data import vectors as module
from mixlens.analysis.data.dataset import Vocabulary
from mixlens.analysis.data.vectors import with_vectors
from mixlens.analysis.errors import InputError

KNOWN = Vocabulary(("<unk>", "good", "bad", "film"))


def written(tmp_path, text):
    path = tmp_path / "some.vec"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return str(path)


@pytest.mark.parametrize("first", ["3 2\n", ""], ids=["FastText's", "GloVe's"])
def test_vectors_of_known_words_in_the_vocabularys_order(tmp_path, first):
    known = with_vectors(KNOWN, written(tmp_path, f"{first}bad -1 0.5 \nother 7 7\ngood 1 0.25\n"))
    assert known.words == KNOWN.words
    torch.testing.assert_close(known.vectors[1:3], torch.tensor([[1, 0.25], [-1, 0.5]]))
    assert known.vectors[[0, 3]].isnan().all(), "of words that the file lacks"
    assert known.vectors.dtype == torch.float32


def test_no_file_is_no_vectors():
    assert with_vectors(KNOWN, "") is KNOWN


def test_a_word_that_is_a_number_is_no_first_line_where_it_has_a_vector(tmp_path):
    known = with_vectors(KNOWN, written(tmp_path, "7 0.5 1\ngood 2 3\n"))
    assert known.vectors[1].tolist() == [2, 3]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("2 3\ngood 1 2\n", r"line 2 of .*some.vec, word 'good', has 2 finite numbers; expected 3"),
        ("2 3\ngood 1 2 nan\n", "^line 2 of .*word 'good', has 2 finite numbers; expected 3"),
        ("2 0\ngood\n", "word 'good', has 0 finite numbers; expected some"),
        ("1 3\ngood 1 2 3 4\n", "word 'good', has 4 finite numbers; expected 3"),
        ("9 2\ngood 1 2\n", "is cut off: it has 1 of the 9 words that it says at its start"),
        ("2 3\ngood\n", "word 'good', has 0 finite numbers; expected 3"),
        ("2 3\ngood 1 2 x\n", "cannot be read from .*some.vec: could not convert"),
        ("2 2\nschön 1 2\n", "has no vector of any of the 4 words of the data: is it of another language"),
        ("", "has no vector of any .* Expected FastText's text format, .* unpacked"),
        (b"PK\x03\x04\x00\xff\xfe" * 20, "has no vector of any"),
        ("1 99999999999999\ngood 1\n", "cannot be read from"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, text, told):
    with pytest.raises(InputError, match=told):
        with_vectors(KNOWN, written(tmp_path, text))


def test_a_missing_file(tmp_path):
    with pytest.raises(InputError, match=r"word vectors cannot be read from .*nowhere.vec"):
        with_vectors(KNOWN, str(tmp_path / "nowhere.vec"))
    with pytest.raises(InputError, match="cannot be read"):
        with_vectors(KNOWN, str(tmp_path))


def test_a_word_with_a_space_is_none_of_the_vocabularys(tmp_path):
    known = with_vectors(KNOWN, written(tmp_path, "good 1 2\nfilm at 5 5\nbad 3 4\n"))
    assert known.vectors[1:3].tolist() == [[1, 2], [3, 4]]
    assert known.vectors[3].isnan().all()
    spaced = with_vectors(KNOWN, written(tmp_path, "good  1 2\nbad 3  4\n"))
    assert spaced.vectors[1:3].tolist() == [[1, 2], [3, 4]], "but more than one space before a number are"


def test_of_a_word_that_stands_twice_the_last_and_a_mark_at_the_files_start_are_read(tmp_path):
    known = with_vectors(KNOWN, written(tmp_path, "\ufeff2 2\ngood 1 2\ngood 3 4\n"))
    assert known.vectors[1].tolist() == [3, 4]


def test_a_file_is_read_once_for_a_vocabulary(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path / "cache")
    path = written(tmp_path, "2 2\nbad -1 0.5\ngood 1 0.25\n")
    first = with_vectors(KNOWN, path)
    with monkeypatch.context() as patch:
        patch.setattr(module, "_read", None)
        again = with_vectors(KNOWN, path)
    torch.testing.assert_close(again.vectors, first.vectors, rtol=0, atol=0, equal_nan=True)

    others = Vocabulary(("<unk>", "bad", "good", "film"))
    assert with_vectors(others, path).vectors[1].tolist() == [-1, 0.5], "another vocabulary"
    assert len(list((tmp_path / "cache" / "vectors").iterdir())) == 2

    os.utime(written(tmp_path, "2 2\nbad -1 0.5\ngood 7 0.25\n"), (1, 1))
    assert with_vectors(KNOWN, path).vectors[1].tolist() == [7, 0.25], "another state of the file"


def test_any_damaged_byte_of_it_is_no_traceback(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path / "cache")
    path = written(tmp_path, "1 2\ngood 1 0.25\n")
    with_vectors(KNOWN, path)
    (kept,) = (tmp_path / "cache" / "vectors").iterdir()
    whole = kept.read_bytes()
    for place in range(len(whole)):
        kept.write_bytes(whole[:place] + bytes([whole[place] ^ 0x5D]) + whole[place + 1 :])
        assert with_vectors(KNOWN, path).vectors.shape == (4, 2)


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04", None])
def test_a_damaged_array_is_made_again(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path / "cache")
    path = written(tmp_path, "1 2\ngood 1 0.25\n")
    first = with_vectors(KNOWN, path)
    (kept,) = (tmp_path / "cache" / "vectors").iterdir()
    if damage is None:
        np.savez(kept, vectors=np.zeros((2, 2), np.float32))
    else:
        kept.write_bytes(damage)
    assert with_vectors(KNOWN, path).vectors[1].tolist() == first.vectors[1].tolist()
    assert np.load(kept)["vectors"].shape == (4, 2)


def test_where_nothing_can_be_kept_the_file_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path / "cache")
    (tmp_path / "cache").write_text("no folder")
    assert with_vectors(KNOWN, written(tmp_path, "1 2\ngood 1 0.25\n")).vectors[1].tolist() == [1, 0.25]
