"""A training's first steps, timed and thrown away."""

from dataclasses import replace

import pytest
import torch
from helpers import checkerboards, context_of, tasks_of, tiny_dataset, tiny_study

from mixlens.analysis.study import stopwatch
from mixlens.analysis.study.stopwatch import Measured, time_training
from mixlens.classifier import run as classifier

SETTINGS = {"model": "preact-resnet18(width=2)", "epochs": 3, "batch_size": 8, "precision": "fp32"}


@pytest.fixture
def asked():
    """A training of 40 images in batches of 8 for three epochs, and what it is done with."""
    data = tiny_dataset(checkerboards(40, 1), checkerboards(16, 2))
    study = tiny_study("classifier", classifier=SETTINGS)
    (task, *_) = (task.inputs[0] for task in tasks_of(study, data))
    return task, context_of(study, data)


@pytest.fixture
def clock(monkeypatch):
    """Each step takes half a second."""
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(stopwatch, "WARM_SECONDS", 2.0)
    monkeypatch.setattr(stopwatch, "SECONDS", 2.0)
    real = classifier.train_classifier

    def timed(*arguments, **options):
        for _ in real(*arguments, **options):
            now[0] += 0.5
            yield

    monkeypatch.setattr(classifier, "train_classifier", timed)
    return now


def test_seconds_an_image_and_images_in_all(asked, clock):
    measured = time_training(*asked)
    assert isinstance(measured, Measured)
    assert measured.seconds == 0.5 / 8
    assert measured.images == 3 * 40
    assert clock[0] == 0.5 + stopwatch.WARM_SECONDS + stopwatch.SECONDS, "the other steps are not made"


def test_what_a_task_says_of_its_images_is_what_its_training_takes(asked):
    task, context = asked
    assert task.images == time_training(task, context).images


def test_nothing_is_left_behind(asked, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = torch.get_rng_state()
    time_training(*asked)
    assert not list(tmp_path.iterdir())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_training_shorter_than_the_warm_up(asked, clock, monkeypatch):
    monkeypatch.setattr(stopwatch, "WARM_SECONDS", 99.0)
    monkeypatch.setattr(stopwatch, "WARM_STEPS", 99)
    measured = time_training(*asked)
    assert measured.seconds == pytest.approx(0.5 / 8), "of the steps that there are, but the first"


def test_another_precision(asked, monkeypatch):
    seen = []

    def none(*_, backend, **__):
        seen.append(backend.precision)
        yield from ()

    monkeypatch.setattr(classifier, "train_classifier", none)
    task, context = asked
    assert time_training(task, context, "bf16") == "it has no steps"
    assert seen == ["bf16"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (torch.OutOfMemoryError("CUDA"), "the device's memory does not hold it"),
        (ValueError("of the user's\nsecond line"), "its first steps failed: ValueError: of the user's"),
    ],
)
def test_what_fails_is_not_estimated(asked, monkeypatch, error, words):
    def failing(*_, **__):
        raise error
        yield

    monkeypatch.setattr(classifier, "train_classifier", failing)
    assert time_training(*asked) == words


def test_the_peak_of_memory_is_the_kernels(asked, monkeypatch, tmp_path):
    """On Linux the process's high water since it was reset; elsewhere unknown, not zero."""
    (tmp_path / "status").write_text("VmPeak:\t 9 kB\nVmHWM:\t  1500 kB\n", encoding="ascii")
    (tmp_path / "clear_refs").touch()
    monkeypatch.setattr(stopwatch, "PROCESS", tmp_path)
    assert time_training(*asked).memory == 1500 * 1024
    assert (tmp_path / "clear_refs").read_text(encoding="ascii") == "5"
    monkeypatch.setattr(stopwatch, "PROCESS", tmp_path / "none")
    assert time_training(*asked).memory is None


def test_a_large_tensor_shows_in_it():
    with stopwatch._peak(torch.device("cpu")) as peak:
        before = peak()
        if before is None:
            return  # this system has no such count
        held = torch.ones(60_000_000)  # 240 MB
        assert peak() - before > 200e6
        del held
    with stopwatch._peak(torch.device("cpu")) as peak:
        assert peak() < before + 100e6, "counted anew"


def test_a_task_of_unknown_batches_is_not_estimated(asked, monkeypatch):
    def unknown(*_, reporter, **__):
        reporter.start("x", 3)
        yield
        yield

    monkeypatch.setattr(classifier, "train_classifier", unknown)
    task, context = asked
    assert time_training(replace(task), context) == "its batches do not say how many images they hold"
