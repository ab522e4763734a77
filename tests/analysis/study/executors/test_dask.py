"""Worker processes of this machine: each test's tasks say themselves what they do there."""

import json
import os
import subprocess
import threading
import time

import jobs
import pytest
from jobs import Said, deed, deeds
from nfs import remembering

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Machine, Study
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import ENVIRONMENT, FAILED, Store
from mixlens.analysis.study.executors import local
from mixlens.analysis.study.executors.clusters import Workers, cores, started
from mixlens.analysis.study.executors.local import Outcome
from mixlens.analysis.study.plan import load_data
from mixlens.analysis.study.worker import Context
from mixlens.analysis.training.backend import make_backend

pytest.importorskip("distributed", reason="needs the extra [cluster]")

from mixlens.analysis.study.executors import dask as module

STUDY = Study(name="study", data="jobs:data")


@pytest.fixture(scope="module")
def workers():
    """Two within this process, which start at once."""
    from distributed import Client, LocalCluster

    quiet = {"dashboard_address": ":0", "silence_logs": 50, "memory_limit": 0}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, **quiet) as cluster,
        Client(cluster) as client,
    ):
        yield Workers(client, Machine(threads=1, device="cpu"))


@pytest.fixture(scope="module")
def process():
    with started(Machine(threads=1, device="cpu"), 1) as one:
        yield one


@pytest.fixture(scope="module")
def processes():
    with started(Machine(threads=1, device="cpu"), 2) as two:
        yield two


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.1)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out")


@pytest.fixture
def log(tmp_path):
    return tmp_path / "log"


def execute(tasks, store, workers, reporter=None, outcome=None, study=STUDY):
    return module.execute(tasks, store, study, lambda: workers, reporter or Said(), outcome)


def sending(tasks, store, workers, reporter=None):
    """What `execute` does, to be looked into."""
    plan = module._Plan(tasks, store, reporter or Said(), Outcome())
    return module._Sending(plan, STUDY, workers)


def test_what_becomes_of_a_plan_is_what_the_plain_loop_makes_of_it(tmp_path, workers):
    """A tree with a failure in it: the same outcome, the same rows, each task once and after its inputs."""

    def tasks(log):
        a, bad = deed("a", log), deed("bad", log, what="fail")
        return [
            deed("c", log, a, deed("b", log)),
            deed("on-bad", log, a, bad),
            deed("last", log, deed("on-bad", log, a, bad)),
        ]

    names, rows, said = [], [], []
    # One log, and so one set of names, in two stores.
    log = tmp_path / "log"
    for root in ("plain", "workers"):
        store, reporter = Store(tmp_path / root), Said()
        if root == "plain":
            context = Context("study", load_data(STUDY), make_backend("cpu", "fp32"), reporter)
            outcome = local.execute(tasks(log), store, context)
        else:
            outcome = execute(tasks(log), store, workers, reporter)
        assert sorted(deeds(log)) == ["a", "b", "bad", "c"]
        log.unlink()
        names.append((set(outcome.done), outcome.failed, sorted(outcome.skipped), outcome.fresh))
        rows.append({name: read_rows(run) for name, run in outcome.done.items()})
        said.append([line for line in reporter.lines if line.startswith("skipped")])
        assert not list(store.root.glob("*.lease"))
    assert names[0] == names[1]
    assert rows[0] == rows[1]
    assert said[0] == said[1]
    assert len(names[0][0]) == 3


def test_lines_count_the_tasks_and_say_who_did_them(store, log, process):
    reporter = Said()
    outcome = execute([deed("b", log, deed("a", log))], store, process, reporter)
    assert reporter.lines[0] == "1 worker"
    done = [line for line in reporter.lines if ": done in " in line]
    assert [line.partition(":")[0] for line in done] == ["[1/2] work on a", "[2/2] work on b"]
    processes = {line.split()[1] for line in log.read_text().splitlines()}
    assert processes == {line.rpartition("process ")[2].rstrip(")") for line in done}
    assert str(os.getpid()) not in processes
    assert {json.loads((run / ENVIRONMENT).read_text())["threads"] for run in outcome.done.values()} == {1}


