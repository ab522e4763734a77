import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace

import jobs
import pytest
import torch
from jobs import Said, task

from mixlens.analysis.errors import InputError
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import CONFIG, ENVIRONMENT, FAILED, RESULT, Store
from mixlens.analysis.study import worker
from mixlens.analysis.study.executors import local as module
from mixlens.analysis.study.executors.local import execute
from mixlens.analysis.study.worker import Context
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.loop import DivergedError
from mixlens.analysis.training.progress import Reporter


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)
    jobs.forget()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out")


def context():
    return Context("study", None, make_backend("cpu", "fp32"), Said())


def test_everything_is_worked_on_once_inputs_first(store):
    a, b = task("a"), task("b")
    c = task("c", b, a)
    where = context()
    outcome = execute([c, a], store, where)
    assert jobs.worked == [("b", []), ("a", []), ("c", ["b", "a"])]
    assert set(outcome.done) == {task.name for task in (a, b, c)}
    assert (outcome.fresh, outcome.failed, outcome.skipped) == (3, {}, [])
    whole = outcome.done[c.name]
    assert whole.path == store.root / c.name
    assert (whole / "mark").read_text() == "c"
    assert whole.read_json(ENVIRONMENT)["device"] == "cpu"
    assert [row.quantity for row in read_rows(whole)] == ["c"]
    titles = ["[1/3] work on b", "[2/3] work on a", "[3/3] work on c"]
    said = [line.partition(": done in ")[0] for line in where.reporter.lines]
    assert said == [title for title in titles for _ in ("begun", "done")]
    assert list(store.root.glob("*.lease")) == list(store.root.glob("*.partial")) == []


def test_a_second_execute_does_no_work(store):
    tasks = [task("b", task("a"))]
    first = execute(tasks, store, context())
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")}
    jobs.worked.clear()
    where = context()
    second = execute(tasks, store, where)
    assert jobs.worked == []
    assert second.fresh == 0
    assert second.done.keys() == first.done.keys()
    assert where.reporter.lines == []
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")} == before


def test_what_is_new_in_a_plan_is_all_that_is_worked_on(store):
    a = task("a")
    execute([a], store, context())
    jobs.worked.clear()
    assert execute([task("b", a)], store, context()).fresh == 1
    assert jobs.worked == [("b", ["a"])]


