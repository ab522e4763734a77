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
    hidden: str = setting("x", "Not a flag.")


def parse(*words, as_text=False):
    """What a command with these flags gets."""
    flags = overrides_of(Settings, "--own", GROUP, leave_out=("hidden",), as_text=as_text)
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
