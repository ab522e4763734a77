"""Trainings' curves for other tools: a table, and TensorBoard's events by a stand-in of its writer."""

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import jobs
import pandas as pd
import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Network
from mixlens.analysis.store.runs import CONFIG, RESULT, Store
from mixlens.analysis.study.logs import make_log

HISTORY = [
    {"epoch": 1, "lr": 0.1, "train_loss": 3.0},
    {"epoch": 2, "lr": 0.05, "train_loss": 2.0, "test_accuracy": 0.5},
]


class Writer:
    """Of TensorBoard: leaves a file as that does, and keeps what it was told."""

    every: ClassVar = []

    def __init__(self, folder):
        self.folder, self.scalars, self.closed = Path(folder), [], False
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / f"events.out.tfevents.{len(self.every)}").touch()
        self.every.append(self)

    def add_scalar(self, tag, value, step):
        assert not self.closed
        self.scalars.append((tag, value, step))

    def flush(self):
        pass

    def close(self):
        self.closed = True


@pytest.fixture
def tensorboard(monkeypatch):
    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    monkeypatch.setattr(Writer, "every", [])
    return Writer.every


def training(seed=0, augmentation="fmix"):
    task = jobs.task("train", seed=seed)
    return replace(task, label=f"train, {augmentation}, seed {seed}", network=Network(augmentation, seed, "net"))


def finish(store, task, history=None):
    folder = store.root / task.name
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(task.settings), encoding="utf-8")
    (folder / RESULT).write_text(json.dumps({"rows": [], "seconds": 1}), encoding="utf-8")
    if history:
        (folder / "history.jsonl").write_text("".join(json.dumps(one) + "\n" for one in history), encoding="utf-8")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def test_one_table_of_every_training_that_is_whole(store, tmp_path):
    done, other, begun, measured = training(), training(1, "mixup"), training(2), jobs.task("measure")
    finish(store, done, HISTORY)
    finish(store, other, HISTORY[:1])
    finish(store, measured)
    log = make_log("csv", tmp_path)
    log.epochs(begun, HISTORY)
    log.finish([done, other, begun, measured], store)
    found = pd.read_csv(tmp_path / "history.csv")
    assert found["run"].tolist() == [done.name] * 2 + [other.name]
    assert found["augmentation"].tolist() == ["fmix", "fmix", "mixup"]
    assert found["seed"].tolist() == [0, 0, 1]
    assert found["epoch"].tolist() == [1, 2, 1]
    assert found["train_loss"].tolist() == [3.0, 2.0, 3.0]
    assert found["test_accuracy"].isna().tolist() == [True, False, True]
    assert list(found.columns[:7]) == ["run", "task", "label", "augmentation", "model", "seed", "epoch"]


def test_a_study_without_trainings_leaves_no_table(store, tmp_path):
    make_log("csv", tmp_path).finish([jobs.task("measure")], store)
    assert not (tmp_path / "history.csv").exists()


def test_events_are_written_while_it_trains(store, tmp_path, tensorboard):
    task, log = training(), make_log("tensorboard", tmp_path)
    assert not list(tmp_path.glob("tensorboard*")), "nothing before anything trains"
    log.epochs(task, HISTORY[:1])
    (writer,) = tensorboard
    assert writer.scalars == [("lr", 0.1, 1), ("train/loss", 3.0, 1)]
    log.epochs(task, HISTORY)
    assert writer.scalars[2:] == [("lr", 0.05, 2), ("train/loss", 2.0, 2), ("test/accuracy", 0.5, 2)]
    log.ended(task)
    assert writer.closed
    finish(store, task, HISTORY)
    log.finish([task], store)
    assert len(tensorboard) == 1, "all of it is there"


def test_what_was_trained_before_is_there_in_the_end_and_once(store, tmp_path, tensorboard):
    task = training()
    finish(store, task, HISTORY)
    for _ in range(2):
        make_log("tensorboard", tmp_path).finish([task, training(1)], store)
    assert [len(writer.scalars) for writer in tensorboard] == [5, 5]
    assert all(writer.closed for writer in tensorboard)
    (folder,) = (tmp_path / "tensorboard").iterdir()
    assert [file.name for file in folder.iterdir()] == ["events.out.tfevents.1"], "no curve lies over itself"


def test_any_label_is_a_folder_of_its_own(tmp_path, tensorboard):
    log = make_log("tensorboard", tmp_path)
    for seed, name in enumerate(["my.code:make(kinds=['/a'])", "my.code:make(kinds=['?a'])", "x" * 400]):
        log.epochs(training(seed, name), HISTORY[:1])
    assert len(list((tmp_path / "tensorboard").iterdir())) == 3


def test_without_tensorboard_the_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InputError, match=r"pip install tensorboard.* --log csv needs nothing"):
        make_log("tensorboard", tmp_path)


def test_no_log_unless_asked_for(tmp_path):
    assert make_log(None, tmp_path) is None
