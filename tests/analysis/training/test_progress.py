import io

import pytest
from rich.console import Console

from mixlens.analysis.training import progress
from mixlens.analysis.training.progress import Reporter


def reporter(terminal=False, **options):
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120, highlight=False)
    return Reporter(console, **options), console.file


def work(shown, steps=3, label="train VAE, fmix, seed 0", detail="epoch 1/2, loss 3.0"):
    with shown:
        shown.start(label, total=10, done=2)
        for _ in range(steps):
            shown.advance(detail)
        shown.finish()


@pytest.fixture
def clock(monkeypatch):
    """Time that passes when a test says so; the wall clock shows 12:03:05."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(progress.time, "strftime", lambda form: "12:03:05 ")
    return now


def test_plain_lines_have_the_time_when_it_is_no_terminal(clock):
    shown, out = reporter()
    with shown:
        shown.begin("[1/6] train VAE, fmix, seed 0")
        shown.start("train VAE, fmix, seed 0", total=10, done=2, images=64)
        for epoch in (1, 2, 3):
            clock[0] += 4.0
            for _ in range(2):
                shown.advance()
            shown.epoch(f"epoch {epoch}/4, loss 3", [{"epoch": epoch}])
        shown.end()
    assert out.getvalue().splitlines() == [
        "12:03:05 [1/6] train VAE, fmix, seed 0",
        # Of the first two epochs, within ten seconds, there is no line; eight are done, two at two a four seconds left.
        "12:03:05   train VAE, fmix, seed 0: 8/10, epoch 3/4, loss 3, 32 samples/s, 4 s left",
        "12:03:05 [1/6] train VAE, fmix, seed 0: done in 12 s, epoch 3/4, loss 3, 32 samples/s",
    ]


def test_long_work_without_epochs_has_a_line_now_and_then(clock):
    shown, out = reporter()
    with shown:
        shown.begin("attack fmix, seed 0")
        shown.start("attack fmix, seed 0", total=100)
        for _ in range(4):
            clock[0] += 20.0
            shown.advance(steps=10)
    assert [line.partition(": ")[2] for line in out.getvalue().splitlines()[1:]] == [
        "20/100, 2 min 40 s left",
        "40/100, 2 min 00 s left",
    ]


def test_each_epoch_is_told_to_the_log_also_in_silence():
    shown, _ = reporter(quiet=True)
    told = []
    with shown:
        shown.begin("train", told.append)
        shown.start("train", total=1)
        shown.epoch("epoch 1/1", [{"epoch": 1}])
        shown.end()
        shown.begin("measure")  # another task, which is no training
        shown.epoch("epoch 1/1", [{"epoch": 1}])
    assert told == [[{"epoch": 1}]]


def test_a_task_that_says_no_steps_has_a_bar_too_and_none_of_the_one_before():
    shown, out = reporter(terminal=True)
    with shown:
        shown.begin("train")
        shown.start("train", total=10)
        shown.advance(steps=10)
        shown.end()
        shown.begin("try the estimators")
        shown._bar.refresh()
    assert "0/?" in out.getvalue().rpartition("try the estimators")[2]


def test_no_control_characters_in_a_log_whatever_the_environment_says(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    shown = Reporter()
    shown.begin("a task")
    work(shown)
    shown.end()
    written = capsys.readouterr().err
    assert "a task: done" in written
    assert "\x1b" not in written


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
    monkeypatch.setattr(progress, "EPOCH_SECONDS", -1.0)
    for terminal in (False, True):
        shown, out = reporter(terminal=terminal, quiet=True)
        work(shown)
        shown.say("hello")
        shown.begin("hello")
        shown.epoch("hello", [])
        shown.end()
        assert out.getvalue() == ""


@pytest.mark.parametrize("terminal", [False, True])
def test_what_is_said_is_kept_as_it_is(terminal, clock):
    shown, out = reporter(terminal)
    shown.say("[1/6] train [bold]x[/nothing] " + "y" * 200)
    time = "" if terminal else "12:03:05 "
    assert out.getvalue() == time + "[1/6] train [bold]x[/nothing] " + "y" * 200 + "\n"


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
