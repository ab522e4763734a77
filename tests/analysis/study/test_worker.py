"""A task is data: every task of every preset can be sent, and done in a process that has only the store and the data.

And what the worker adds to what its work returns, and what it refuses.
"""

import asyncio
import errno
import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from unittest.mock import Mock

import jobs
import pytest
import torch
from helpers import BACKEND, checkerboards, context_of, stand_in, tiny_dataset, tiny_study

from mixlens import Machine, Study
from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Estimate, Interval, Measurement, Network
from mixlens.analysis.store.lease import LeaseLostError
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import ENVIRONMENT, FAILED, RESULT, Store
from mixlens.analysis.study import worker
from mixlens.analysis.study.conduct import prepare
from mixlens.analysis.study.executors.local import execute
from mixlens.analysis.study.plan import plan
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import PRESETS, read_study
from mixlens.analysis.study.worker import FailedError, NoMemoryError, do


@pytest.mark.parametrize("preset", ["demo", *(pytest.param(name, marks=pytest.mark.slow) for name in PRESETS[1:])])
def test_every_task_of_a_preset_comes_through_a_pickle(preset, tmp_path):
    sections = installed_sections()
    tasks = plan(read_study(preset, sections), sections, stand_in(), BACKEND, tmp_path)
    assert len(tasks) > 30
    for task in tasks:
        sent = pickle.loads(pickle.dumps(task))
        assert sent == task
        assert (sent.name, sent.settings) == (task.name, task.settings)


ELSEWHERE = """
import pickle, sys
from pathlib import Path
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.worker import do, make_context
from mixlens.analysis.training.progress import Reporter

tasks, study, machine = pickle.loads(Path(sys.argv[1]).read_bytes())
context = make_context(study, machine, Reporter(quiet=True))
assert all(do(task, Store(Path(sys.argv[2])), context).fresh for task in tasks)
"""


@pytest.mark.slow
def test_another_process_that_has_the_store_and_the_data_gets_the_same_rows(tmp_path):
    """One task of every section: the networks are trained here, and measured both here and there."""
    asked = Study(
        name="sent",
        data="photos",
        train_size=64,
        augmentations=["baseline"],
        seeds=[0],
        sections=["vae", "gradcam", "calibration"],
        settings={
            "vae": {"epochs": 1, "latents": 4, "batch_size": 32, "critic_steps": 5, "oracle_samples": 0},
            "classifier": {"model": "preact-resnet18(width=2)", "epochs": 1, "batch_size": 32},
            "gradcam": {"images": 20},
            "calibration": {"resamples": 100},
        },
    )
    machine = Machine(out=tmp_path / "here", quiet=True, threads=1)
    prepared = prepare(asked, machine)
    execute(prepared.tasks, prepared.store, prepared.context)
    inputs = {parent.name for task in prepared.tasks for parent in task.inputs}
    ends = {task.section: task for task in prepared.tasks if task.name not in inputs}
    assert ends.keys() == {"gallery", "vae", "gradcam", "calibration"}
    there, sent = Store(tmp_path / "there"), tmp_path / "sent.pickle"
    for name in inputs:
        shutil.copytree(prepared.store.root / name, there.root / name)
    sent.write_bytes(pickle.dumps((list(ends.values()), prepared.study, machine)))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run([sys.executable, "-c", ELSEWHERE, str(sent), str(there.root)], check=True, env=environment, cwd="/")
    for task in ends.values():
        assert read_rows(there.find(task.name)) == read_rows(prepared.store.find(task.name))


# What the worker adds


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


@pytest.fixture(autouse=True)
def _forget():
    jobs.forget()


@pytest.fixture
def context():
    images = checkerboards(16, 1)
    dataset = tiny_dataset(images, images)
    return context_of(
        tiny_study("classifier", classifier={"model": "preact-resnet18(width=2)", "batch_size": 8}), dataset
    )


def test_a_row_has_every_fact_of_its_task(store, context, monkeypatch):
    interval = Interval(0.5, 1.5, 0.95, "Student t")
    estimate = Estimate(1.0, 0.25, 7, "upper", "bits", interval, ceiling=9.0, saturated=True)
    monkeypatch.setattr(jobs, "work", lambda *_: [Measurement("q", estimate, {"pair": "self", "k": 3}, "a note")])
    task = replace(jobs.task("a"), data=context.dataset.checksum, network=Network("mixup", 4, "net"))
    (row,) = read_rows(do(task, store, context).run)
    facts = {"run": task.name, "study": "tiny-study", "section": "s", "dataset": "tiny", "split": "test"}
    facts |= {"augmentation": "mixup", "model": "net", "seed": 4, "quantity": "q", "params": {"pair": "self", "k": 3}}
    facts |= {"value": 1.0, "unit": "bits", "n": 7, "stderr": 0.25, "ci_low": 0.5, "ci_high": 1.5, "bound": "upper"}
    assert vars(row) == facts | {"note": "a note", "ceiling": 9.0, "saturated": True}


def test_of_a_task_without_data_or_network_nothing_is_said_of_either(store, context):
    (row,) = read_rows(do(jobs.task("a"), store, context).run)
    assert (row.dataset, row.split, row.augmentation, row.model, row.seed) == ("", "", "", "", None)


def test_versions_of_a_tasks_packages_and_its_precision_are_noted(store, context):
    task = replace(jobs.task("a"), packages=("foolbox",), precision="bf16")
    noted = do(task, store, context).run.read_json(ENVIRONMENT)
    assert {"foolbox", "torch"} <= noted.keys()
    assert noted["precision"] == "bf16"
    assert "foolbox" not in do(jobs.task("b"), store, context).run.read_json(ENVIRONMENT)