def test_a_killed_task_is_repeated_in_its_folder(store):
    broken = task("a")
    jobs.fails["a"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        execute([broken], store, context())
    assert (store.partial(broken.name) / "mark").exists()
    assert execute([task("a")], store, context()).fresh == 1
    assert not store.partial(broken.name).path.exists()


# divergence


def test_a_diverged_task_fails_alone_and_what_builds_on_it_is_skipped(store):
    jobs.fails["bad"] = DivergedError("the training loss became nan in epoch 2; try a lower learning rate.")
    bad = task("bad")
    on_bad = task("on-bad", task("good"), bad)
    last = task("last", on_bad)
    fine = task("fine", task("good"))
    where = context()
    outcome = execute([last, fine], store, where)
    assert [kind for kind, _ in jobs.worked] == ["good", "bad", "fine"]
    assert set(outcome.done) == {fine.name, fine.inputs[0].name}
    assert outcome.failed == {bad.name: "the training loss became nan in epoch 2; try a lower learning rate."}
    assert set(outcome.skipped) == {on_bad.name, last.name}
    assert outcome.fresh == 2
    recorded = store.partial(bad.name).read_json(FAILED)
    assert recorded["reason"] == outcome.failed[bad.name]
    assert recorded["label"] == "work on bad"
    assert store.find(bad.name) is None
    said = "\n".join(where.reporter.lines)
    assert "failed: work on bad: the training loss became nan" in said
    assert "skipped: work on on-bad (an input failed)" in said
    assert "skipped: work on last (an input failed)" in said
    assert not list(store.root.glob("*.lease"))


def test_a_failed_task_is_tried_again_by_the_next_execute(store):
    bad = task("bad")
    jobs.fails["bad"] = DivergedError("once")
    execute([bad], store, context())
    outcome = execute([task("bad")], store, context())
    assert outcome.failed == {}
    assert not (outcome.done[bad.name] / FAILED).exists()


def test_an_input_error_fails_its_task_alone(store):
    bad, other = task("bad"), task("other")
    jobs.fails["bad"] = InputError("no such thing")
    outcome = execute([bad, other], store, context())
    assert "no such thing" in outcome.failed[bad.name]
    assert outcome.done.keys() == {other.name}
    assert store.find(bad.name) is None
    assert not list(store.root.glob("*.lease"))


# A measured NaN (a network that only just diverged) must fail its task, not end the study with a ValueError.
def test_a_row_that_is_no_number_fails_its_task_alone(store):
    bad = task("bad")
    jobs.values["bad"] = float("nan")
    outcome = execute([bad, task("other")], store, context())
    assert set(outcome.failed) == {bad.name}
    assert outcome.fresh == 1


# damaged run directories


def damage_config(path):
    (path / CONFIG).write_text('{"kind": "a"}')


def damage_result(path):
    (path / RESULT).write_text('{"rows": [')


def foreign(path):
    for file in path.iterdir():
        file.unlink()
    (path / "holiday.jpg").write_bytes(b"x")


@pytest.mark.parametrize("damage", [damage_config, damage_result, foreign])
def test_a_damaged_run_directory_fails_who_needs_it_and_is_named(store, damage):
    tasks = [task("b", task("a"))]
    execute(tasks, store, context())
    folder = store.root / tasks[0].inputs[0].name
    damage(folder)
    files = sorted(path.name for path in folder.iterdir())
    jobs.worked.clear()
    outcome = execute([*tasks, task("other")], store, context())
    assert str(folder) in outcome.failed[tasks[0].inputs[0].name]
    assert outcome.skipped == [tasks[0].name]
    assert sorted(path.name for path in folder.iterdir()) == files, "nothing is deleted for the user"
    assert [kind for kind, _ in jobs.worked] == ["other"]


# several workers


def test_what_another_worker_holds_is_waited_for(store, monkeypatch):
    held, free = task("held"), task("free")
    naps = []
    with store.claim(held.name, {}) as mine:
        assert mine is not None

        def nap(seconds):
            naps.append([kind for kind, _ in jobs.worked])
            if len(naps) == 3:
                raise KeyboardInterrupt

        # The module's own clock alone: file locks sleep too.
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=nap, perf_counter=time.perf_counter))
        with pytest.raises(KeyboardInterrupt):
            execute([held, free], store, context())
    assert naps == [["free"]] * 3, "what is free is done first, and what is held is not touched"


def test_a_lost_lease_leaves_the_task_to_the_other_worker(store, monkeypatch):
    tries = []

    def work(config, run, inputs, context):
        tries.append(run)
        if len(tries) == 1:  # as if this process had been stalled for a minute
            lease = run.path.with_suffix(".lease")
            lease.write_text(json.dumps({"token": "another", "host": "elsewhere", "pid": 1}))
            os.utime(lease, (0, 0))

    monkeypatch.setattr(jobs, "work", work)
    outcome = execute([task("a")], store, context())
    assert (outcome.fresh, len(outcome.done), len(tries)) == (0, 1, 1), "what it had left was whole"


WORKERS = """
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from mixlens.analysis.interface import Task
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.executors import local
from mixlens.analysis.study.worker import Context
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.progress import Reporter

local.POLL_SECONDS = 0.02


@dataclass(frozen=True)
class Settings:
    log: str
    number: int


def work(config, run, inputs, context):
    with open(config.log, "a") as log:
        log.write(f"{run.path.stem} {context.study}\\n")
    time.sleep(0.05)


def work_together(root, who):
    def task(kind, number, *inputs):
        return Task(kind, 1, f"{__name__}:work", Settings(str(root / "log"), number), "s", kind, inputs)

    first = [task("train", i) for i in range(8)]
    tasks = [task("measure", i, first[0], parent) for i, parent in enumerate(first[1:])]
    context = Context(who, None, make_backend("cpu", "fp32"), Reporter(quiet=True))
    return local.execute(tasks, Store(root / "out"), context)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    outcome = work_together(root, "child")
    print(outcome.fresh, len(outcome.done), flush=True)
"""


