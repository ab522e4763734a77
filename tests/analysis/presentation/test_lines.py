"""Where lines may end: nothing is lost or added but no-break spaces, and what belongs together stays together."""

import pytest

from mixlens.analysis.presentation.lines import bound, pieces


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rises +9 [−2, +20] ↑ at ε = 0.03 (points)", ["rises", "+9 [−2, +20] ↑", "at", "ε = 0.03", "(points)"]),
        ("67.7 ± 1.3 % on 10,000 test images", ["67.7 ± 1.3 %", "on", "10,000", "test", "images"]),
        ("by 5 nats, 3 seeds and 20 images", ["by", "5 nats,", "3 seeds", "and", "20 images"]),
        ("the first 3 of I(Z_A;X) ≥ InfoNCE", ["the", "first", "3", "of", "I(Z_A;X)", "≥ InfoNCE"]),
        ("log n = 9.21 where n ≥ 2", ["log", "n = 9.21", "where", "n ≥ 2"]),
        ("6.84 † saturated", ["6.84 †", "saturated"]),
    ],
)
def test_units_arrows_and_intervals_stay_with_their_numbers(text, words):
    assert bound(text).replace("\u00a0", " ") == text
    assert [word.replace("\u00a0", " ") for word in bound(text).split(" ")] == words


def test_a_long_specification_breaks_after_commas_and_parentheses():
    word = "baseline,mixup,cutmix(mode='batch-mask',alpha=1)"
    assert "".join(pieces(word)) == word
    assert pieces(word) == ["baseline,", "mixup,", "cutmix(", "mode='batch-mask',", "alpha=1)"]


def test_an_opening_parenthesis_is_not_left_behind():
    assert pieces("(mixlens.analysis.statistics.effect)") == ["(mixlens.analysis.statistics.effect)"]


@pytest.mark.parametrize("word", ["--classifier.learning-rate", "fmix(alpha=0.2)", "representations"])
def test_flags_and_short_words_are_whole(word):
    assert pieces(word) == [word]