def test_work_that_raises_fails_alone_with_its_reason(store, context):
    jobs.fails["a"] = RuntimeError("expected scalar type Long\nbut found Int")
    with pytest.raises(FailedError, match="RuntimeError: expected scalar type Long"):
        do(jobs.task("a"), store, context)
    noted = store.partial(jobs.task("a").name).read_json(FAILED)
    assert noted["reason"] == "RuntimeError: expected scalar type Long"
    assert "Traceback" in noted["traceback"]
    assert not list(store.root.glob("*.lease"))


@pytest.mark.parametrize(
    "error",
    [InputError("NaN heatmaps"), SystemExit(0), asyncio.CancelledError(), FileNotFoundError(2, "gone", "my.csv")],
)
def test_a_users_code_may_raise_what_it_will(store, context, error):
    jobs.fails["a"] = error
    with pytest.raises(FailedError):
        do(jobs.task("a"), store, context)
    assert "jobs.py" in store.partial(jobs.task("a").name).read_json(FAILED)["traceback"]


def test_a_task_for_which_memory_is_too_little_says_what_to_lower(store, context, monkeypatch):
    monkeypatch.setattr(jobs, "work", lambda *_: torch.empty(2**50))
    with pytest.raises(
        NoMemoryError, match=r"DefaultCPUAllocator.* cpu has too little memory for it\. Lower .*batch-size"
    ):
        do(jobs.task("a"), store, context)
    assert "DefaultCPUAllocator" in store.partial(jobs.task("a").name).read_json(FAILED)["reason"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EFBIG])
def test_what_is_of_the_machine_is_no_tasks_failure(store, context, number):
    jobs.fails["a"] = OSError(number, os.strerror(number))
    with pytest.raises(OSError, match=os.strerror(number)):
        do(jobs.task("a"), store, context)


def test_a_folder_taken_over_while_a_worker_slept_is_the_other_workers(store, context, monkeypatch):
    def work(config, run, inputs, context):
        (lease,) = store.root.glob("*.lease")
        lease.write_text(json.dumps({"token": "another", "host": "elsewhere", "pid": 1}))
        os.rename(run.path, store.root / "taken")
        run.write_arrays({})

    monkeypatch.setattr(jobs, "work", work)
    with pytest.raises(LeaseLostError):
        do(jobs.task("a"), store, context)


# What it refuses


def test_work_that_is_not_installed_is_named(store, context):
    for work in ("no_such_package.run:measure", "jobs:no_such_work"):
        with pytest.raises(FailedError, match=rf"work on a needs {work}, which is not installed here"):
            do(replace(jobs.task("a"), work=work), store, context)
    assert store.find(jobs.task("a").name) is None


def test_other_data_than_those_of_the_plan_are_refused(store, context):
    with pytest.raises(InputError, match="data set 'tiny' is not the one that this was planned for"):
        do(replace(jobs.task("a"), data="of another"), store, context)
    assert jobs.worked == []


def test_an_input_that_is_not_there_is_named(store, context):
    with pytest.raises(FailedError, match="work on a: there is no finished run a-"):
        do(jobs.task("b", jobs.task("a")), store, context)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_number_that_is_none_fails_its_task(store, context, value):
    jobs.values["a"] = value
    with pytest.raises(FailedError, match=f"a is {value}: the network it was measured on has diverged"):
        do(jobs.task("a"), store, context)
    assert not list(store.root.glob(f"*/{RESULT}"))


def test_a_param_cannot_be_called_as_a_fact(store, context, monkeypatch):
    monkeypatch.setattr(jobs, "work", lambda *_: [Measurement("q", Estimate(1.0, None, 1, "none"), {"seed": 3})])
    with pytest.raises(FailedError, match="params are called as columns of every row"):
        do(jobs.task("a"), store, context)


def test_a_device_that_has_failed_ends_the_study_and_what_it_was_is_kept(store, context, monkeypatch):
    jobs.fails["a"] = RuntimeError("CUDA error: unspecified launch failure")
    monkeypatch.setattr(worker, "_answers", lambda device: False)
    with pytest.raises(InputError, match=r"work on a stopped: cpu does not answer any more \(RuntimeError: CUDA error"):
        do(jobs.task("a"), store, context)
    assert "unspecified launch failure" in store.partial(jobs.task("a").name).read_json(FAILED)["reason"]
    assert not list(store.root.glob("*.lease"))
    monkeypatch.undo()
    assert do(jobs.task("a"), store, context).fresh, "it goes on once there is a device again"


def test_a_device_answers_or_not(monkeypatch):
    assert worker._answers(torch.device("cpu"))

    for error, answers in ((RuntimeError("CUDA error: gone"), False), (torch.OutOfMemoryError("full"), True)):
        monkeypatch.setattr(torch, "zeros", Mock(side_effect=error))
        assert worker._answers(torch.device("cpu")) == answers


@pytest.mark.parametrize(
    ("given", "flag"),
    [
        ({"compile": True}, "--compile"),
        ({"at_once": 2}, "--at-once"),
        ({"workers": 2}, "--workers"),
        ({"cluster": "tcp://here:8786"}, "--cluster"),
    ],
)
def test_processes_that_share_trainings_refuse_what_one_alone_does(given, flag):
    ranks = Mock(world=2, rank=0)
    with pytest.raises(InputError, match=f"{flag} is for a process alone; 2 share each training here"):
        worker.make_context(tiny_study("vae"), Machine(device="cpu", **given), Mock(), Mock(), ranks)
