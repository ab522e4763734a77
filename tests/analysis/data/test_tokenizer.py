"""A model's own tokeniser: its numbers are the library's, nothing is fetched, what cannot be read is one message."""

import builtins
import json
import logging
import socket
from contextlib import suppress

import pytest
import torch
import transformers
from encoders import WORDS, reviews, save_bert, save_words

from mixlens.analysis.data.dataset import number_names
from mixlens.analysis.data.of_texts import Reading, Written, from_lists, of_texts
from mixlens.analysis.data.tokenizer import read_tokenizer, same_tokens, tokenised
from mixlens.analysis.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture
def words_alone(tmp_path):
    """A function that writes a vocabulary, and settings of a BERT, into a folder: no weights."""

    def make(words=WORDS, **settings):
        save_words(tmp_path / "bert", words)
        transformers.BertConfig(vocab_size=len(words)).save_pretrained(tmp_path / "bert")
        if settings:
            (tmp_path / "bert" / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
        return str(tmp_path / "bert")

    return make


def test_numbers_are_those_of_the_vocabulary_between_the_models_own(folder):
    known, (texts,) = tokenised(folder, 0, ["A good films", "This is bad"])
    named = [[WORDS[number] for number in texts[row].tolist()] for row in range(2)]
    assert named == [
        ["[CLS]", "a", "good", "film", "##s", "[SEP]"],
        ["[CLS]", "this", "[UNK]", "bad", "[SEP]"],
    ]
    assert known.words == WORDS[1:], "number 0 is padding, as everywhere"


@pytest.mark.parametrize("length", [3, 7, 0])
def test_numbers_are_the_librarys(folder, length):
    texts, _ = reviews(40)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    expected = tokenizer(texts, truncation=bool(length), max_length=length or None)["input_ids"]
    _, (first, second) = tokenised(folder, length, texts[:15], texts[15:])
    assert [first[row].tolist() for row in range(15)] + [second[row].tolist() for row in range(25)] == expected


def test_more_texts_than_are_taken_at_once(folder, monkeypatch):
    texts, _ = reviews(10)
    _, (whole,) = tokenised(folder, 0, texts)
    monkeypatch.setattr("mixlens.analysis.data.tokenizer.AT_ONCE", 3)
    _, (parts,) = tokenised(folder, 0, texts)
    assert parts.ids.equal(whole.ids)
    assert parts.starts.equal(whole.starts)


def test_what_stands_in_a_text_is_text(folder):
    _, (texts,) = tokenised(folder, 0, ["good [PAD] [SEP] bad"])
    named = [WORDS[number] for number in texts[0].tolist()]
    assert named == ["[CLS]", "good", "[", "pad", "]", "[", "[UNK]", "]", "bad", "[SEP]"]


def test_without_a_length_as_many_as_the_tokeniser_says(words_alone):
    _, (texts,) = tokenised(words_alone(model_max_length=5), 0, ["a good film " * 9])
    assert texts.lengths.tolist() == [5]


def test_a_length_that_leaves_nothing_of_the_text_is_refused(folder):
    with pytest.raises(InputError, match="length=2, of which 2 are the tokeniser's special ones; give more"):
        tokenised(folder, 2, ["a film"])


def test_nothing_is_fetched_and_nothing_printed(words_alone, monkeypatch, capfd):
    def no_network(*given):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setattr(transformers.utils.logging._get_library_root_logger(), "level", logging.INFO)
    tokenised(words_alone(), 0, ["a film"])
    with pytest.raises(InputError):
        read_tokenizer("bert-base-cased")
    assert capfd.readouterr() == ("", "")
    assert transformers.utils.logging.get_verbosity() == logging.INFO


def test_a_name_is_no_folder(here):
    with pytest.raises(InputError, match=r"'bert-base-cased' is no folder.*hf download NAME --local-dir FOLDER"):
        read_tokenizer("bert-base-cased")


def test_a_folder_without_a_tokeniser(tmp_path):
    transformers.BertConfig().save_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"has no tokeniser: expected tokenizer\.json or vocab\.txt"):
        read_tokenizer(str(tmp_path))


