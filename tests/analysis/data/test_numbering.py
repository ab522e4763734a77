"""Texts as numbers by words or by a model's tokens: one call for both."""

import pytest
from encoders import WORDS, save_bert

from mixlens.analysis.data.numbering import numbered_texts
from mixlens.analysis.errors import InputError

TRAIN, TEST = ["A good film.", "a bad, bad film"], ["a film of this kind", "Good!"]


def test_by_the_words_of_the_training_texts():
    known, train, test = numbered_texts(TRAIN, TEST)
    assert known.words == ("<unk>", "a", "bad", "film")  # twice or more; good occurs once there
    assert [train[row].tolist() for row in range(2)] == [[2, 1, 4], [2, 3, 3, 4]]
    assert [test[row].tolist() for row in range(2)] == [[2, 4, 1, 1, 1], [1]]


def test_of_each_its_first_words():
    known, train, test = numbered_texts(TRAIN, TEST, words=3, length=2)
    assert known.words == ("<unk>", "a", "bad")
    assert (train.lengths.tolist(), test.lengths.tolist()) == ([2, 2], [2, 1])


def test_by_a_models_tokens(tmp_path):
    folder = save_bert(tmp_path / "bert")
    known, train, test = numbered_texts(TRAIN, TEST, tokenizer=folder, length=5)
    assert known.words == WORDS[1:]
    assert [WORDS[number] for number in train[0].tolist()] == ["[CLS]", "a", "good", "film", "[SEP]"]
    assert test.lengths.tolist() == [5, 4]


@pytest.mark.parametrize("values", [{"vectors": "some.vec"}, {"words": 100}])
def test_tokens_have_no_settings_of_words(tmp_path, values):
    with pytest.raises(InputError, match=r"words= and vectors= are of words, and tokenizer= has tokens"):
        numbered_texts(TRAIN, TEST, tokenizer=str(tmp_path), **values)
