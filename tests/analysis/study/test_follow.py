"""Trainings in two processes are those of one up to rounding; studies in two: what they leave, how they end."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import ranks
import torch
from helpers import checkerboards, tiny_dataset
from safetensors.torch import load_file

from mixlens.analysis.store.record import read_record
from mixlens.analysis.store.runs import CHECKPOINT, ENVIRONMENT, FAILED, HISTORY, MODEL, Run
from mixlens.classifier.config import ClassifierConfig
from mixlens.cli.main import main

# Trainings

# Batches of 16, 16 and 11; networks and a rate with which rounding does not grow within the few steps there are.
CONFIG = ClassifierConfig(model="ranks:smooth", epochs=2, batch_size=16, learning_rate=0.02, crop=1)
RESNET = replace(CONFIG, model="preact-resnet18(width=2)", epochs=1, learning_rate=0.005)
DATA = tiny_dataset(checkerboards(43, 0), checkerboards(20, 1))
CASES = [
    ("resnet", RESNET, "fmix"),
    ("baseline", CONFIG, "baseline"),
    *((f"{name}-published", CONFIG, name) for name in ("mixup", "cutmix", "fmix", "fmix+mixup")),
    *((f"{name}-elem", replace(CONFIG, mix_mode="elem"), name) for name in ("mixup", "cutmix", "fmix")),
    ("reformulated", CONFIG, "mixup(reformulate=True,p=0.5)"),
]
APART = ("apart", replace(CONFIG, model="ranks:apart"), "mixup")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The folders of the same trainings in one process and in two."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    assert ranks.trainings(alone, CASES, DATA) == {}
    started = ranks.start(together, ranks.trainings, together, [*CASES, APART], DATA)
    statuses, errors, returned = ranks.ended(together, started)
    assert (statuses, returned) == ([0, 0], [{}, {}]), errors
    return alone, together


@pytest.mark.parametrize("name", [name for name, *_ in CASES])
def test_two_processes_train_as_one_does(both, name):
    folders = both[0] / name, both[1] / f"{name}-0"
    alone, together = (load_file(folder / MODEL) for folder in folders)
    assert alone.keys() == together.keys()
    for key, value in alone.items():
        torch.testing.assert_close(together[key], value, rtol=1e-3, atol=1e-4)
    for one, two in zip(*(Run(folder).read_history() for folder in folders), strict=True):
        assert one.keys() == two.keys()
        for key in one.keys() - {"seconds"}:
            assert two[key] == pytest.approx(one[key], rel=1e-3)


@pytest.mark.parametrize("name", [name for name, *_ in (*CASES, APART)])
def test_all_processes_end_with_the_same_weights(both, name):
    """To the bit; also those of a network that each process makes otherwise, and whose dropout is each one's own."""
    first, second = (load_file(both[1] / f"{name}-{rank}" / MODEL) for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)


# Studies

MINE = '''
import os
import time

from mixlens import MixUp

steps = 0


class Fails:
    """In its sixth step of a training: in the process of this rank, or in all."""

    def __init__(self, rank=None):
        self.rank = rank

    def __call__(self, x, y, *, generator=None):
        global steps
        steps += len(x) == 18
        if steps > 5 and os.environ.get("RANK", "0") == str(self.rank if self.rank is not None else os.environ["RANK"]):
            raise ValueError("no more")
        return MixUp(mode="batch").pairs(x, y, generator=generator)


class Slow:
    def __call__(self, x, y, *, generator=None):
        if len(x) == 18:
            time.sleep(0.1)
        return MixUp(mode="batch").pairs(x, y, generator=generator)
'''
MODULE = "mixlens_tests_shared"
STUDY = ["train", "--data", "patches:few", "--seeds", "1", "--threads", "1", "--classifier.batch-size", "18", "--quiet"]
STUDY += ["--model", "ranks:smooth", "--classifier.learning-rate", "0.05", "--classifier.precision", "fp32"]


@pytest.fixture
def folder(here, monkeypatch):
    monkeypatch.setattr("mixlens.cli.studies.write_reports", lambda *arguments, **options: None)
    (here / f"{MODULE}.py").write_text(MINE, encoding="utf-8")
    return here


@pytest.fixture
def shared(folder):
    """Runs the command in two processes: exit statuses, and what each wrote to standard error."""

    def run(*arguments):
        return how_ended(folder, started(folder, *arguments))

    return run


def how_ended(folder, processes):
    """Exit statuses, and what each wrote to standard error, without the warning that there is no baseline."""
    statuses, errors, _ = ranks.ended(folder / "said", processes)
    return statuses, ["".join(line for line in text.splitlines(True) if "no baseline" not in line) for text in errors]


def started(folder, *arguments):
    return ranks.start(folder / "said", ranks.command, [*STUDY, *arguments, "--out", "together"], str(folder))


def weights(out):
    return [load_file(path) for path in sorted(Path(out).glob(f"runs/classifier-train-*/{MODEL}"))]