def test_a_damaged_tokeniser_is_one_line(words_alone, tmp_path):
    folder = words_alone()
    (tmp_path / "bert" / "tokenizer.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="the tokeniser cannot be read from") as caught:
        read_tokenizer(folder)
    assert "\n" not in str(caught.value)


def test_padding_of_another_number_is_refused(words_alone):
    with pytest.raises(InputError, match=r"padding is number 1; here padding is number 0.*RoBERTa's is not"):
        read_tokenizer(words_alone(("[UNK]", "[PAD]", *WORDS[2:])))


def test_code_in_the_folder_is_not_run(words_alone, tmp_path):
    """It is refused, or the tokeniser is that of its model's type: the library's versions differ."""
    folder = words_alone(auto_map={"AutoTokenizer": ["own.Own", None]}, tokenizer_class="Own")
    (tmp_path / "bert" / "own.py").write_text("raise SystemExit('run')\n", encoding="utf-8")
    with suppress(InputError):
        read_tokenizer(folder)


def test_without_transformers_its_extra_is_named(folder, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "transformers":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"pip install 'mixlens\[text\]'") as caught:
        read_tokenizer(folder)
    assert "\n" not in str(caught.value)


def test_tokens_of_a_folder_are_told_from_others(folder, tmp_path):
    assert same_tokens(folder, WORDS[1:])
    assert not same_tokens(folder, ("<unk>", *WORDS[2:]))
    assert not same_tokens(str(tmp_path), ("any",)), "of a folder without a tokeniser"
    assert same_tokens(str(tmp_path), number_names(3)), "of which the owner of the numbers knows"


def data_of(reading, **given):
    """Texts of which one has no word, read but once."""
    train, test = (iter(texts) for texts in (["A good film!", "a bad film"], ["...", "this is good"]))
    labels = torch.tensor([1, 0])
    return of_texts("few", [Written(train, labels), Written(test, labels)], ("bad", "good"), reading, **given)


@pytest.mark.parametrize("wordless", [True, False])
def test_a_data_set_of_texts_by_a_models_tokens(folder, wordless):
    data = data_of(Reading(length=5, tokenizer=folder), wordless=wordless)
    assert data.vocabulary.words == WORDS[1:]
    assert data.vocabulary.vectors is None
    named = [[WORDS[number] for number in text.tolist()] for text in (data.train.images[0], data.test.images[0])]
    assert named == [["[CLS]", "a", "good", "film", "[SEP]"], ["[CLS]", "[UNK]", "[UNK]", "[UNK]", "[SEP]"]]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"vectors": "some.vec"}, "words= and vectors= are of words, and tokenizer= has tokens; leave them out"),
        ({"words": 100}, "words= and vectors= are of words"),
        ({"length": -1}, "length=-1"),
    ],
)
def test_tokens_have_no_settings_of_words(folder, values, told):
    with pytest.raises(InputError, match=f"data set 'few': .*{told}"):
        data_of(Reading(tokenizer=folder, **values))


def test_a_tokeniser_is_named_by_its_folder():
    with pytest.raises(InputError, match="tokenizer=3; expected the folder of a model"):
        data_of(Reading(tokenizer=3))


def test_marks_are_words_to_a_tokeniser(folder):
    given = {"train_texts": [":)", "a film"], "test_texts": ["good", ":("], "tokenizer": folder}
    (train, _), known = from_lists("few", given)
    assert len(train) == 2
    assert known.words == WORDS[1:]
    for blank in ("", " \n"):
        with pytest.raises(InputError, match=r"train_texts\[1\] has no words"):
            from_lists("few", given | {"train_texts": ["a", blank]})