@pytest.mark.slow
def test_two_processes_share_a_plan_and_do_each_task_once(tmp_path, monkeypatch):
    script = tmp_path / "mixlens_tests_workers.py"
    script.write_text(WORKERS)
    spec = spec_from_file_location(script.stem, script)
    workers = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, script.stem, workers)  # where a task's work is looked for by name
    spec.loader.exec_module(workers)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, str(script), str(tmp_path)]
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert child.stdout.readline().strip() == "ready"
        child.stdin.write("go\n")
        child.stdin.flush()
        ours = workers.work_together(tmp_path, "parent")
        theirs, done = map(int, child.communicate(timeout=60)[0].split())
    finally:
        child.kill()
    worked = [line.split() for line in (tmp_path / "log").read_text().splitlines()]
    assert sorted(name for name, _ in worked) == sorted(ours.done), "each of them once"
    assert {who for _, who in worked} == {"parent", "child"}
    assert ours.fresh + theirs == 15
    assert len(ours.done) == done == 15


def test_a_killed_workers_task_is_taken_over_at_once(tmp_path):
    """As above, but the child dies in the middle of its first task."""
    root = tmp_path / "out"
    store = Store(root)
    held = task("a")
    script = (
        "import sys\nfrom pathlib import Path\nfrom mixlens.analysis.store.runs import Store\n"
        "with Store(Path(sys.argv[1])).claim(sys.argv[2], {}) as run:\n"
        "    (run / 'mark').write_text('half')\n    print('ready', flush=True)\n    sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script, str(root), held.name]
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "ready"
    child.kill()
    child.communicate()
    began = time.monotonic()
    assert execute([held], store, context()).fresh == 1
    assert time.monotonic() - began < 10


# a disk that is full


def test_a_full_disk_stops_with_one_message_and_is_gone_on_from(store, monkeypatch):
    """What was done stays; the same plan goes on with the task that could not be written."""
    first = task("first")
    second = task("second", first)
    real, written = worker.write_rows, []

    def full(run, rows, seconds):
        written.append(run)
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(run / RESULT))
        real(run, rows, seconds)

    monkeypatch.setattr(worker, "write_rows", full)
    with pytest.raises(InputError, match=r"work on second stopped: .*result\.json: No space left on device.*go on"):
        execute([second], store, context())
    assert store.find(first.name) is not None
    assert not list(store.root.glob("*.lease"))
    outcome = execute([second], store, context())
    assert set(outcome.done) == {first.name, second.name}
    assert [kind for kind, _ in jobs.worked] == ["first", "second", "second"]


# memory


class Crowded:
    """Work of a few turns on a device that holds ``most`` tasks at once."""

    def __init__(self, most):
        self.most, self.inside, self.largest, self.done = most, 0, 0, []

    def __call__(self, config, run, inputs, context):
        self.inside += 1
        self.largest = max(self.largest, self.inside)
        try:
            for _ in range(4):
                yield
                if self.inside > self.most:
                    raise torch.OutOfMemoryError("tried to allocate 2 GiB")
            self.done.append(run.read_json(CONFIG)["kind"])
            return []
        finally:
            self.inside -= 1


@pytest.mark.parametrize("most", [1, 2, 3])
def test_fewer_tasks_take_turns_where_memory_does_not_hold_them(store, monkeypatch, capsys, most):
    crowded = Crowded(most)
    monkeypatch.setattr(jobs, "work", crowded)
    tasks = [task(kind) for kind in "abcdefg"]
    outcome = execute(tasks, store, replace(context(), reporter=Reporter()), at_once=4)
    assert sorted(crowded.done) == list("abcdefg")
    assert crowded.largest == 4
    assert outcome.at_once == most
    assert (outcome.failed, outcome.skipped, outcome.fresh) == ({}, [], 7)
    assert not list(store.root.glob("*.lease"))
    said = capsys.readouterr().err
    for number in range(3, most - 1, -1):
        assert f"the device's memory does not hold it now; {number} at once from here on" in said


def test_a_task_that_memory_does_not_hold_alone_fails(store, monkeypatch):
    monkeypatch.setattr(jobs, "work", Crowded(0))
    outcome = execute([task("a"), task("b"), task("c", task("a"))], store, context(), at_once=2)
    assert set(outcome.failed) == {task("a").name, task("b").name}
    assert all(reason.startswith("OutOfMemoryError: tried to allocate 2 GiB") for reason in outcome.failed.values())
    assert outcome.skipped == [task("c", task("a")).name]