def assert_close(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        for key in one:
            torch.testing.assert_close(one[key], other[key], rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_a_study_leaves_what_one_process_leaves_and_is_found_again(shared):
    asked = ["--classifier.epochs", "1", "--augmentations", "fmix"]
    assert main([*STUDY, *asked, "--out", "alone"]) == 0
    assert shared(*asked) == ([0, 0], ["", ""])
    alone, together = Path("alone"), Path("together")
    files = [sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) for out in (alone, together)]
    assert files[0] == files[1]
    assert_close(weights(alone), weights(together))
    rows = [read_record(out / "study").table("classifier") for out in (alone, together)]
    pd.testing.assert_frame_equal(rows[0], rows[1], rtol=1e-3)
    noted = [json.loads(path.read_text()) for path in sorted(together.glob(f"runs/classifier-*/{ENVIRONMENT}"))]
    assert [one.get("processes") for one in noted] == [None, 2]
    written = {path: path.stat().st_mtime_ns for path in together.glob("runs/*/result.json")}
    assert shared(*asked) == ([0, 0], ["", ""])
    assert {path: path.stat().st_mtime_ns for path in together.glob("runs/*/result.json")} == written


SLOW = ["--classifier.epochs", "3", "--augmentations", f"{MODULE}:Slow"]


@pytest.fixture
def interrupted(folder):
    """Two processes in the midst of their training, after a checkpoint; ``end(them)`` ends some of them."""

    def run(end):
        processes = started(folder, *SLOW)
        while not list(Path("together").glob(f"runs/*/{CHECKPOINT}")):
            assert all(process.is_alive() for process in processes)
            time.sleep(0.05)
        end(processes)
        return how_ended(folder, processes)

    return run


@pytest.mark.slow
def test_what_two_processes_began_is_ended_by_one(interrupted, folder):
    def end(processes):
        for process in processes:
            os.kill(process.pid, signal.SIGTERM)

    statuses, errors = interrupted(end)
    assert statuses == [143, 143]
    assert errors == ["mixlens: interrupted. Run the same command again to go on where it stopped.\n", ""]
    assert main([*STUDY, *SLOW, "--out", "together"]) == 0
    assert len(history("together")) == 3
    assert main([*STUDY, *SLOW, "--out", "alone"]) == 0
    assert_close(weights("alone"), weights("together"))


def history(out):
    (path,) = Path(out).glob(f"runs/classifier-train-*/{HISTORY}")
    return path.read_text().splitlines()


@pytest.mark.slow
def test_what_one_process_began_is_ended_by_two(shared, killed_after):
    asked = ["--classifier.epochs", "3", "--augmentations", "mixup"]
    assert main([*STUDY, *asked, "--out", "alone"]) == 0
    with killed_after(6):
        main([*STUDY, *asked, "--out", "together"])
        raise KeyboardInterrupt  # the command ends in one message
    assert shared(*asked) == ([0, 0], ["", ""])
    assert len(history("together")) == 3
    assert_close(weights("alone"), weights("together"))


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_what_is_killed_ends_the_others(interrupted, rank):
    statuses, errors = interrupted(lambda processes: processes[rank].kill())
    assert statuses[rank] == -9
    assert statuses[1 - rank] == 2
    said = [line for line in errors[1 - rank].splitlines() if line.startswith("mixlens: ")]  # and PyTorch its own
    assert len(said) == 1, errors
    assert "another of the 2 processes has gone" in said[0]


@pytest.mark.parametrize("rank", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_an_error_in_one_process_ends_all_with_its_message(shared, rank):
    statuses, errors = shared("--classifier.epochs", "3", "--augmentations", f"{MODULE}:Fails(rank={rank})")
    assert statuses == [2, 2]
    assert f"mixlens: process {rank} of 2 stopped, and not the others" in errors[0]
    assert "failed with ValueError: no more" in errors[0]
    assert (errors[0].count("\n"), errors[1]) == (1, "")
    assert not list(Path("together").glob(f"runs/*/{FAILED}"))


@pytest.mark.slow
def test_a_training_that_fails_alike_in_all_fails_alone(shared):
    statuses, errors = shared("--classifier.epochs", "3", "--augmentations", f"{MODULE}:Fails,mixup")
    assert statuses == [1, 0], errors
    failed, skipped = errors[0].splitlines()
    assert failed.startswith("mixlens: failed: train classifier")
    assert "no more" in failed
    assert skipped.startswith("mixlens: skipped: ")
    assert errors[1] == ""
    assert len(weights("together")) == 1
    assert len(list(Path("together").glob(f"runs/*/{FAILED}"))) == 1


def test_a_mistake_is_one_message(shared):
    statuses, errors = shared("--classifier.epochs", "0")
    assert statuses == [2, 2]
    assert errors[0].startswith("mixlens: ")
    assert errors[0].count("\n") == 1
    assert errors[1] == ""
