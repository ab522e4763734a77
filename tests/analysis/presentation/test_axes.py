import pytest

from mixlens.analysis.interface import MIX_DEFAULTS
from mixlens.analysis.masks.fmix import FMix
from mixlens.analysis.presentation.axes import (
    argument,
    differing,
    in_order,
    mixing_of,
    point_words,
    settings_of,
    value_words,
)

SETTINGS = {
    "name": "mine",
    "data": "photos",
    "train_size": None,
    "seeds": [0],
    "vae": {"epochs": 12, "milestones": [0.4]},
    "classifier": {"epochs": 5, "model": "net(width=8)"},
}


def test_settings_are_flat_and_a_call_is_taken_apart():
    assert settings_of(SETTINGS) == {
        "data": "photos",
        "train_size": None,
        "vae.epochs": 12,
        "vae.milestones": [0.4],
        "classifier.epochs": 5,
        "classifier.model": "net",
        "classifier.model.width": 8,
    }


def test_what_designs_have_otherwise():
    wide = {**SETTINGS, "classifier": {"epochs": 5, "model": "net"}}
    assert differing([settings_of(SETTINGS), settings_of(wide)]) == ["classifier.model.width"], "a default is another"
    fewer = {key: value for key, value in SETTINGS.items() if key != "vae"}
    assert differing([settings_of(SETTINGS), settings_of(fewer)]) == [], "a section that did not run is no difference"
    assert differing([settings_of(SETTINGS), settings_of({**SETTINGS, "name": "b", "seeds": [1]})]) == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["train_size"], "train_size=all"),
        (["vae.epochs"], "vae.epochs=12"),  # the classifier has epochs too
        (["classifier.model.width", "train_size"], "width=8, train_size=all"),
        ([], ""),
    ],
)
def test_a_point_is_told_by_its_values(names, words):
    assert point_words(settings_of(SETTINGS), names) == words
    assert point_words({"vae.epochs": 12}, ["vae.epochs"]) == "epochs=12"


@pytest.mark.parametrize(
    ("value", "words"), [(50000, "50000"), (0.001, "0.001"), (1e-7, "1e-07"), (0.1234567, "0.1234567"), (True, "true")]
)
def test_a_value_loses_no_digit(value, words):
    assert value_words("a.b", {"a.b": value}) == words


def test_a_value_that_is_none():
    assert value_words("a.size", {"a.size": None}) == "none"
    assert value_words("a.model.width", {}) == "default"


def test_an_argument_that_is_not_written_is_the_known_default():
    assert argument(mixing_of("fmix"), "alpha") == 1.0
    assert argument(mixing_of("fmix(alpha=0.2)"), "alpha") == 0.2
    assert argument(mixing_of("my:make"), "alpha") is None, "nobody knows a default of a user's own"
    assert mixing_of("no (call").use == "no (call"
    assert all(getattr(FMix(), name) == value for name, value in MIX_DEFAULTS.items())


def test_numbers_ascend_and_text_stays():
    assert in_order([10, 2.5, None, 10, 2]) == [2, 2.5, 10, None]
    assert in_order(["elem", "batch"]) == ["elem", "batch"]