def test_what_is_stored_is_taken_and_nobody_is_hired(store, log, workers):
    """No job is queued to find that nothing is left to do."""
    tasks = [deed("b", log, deed("a", log))]
    execute(tasks, store, workers)

    def nobody():
        raise AssertionError("hired")

    outcome = module.execute(tasks, store, STUDY, nobody, Said())
    assert (outcome.fresh, len(outcome.done), deeds(log)) == (0, 2, ["a", "b"])


def test_a_damaged_run_fails_alone_as_in_the_plain_loop(tmp_path, workers):
    """Found before anything is sent, or by the worker that needs a file of it."""
    log, found = tmp_path / "log", []
    for root in ("plain", "workers"):
        store = Store(tmp_path / root)
        execute([deed("a", log)], store, workers)
        a = deed("a", log)
        (store.root / a.name / "result.json").write_text("{")
        tasks = [deed("b", log, a), deed("free", log)]
        if root == "plain":
            context = Context("study", load_data(STUDY), make_backend("cpu", "fp32"), Said())
            outcome = local.execute(tasks, store, context)
        else:
            outcome = execute(tasks, store, workers)
        found.append((outcome.failed[a.name].replace(root, ""), outcome.skipped, list(outcome.done)))
    assert found[0] == found[1]
    assert "is damaged or not ours" in found[0][0]
    assert [name.partition("-")[0] for name in found[0][2]] == ["free"]


@pytest.mark.parametrize("what", ["refuse", "exit", "raise"])
def test_a_tasks_own_error_fails_it_alone(what, store, log, workers):
    """Also one that looks like a user's mistake, or like the end of the process."""
    bad = deed("bad", log, what=what)
    outcome = execute([bad, deed("child", log, bad), deed("free", log)], store, workers)
    assert list(outcome.failed) == [bad.name]
    assert outcome.failed[bad.name].startswith({"refuse": "no", "exit": "SystemExit", "raise": "ValueError"}[what])
    assert (store.partial(bad.name) / FAILED).exists()
    assert len(outcome.done) == len(outcome.skipped) == 1
    assert deeds(log).count("bad") == 1, "it is not tried again"


@pytest.mark.slow
def test_a_worker_that_dies_is_replaced_and_its_task_done_once_more(store, log, processes):
    tasks = [deed("mortal", log, what="die once"), *[deed(f"t{i}", log) for i in range(4)]]
    outcome = execute(tasks, store, processes)
    assert (outcome.failed, outcome.fresh) == ({}, 5)
    assert sorted(deeds(log)) == ["mortal", "mortal", "t0", "t1", "t2", "t3"]
    assert len({line for line in log.read_text().splitlines() if line.startswith("mortal")}) == 2, "two processes"
    processes.client.wait_for_workers(2, timeout=60)


@pytest.mark.slow
def test_a_task_that_kills_its_workers_fails_alone(store, log, processes, monkeypatch):
    scheduler = processes.client.cluster.scheduler
    assert scheduler.allowed_failures == 3
    monkeypatch.setattr(scheduler, "allowed_failures", 1)  # a new worker takes seconds
    mortal = deed("mortal", log, what="die")
    outcome = execute([mortal, deed("child", log, mortal), deed("other", log)], store, processes)
    assert deeds(log).count("mortal") == 2
    assert set(outcome.failed) == {mortal.name}
    assert outcome.failed[mortal.name].startswith("2 workers died of it")
    assert [name.partition("-")[0] for name in outcome.skipped] == ["child"]
    assert [name.partition("-")[0] for name in outcome.done] == ["other"]
    processes.client.wait_for_workers(2, timeout=60)


def test_a_full_disk_stops_the_study_with_one_message(store, log, workers):
    outcome = Outcome()
    with pytest.raises(InputError, match=r"work on bad stopped: .*mark: No space left on device\. What is done stays"):
        execute([deed("bad", log, what="full disk")], store, workers, outcome=outcome)
    assert outcome.failed == {}
    assert not list(store.root.glob("*.lease"))


