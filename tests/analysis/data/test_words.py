import numpy as np
import pytest

from mixlens.analysis.data.words import UNKNOWN_WORD, Words, tokens, with_unknown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop, NEVER stop!", ["don't", "stop", "never", "stop"]),
        ("first<br /><br />second", ["first", "second"]),
        ("snake_case and 3.5 stars", ["snake", "case", "and", "3", "5", "stars"]),
        ("l’été, ÉTÉ; 映画", ["l’été", "été", "映画"]),
        ("... !!! <br/>", []),
        ("<I>so</i> <3 this > others, <great movie>", ["so", "3", "this", "others", "great", "movie"]),
        ("हिन्दी में, ไม่ดี", ["हिन्दी", "में", "ไม่ดี"]),
        (
            "cafe\N{COMBINING ACUTE ACCENT} na\N{LATIN SMALL LETTER I WITH DIAERESIS}ve İstanbul",
            ["café", "naïve", "i̇stanbul"],
        ),
    ],
)
def test_tokens(text, words):
    assert tokens(text) == words


def test_the_vocabulary_has_the_most_frequent_of_the_training_texts_first():
    words = Words()
    train = words.read(["b a a", "c c a b", "d"])
    words.read(["e e e e"])  # of the test split: not counted
    assert words.vocabulary(train).words == (UNKNOWN_WORD, "a", "b", "c")
    assert words.vocabulary(train, least=1).words == (UNKNOWN_WORD, "a", "b", "c", "d")
    assert words.vocabulary(train, most=3).words == (UNKNOWN_WORD, "a", "b")


def test_numbers_are_places_in_the_vocabulary_and_others_are_unknown():
    words = Words()
    train, test = words.read(["b a a", "c c a b d"]), words.read(["a new b", "c"])
    known = words.vocabulary(train)
    assert words.numbered(train, known)[:].tolist() == [[3, 2, 2, 0, 0], [4, 4, 2, 3, 1]]
    assert words.numbered(test, known)[:].tolist() == [[2, 1, 3], [4, 0, 0]]
    assert words.numbered(train, known, length=2)[:].tolist() == [[3, 2], [4, 4]]


def test_they_are_those_of_a_plain_loop():
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{int(k)}" for k in rng.integers(0, 50, rng.integers(1, 30)) ** 2 // 40) for _ in range(200)]
    words = Words()
    read = words.read(texts)
    known = words.vocabulary(read, most=20)
    numbers = {word: place for place, word in enumerate(known.words, start=1)}
    plain = [[numbers.get(word, 1) for word in text.split()][:7] for text in texts]
    numbered = words.numbered(read, known, length=7)
    assert [numbered[k].tolist() for k in range(200)] == plain
    counts = [sum(text.split().count(word) for text in texts) for word in known.words[1:]]
    assert counts == sorted(counts, reverse=True)
    assert min(counts) >= 2


def test_texts_without_words_can_be_one_unknown_word():
    words = Words()
    read = words.read(["...", "a a", "", "!", "a"])
    assert read.lengths.tolist() == [0, 2, 0, 0, 1]
    whole = with_unknown(read, words)
    known = words.vocabulary(whole)
    assert known.words == (UNKNOWN_WORD, "a"), "the unknown word is no word of its own, however often"
    assert words.numbered(whole, known)[:].tolist() == [[1, 0], [2, 2], [1, 0], [1, 0], [2, 0]]
    assert with_unknown(words.read(["a"]), words).ids.tolist() == [0]
