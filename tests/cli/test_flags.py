"""Flags from dataclasses: only what was given, by the setting's name, with the default and its source in the help."""

from dataclasses import dataclass

import pytest
from cyclopts import App, Group

from mixlens.analysis.schema import setting
from mixlens.cli.flags import given, given_of, overrides_of

GROUP = Group("Settings")


@dataclass(frozen=True)
class Settings:
    epochs: int = setting(7, "Passes.", "Table 8", minimum=1)
    flip: bool = setting(True, "Flips.")
    sizes: tuple[float, ...] = setting((0.5, 1.0), "Sizes.", flag="--sizes")
    limit: int | None = setting(None, "A limit.")
    model: str = setting("net", "A network.")
    hidden: str = setting("x", "Not a flag.")


def parse(*words, as_text=False, axes=False):
    """What a command with these flags gets."""
    flags = overrides_of(Settings, "--own", GROUP, leave_out=("hidden",), as_text=as_text, axes=axes)
    app = App(help_format="plaintext")
    got = []

    def command(own=None):
        got.append(given(own))

    command.__annotations__ = {"own": flags}
    app.default(command)
    app(list(words), exit_on_error=False, print_error=False, result_action="return_value")
    return got[0] if got else None


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ([], {}),
        (["--own.epochs", "7"], {"epochs": 7}),  # the default, but given
        (["--own.no-flip"], {"flip": False}),
        (["--own.sizes", "1", "2.5"], {"sizes": [1.0, 2.5]}),
        (["--sizes", "3"], {"sizes": [3.0]}),
        (["--own.limit", "4", "--own.flip"], {"limit": 4, "flip": True}),
    ],
)
def test_what_is_given_and_nothing_else(words, values):
    assert parse(*words) == values


def test_several_values_can_be_one_text():
    assert parse("--own.sizes", "1,2", as_text=True) == {"sizes": "1,2"}


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--own.epochs", "7"], {"epochs": 7}),
        (["--own.epochs", "7,9"], {"epochs": [7, 9]}),
        (["--own.epochs", "7,"], {"epochs": 7}),
        (["--own.epochs", ","], {"epochs": []}),
        (["--own.limit", "4,none"], {"limit": [4, None]}),
        (["--own.model", "net(width=[2,4]),'a,b'"], {"model": ["net(width=[2,4])", "'a,b'"]}),
        (["--own.model", "net(a=1,b=2)"], {"model": "net(a=1,b=2)"}),
        (["--sizes", "1", "2"], {"sizes": [1.0, 2.0]}),
    ],
)
def test_a_setting_that_takes_one_value_takes_several_with_commas(words, values):
    assert parse(*words, axes=True) == values


def test_in_a_study_text_is_one_value():
    assert parse("--own.model", "a, b", as_text=True, axes=True) == {"model": "a, b"}


@pytest.mark.parametrize("words", [["--own.epochs", "7,many"], ["--own.epochs", "7,1.5"], ["--own.epochs", "7,none"]])
def test_one_bad_value_of_several_is_named(words):
    with pytest.raises(Exception, match=f"{words[0]}.*{words[1][2:]}"):
        parse(*words, axes=True)
    with pytest.raises(Exception, match=words[0]):
        parse(words[0], "7,9")  # where it is no axis


@pytest.mark.parametrize("words", [["--own.hidden", "y"], ["--own.epochs", "many"], ["--own.no-epochs"]])
def test_other_flags_and_words_are_refused(words):
    with pytest.raises(Exception, match=words[0]):
        parse(*words)


def test_help_has_the_default_and_its_source(capsys):
    parse("--help")
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "Passes. Default: 7. Source: Table 8." in shown
    assert "Flips. Default: true." in shown
    assert "Sizes. Default: 0.5 1.0." in shown
    assert "A limit. Default: none." in shown
    assert "hidden" not in shown


def test_sections_of_which_nothing_was_given_are_left_out():
    assert given(None) == {}
    assert given_of({"a": None, "b": None}) == {}
