"""Tasks that write down when they work; what they measure, and whether they fail, a test says here."""

import errno
import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Estimate, Measurement, Task
from mixlens.analysis.store.runs import CONFIG
from mixlens.analysis.training.loop import DivergedError
from mixlens.analysis.training.progress import Reporter

worked = []  # (kind, the kinds of its inputs), in order
fails = {}  # kind → what its work raises, once
values = {}  # kind → what its work measures, where it is not 1


class Said(Reporter):
    """Keeps what is said."""

    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def say(self, text):
        self.lines.append(text)


@dataclass(frozen=True)
class Settings:
    seed: int = -1
    epochs: int = 0


def task(kind, *inputs, **settings):
    return Task(kind, 1, "jobs:work", Settings(**settings), "s", f"work on {kind}", inputs)


def work(config, run, inputs, context):
    kind = run.read_json(CONFIG)["kind"]
    worked.append((kind, [parent.read_json(CONFIG)["kind"] for parent in inputs]))
    (run / "mark").write_text(kind)
    if kind in fails:
        raise fails.pop(kind)
    return [Measurement(kind, Estimate(values.get(kind, 1.0), None, 2, "none"))]


def forget():
    for container in (worked, fails, values):
        container.clear()


# Tasks that other processes do: what they are to do is a setting.


@dataclass(frozen=True)
class Deed:
    log: str  # each time it is done adds a line: its kind and its process
    what: str = ""  # "die once", "die", "full disk", "until stopped", or what is raised


def deed(kind, log, *inputs, what="", data=""):
    return Task(kind, 1, "jobs:act", Deed(str(log), what), "s", f"work on {kind}", inputs, data)


def deeds(log):
    return [line.split()[0] for line in Path(log).read_text().splitlines()]


def act(config, run, inputs, context):
    kind = run.read_json(CONFIG)["kind"]
    log = Path(config.log)
    died = log.exists() and kind in deeds(log)
    with log.open("a") as lines:
        lines.write(f"{kind} {os.getpid()}\n")
    if config.what == "die" or (config.what == "die once" and not died):
        os.kill(os.getpid(), signal.SIGKILL)
    raised = {
        "fail": DivergedError("the training loss became nan in epoch 2"),
        "refuse": InputError("no"),
        "exit": SystemExit(3),
        "raise": ValueError("it broke"),
    }
    if config.what in raised:
        raise raised[config.what]
    if config.what == "full disk":
        raise OSError(errno.ENOSPC, "No space left on device", str(run / "mark"))
    while config.what == "until stopped":
        time.sleep(0.05)
        yield
    return [Measurement(kind, Estimate(float(len(inputs)), None, 2, "none"))]


def data(shade=0):
    """A data set that a study names: ``jobs:data``."""
    images = np.full((8, 1, 4, 4), shade, np.uint8)
    labels = np.arange(8) % 2
    about = {"classes": ("a", "b"), "mean": (0.5,), "std": (0.5,)}
    return (
        about
        | {f"{split}_images": images for split in ("train", "test")}
        | dict.fromkeys(("train_labels", "test_labels"), labels)
    )
