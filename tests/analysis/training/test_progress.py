import io

import pytest
from rich.console import Console

from mixlens.analysis.training import progress
from mixlens.analysis.training.progress import Reporter


def reporter(terminal=False, **options):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)
    return Reporter(console, **options), console.file


def work(shown, steps=3, label="train VAE, fmix, seed 0", detail="epoch 1/2 loss 3.0"):
    with shown:
        shown.start(label, total=10, done=2)
        for _ in range(steps):
            shown.advance(detail)
        shown.finish()


def test_plain_lines_when_not_a_terminal(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    shown, out = reporter()
    work(shown)
    lines = out.getvalue().splitlines()
    assert lines == [f"  train VAE, fmix, seed 0: {done}/10 epoch 1/2 loss 3.0" for done in (3, 4, 5)]
    assert "\x1b" not in out.getvalue()


def test_lines_are_rare():
    shown, out = reporter()
    work(shown, steps=100)
    assert out.getvalue() == ""


def test_a_live_bar_on_a_terminal():
    shown, out = reporter(terminal=True)
    work(shown)
    assert "train VAE, fmix, seed 0" in out.getvalue()
    assert "\x1b" in out.getvalue()


def test_silence_when_asked(monkeypatch):
    monkeypatch.setattr(progress, "LINE_SECONDS", -1.0)
    for terminal in (False, True):
        shown, out = reporter(terminal=terminal, quiet=True)
        work(shown)
        shown.say("hello")
        assert out.getvalue() == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_said_is_kept_as_it_is(terminal):
    shown, out = reporter(terminal)
    shown.say("[1/6] train [bold]x[/nothing] " + "y" * 200)
    assert out.getvalue() == "[1/6] train [bold]x[/nothing] " + "y" * 200 + "\n"


def test_work_without_a_bar_started_is_harmless():
    shown, _ = reporter(terminal=True)
    shown.finish()
    shown.start("a", 1)
    shown.advance()
    shown.finish()


# A user's augmentation is part of the label, e.g. my.module:mix(kinds=['/a']): rich reads [/a] as markup in
# TextColumn and raises MarkupError. Give both TextColumns markup=False.
def test_a_label_is_not_markup():
    shown, out = reporter(terminal=True)
    work(shown, label="m:mix(kinds=[/a]) [bold]x")
    assert "m:mix(kinds=[/a]) [bold]x" in out.getvalue()