def test_workers_load_the_data_by_name_and_check_that_they_are_those_of_the_plan(store, log, workers):
    checksum = load_data(STUDY).checksum
    assert execute([deed("a", log, data=checksum)], store, workers).fresh == 1
    other = Study(name="study", data="jobs:data(shade=1)")
    with pytest.raises(InputError, match="is not the one that this was planned for"):
        execute([deed("b", log, data=checksum)], store, workers, study=other)


def test_a_folder_appears_once_its_server_is_asked_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "APPEAR_SECONDS", 5)
    with remembering(tmp_path):
        assert not (tmp_path / "run").is_dir()
        subprocess.run(["mkdir", str(tmp_path / "run")], check=True)  # another machine
        assert not (tmp_path / "run").is_dir(), "the stand-in does what it says"
        assert module.appears(tmp_path / "run")


def test_a_store_that_workers_do_not_see_is_named(tmp_path, log, workers, monkeypatch):
    elsewhere = Store(tmp_path / "out")
    monkeypatch.setattr(module, "APPEAR_SECONDS", 0.3)
    hidden = tmp_path / "hidden"
    (tmp_path / "out").rename(hidden)
    with pytest.raises(InputError, match=r"out is not there on .*all workers share that folder"):
        execute([deed("a", log)], elsewhere, workers)


def test_what_another_study_holds_is_waited_for(store, log, workers):
    held, free = deed("held", log), deed("free", log)
    outcome = Outcome()
    with store.claim(held.name, held.settings) as run:
        assert run is not None
        thread = threading.Thread(target=execute, args=([held, free], store, workers), kwargs={"outcome": outcome})
        thread.start()
        until = time.monotonic() + 20
        while not outcome.done and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.5)
        assert list(outcome.done) == [free.name]
        assert deeds(log) == ["free"]
    thread.join(20)
    assert set(outcome.done) == {held.name, free.name}
    assert deeds(log) == ["free", "held"]


def test_what_others_leave_again_and_again_is_given_up(store, log, workers, monkeypatch):
    """A task that kills its workers on other machines, whose leases are held until they are stale."""
    monkeypatch.setattr(module, "RETRIES", 1)
    task = deed("deadly", log)
    work = sending([task], store, workers)
    for _ in range(2):
        work.held.append(task.name)
        work.looked = -1e9
        work.plan.ready.clear()
        work._look()
    assert work.plan.outcome.failed[task.name].startswith("2 workers had it and are gone")
    assert work.plan.left == 0


def test_when_it_is_interrupted_workers_drop_what_they_are_at(store, log, workers):
    """As Ctrl-C: the step is left, the lease with it, and the workers serve the next study."""
    task = deed("long", log, what="until stopped")

    plan = sending([task, deed("later", log, task)], store, workers)
    look = plan._look

    def interrupted():
        look()
        if log.exists():
            assert list(store.root.glob("*.lease"))
            raise KeyboardInterrupt

    plan._look = interrupted
    with pytest.raises(KeyboardInterrupt):
        plan.execute()
    assert not list(store.root.glob("*.lease"))
    assert store.partial(task.name).path.is_dir()
    assert execute([deed("next", log)], store, workers).fresh == 1


def test_a_worker_without_the_tasks_code_stops_the_study(store, log, process, monkeypatch):
    class Here:  # a class that only this test has: it can be packed by name, and found nowhere else
        pass

    monkeypatch.setattr(jobs, "Here", Here, raising=False)
    Here.__module__, Here.__qualname__ = "jobs", "Here"
    task = deed("a", log)
    object.__setattr__(task, "network", Here())
    with pytest.raises(InputError, match=r"workers cannot go on \(AttributeError: .*Here.*same mixlens and packages"):
        execute([task], store, process)


@pytest.mark.slow
def test_a_running_scheduler_is_used_by_its_address_and_left_running(store, log, process):
    workers = process
    place = Machine(cluster=workers.client.scheduler.address, device="cpu")
    with started(place, None) as there:
        assert there.machine.threads == cores()
        assert execute([deed("a", log)], store, there).fresh == 1
    assert execute([deed("b", log)], store, workers).fresh == 1
    plugins = workers.client.run(lambda dask_worker: [name for name in dask_worker.plugins if "mixlens" in name])
    assert not any(plugins.values()), "nothing is left behind"
