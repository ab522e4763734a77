import json
import os
import subprocess
import sys
import time
from importlib.util import module_from_spec, spec_from_file_location
from types import SimpleNamespace

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Row, Task
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import CONFIG, ENVIRONMENT, FAILED, RESULT, Store
from mixlens.analysis.study import execute as module
from mixlens.analysis.study.execute import Context, execute
from mixlens.analysis.study.plan import name_of
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.loop import DivergedError
from mixlens.analysis.training.progress import Reporter


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.02)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out")


class Said(Reporter):
    def __init__(self):
        super().__init__(quiet=True)
        self.lines = []

    def say(self, text):
        self.lines.append(text)


def context():
    return Context("study", None, make_backend("cpu", "fp32"), Said())


class Plan:
    """Tasks that write down when they work."""

    def __init__(self):
        self.worked = []

    def task(self, kind, *inputs, fails=None, value=1.0):
        def work(run, parents, context):
            self.worked.append((kind, [parent.read_json(CONFIG)["kind"] for parent in parents]))
            (run / "mark").write_text(kind)
            if fails is not None:
                raise fails
            return [
                Row(run=run.path.name, study=context.study, section="s", dataset="d", split="test", augmentation="a",
                    model="m", seed=0, quantity=kind, value=value, unit="nats", n=2)
            ]  # fmt: skip

        return Task(kind, 1, f"work on {kind}", {}, inputs, work)


def test_everything_is_worked_on_once_inputs_first(store):
    plan = Plan()
    a, b = plan.task("a"), plan.task("b")
    c = plan.task("c", b, a)
    where = context()
    outcome = execute([c, a], store, where)
    assert plan.worked == [("b", []), ("a", []), ("c", ["b", "a"])]
    assert set(outcome.done) == {name_of(task) for task in (a, b, c)}
    assert (outcome.fresh, outcome.failed, outcome.skipped) == (3, {}, [])
    whole = outcome.done[name_of(c)]
    assert whole.path == store.root / name_of(c)
    assert (whole / "mark").read_text() == "c"
    assert whole.read_json(ENVIRONMENT)["device"] == "cpu"
    assert [row.quantity for row in read_rows(whole)] == ["c"]
    assert where.reporter.lines == ["[1/3] work on b", "[2/3] work on a", "[3/3] work on c"]
    assert list(store.root.glob("*.lease")) == list(store.root.glob("*.partial")) == []


def test_a_second_execute_does_no_work(store):
    plan = Plan()
    tasks = [plan.task("b", plan.task("a"))]
    first = execute(tasks, store, context())
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")}
    plan.worked.clear()
    where = context()
    second = execute(tasks, store, where)
    assert plan.worked == []
    assert second.fresh == 0
    assert second.done.keys() == first.done.keys()
    assert where.reporter.lines == []
    assert {path: path.stat().st_mtime_ns for path in store.root.rglob("*.json")} == before


def test_what_is_new_in_a_plan_is_all_that_is_worked_on(store):
    plan = Plan()
    a = plan.task("a")
    execute([a], store, context())
    plan.worked.clear()
    assert execute([plan.task("b", a)], store, context()).fresh == 1
    assert plan.worked == [("b", ["a"])]


def test_a_killed_task_is_repeated_in_its_folder(store):
    plan = Plan()
    broken = plan.task("a", fails=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        execute([broken], store, context())
    assert (store.partial(name_of(broken)) / "mark").exists()
    assert execute([plan.task("a")], store, context()).fresh == 1
    assert not store.partial(name_of(broken)).path.exists()


# divergence


def test_a_diverged_task_fails_alone_and_what_builds_on_it_is_skipped(store):
    plan = Plan()
    bad = plan.task("bad", fails=DivergedError("the training loss became nan in epoch 2; try a lower learning rate."))
    on_bad = plan.task("on-bad", plan.task("good"), bad)
    last = plan.task("last", on_bad)
    fine = plan.task("fine", plan.task("good"))
    where = context()
    outcome = execute([last, fine], store, where)
    assert [kind for kind, _ in plan.worked] == ["good", "bad", "fine"]
    assert set(outcome.done) == {name_of(fine), name_of(fine.inputs[0])}
    assert outcome.failed == {name_of(bad): "the training loss became nan in epoch 2; try a lower learning rate."}
    assert set(outcome.skipped) == {name_of(on_bad), name_of(last)}
    assert outcome.fresh == 2
    recorded = store.partial(name_of(bad)).read_json(FAILED)
    assert recorded["reason"] == outcome.failed[name_of(bad)]
    assert recorded["label"] == "work on bad"
    assert store.find(name_of(bad)) is None
    said = "\n".join(where.reporter.lines)
    assert "failed: work on bad: the training loss became nan" in said
    assert "skipped: work on on-bad (an input failed)" in said
    assert "skipped: work on last (an input failed)" in said
    assert not list(store.root.glob("*.lease"))


def test_a_failed_task_is_tried_again_by_the_next_execute(store):
    plan = Plan()
    bad = plan.task("bad", fails=DivergedError("once"))
    execute([bad], store, context())
    outcome = execute([plan.task("bad")], store, context())
    assert outcome.failed == {}
    assert not (outcome.done[name_of(bad)] / FAILED).exists()


def test_an_input_error_stops_the_study_and_leaves_nothing_whole(store):
    plan = Plan()
    bad = plan.task("bad", fails=InputError("no such thing"))
    with pytest.raises(InputError, match="no such thing"):
        execute([bad, plan.task("other")], store, context())
    assert store.find(name_of(bad)) is None
    assert not list(store.root.glob("*.lease"))


# A measured NaN (a network that only just diverged) must fail its task, not end the study with a ValueError.
def test_a_row_that_is_no_number_fails_its_task_alone(store):
    plan = Plan()
    bad = plan.task("bad", value=float("nan"))
    outcome = execute([bad, plan.task("other")], store, context())
    assert set(outcome.failed) == {name_of(bad)}
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
def test_a_damaged_run_directory_is_one_error_that_names_it(store, damage):
    plan = Plan()
    tasks = [plan.task("b", plan.task("a"))]
    execute(tasks, store, context())
    folder = store.root / name_of(tasks[0].inputs[0])
    damage(folder)
    files = sorted(path.name for path in folder.iterdir())
    plan.worked.clear()
    with pytest.raises(InputError) as caught:
        execute(tasks, store, context())
    assert str(folder) in str(caught.value)
    assert sorted(path.name for path in folder.iterdir()) == files, "nothing is deleted for the user"
    assert plan.worked == []


# several workers


def test_what_another_worker_holds_is_waited_for(store, monkeypatch):
    plan = Plan()
    held, free = plan.task("held"), plan.task("free")
    naps = []
    with store.claim(name_of(held), {}) as mine:
        assert mine is not None

        def nap(seconds):
            naps.append([kind for kind, _ in plan.worked])
            if len(naps) == 3:
                raise KeyboardInterrupt

        # The module's own clock alone: file locks sleep too.
        monkeypatch.setattr(module, "time", SimpleNamespace(sleep=nap, perf_counter=time.perf_counter))
        with pytest.raises(KeyboardInterrupt):
            execute([held, free], store, context())
    assert naps == [["free"]] * 3, "what is free is done first, and what is held is not touched"


# LeaseLostError from claim's check leaves execute as a traceback, though the task only went to another worker. Catch it
# in _work around the with block (and count `fresh` after it), return None, and let the loop wait for the other.
def test_a_lost_lease_leaves_the_task_to_the_other_worker(store):
    tries = []

    def work(run, inputs, context):
        tries.append(run)
        if len(tries) == 1:  # as if this process had been stalled for a minute
            lease = run.path.with_suffix(".lease")
            lease.write_text(json.dumps({"token": "another", "host": "elsewhere", "pid": 1}))
            os.utime(lease, (0, 0))
        return []

    outcome = execute([Task("a", 1, "a", {}, (), work)], store, context())
    assert (outcome.fresh, len(outcome.done)) == (1, 1)


WORKERS = """
import os
import sys
import time
from pathlib import Path

from mixlens.analysis.interface import Task
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study import execute as module
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.progress import Reporter

module.POLL_SECONDS = 0.02


def work_together(root, who):
    def task(kind, *inputs):
        def work(run, parents, context):
            with open(root / "log", "a") as log:
                log.write(f"{kind} {who}\\n")
            time.sleep(0.05)
            return []

        return Task(kind, 1, kind, {}, inputs, work)

    first = [task(f"train-{i}") for i in range(8)]
    tasks = [task(f"measure-{i}", first[0], parent) for i, parent in enumerate(first[1:])]
    context = module.Context("study", None, make_backend("cpu", "fp32"), Reporter(quiet=True))
    return module.execute(tasks, Store(root / "out"), context)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    print("ready", flush=True)
    sys.stdin.readline()
    outcome = work_together(root, "child")
    print(outcome.fresh, len(outcome.done), flush=True)
"""


def test_two_processes_share_a_plan_and_do_each_task_once(tmp_path):
    script = tmp_path / "mixlens_tests_workers.py"
    script.write_text(WORKERS)
    spec = spec_from_file_location(script.stem, script)
    workers = module_from_spec(spec)
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
    expected = [f"measure-{i}" for i in range(7)] + [f"train-{i}" for i in range(8)]
    assert sorted(kind for kind, _ in worked) == expected
    assert {who for _, who in worked} == {"parent", "child"}
    assert ours.fresh + theirs == 15
    assert len(ours.done) == done == 15


def test_a_killed_workers_task_is_taken_over_at_once(tmp_path):
    """As above, but the child dies in the middle of its first task."""
    root = tmp_path / "out"
    store = Store(root)
    task = Plan().task("a")
    script = (
        "import sys\nfrom pathlib import Path\nfrom mixlens.analysis.store.runs import Store\n"
        "with Store(Path(sys.argv[1])).claim(sys.argv[2], {}) as run:\n"
        "    (run / 'mark').write_text('half')\n    print('ready', flush=True)\n    sys.stdin.read()\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", script, str(root), name_of(task)]
    child = subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().strip() == "ready"
    child.kill()
    child.communicate()
    began = time.monotonic()
    assert execute([task], store, context()).fresh == 1
    assert time.monotonic() - began < 10


# a disk that is full


def test_a_full_disk_stops_with_one_message_and_is_gone_on_from(store, monkeypatch):
    """What was done stays; the same plan goes on with the task that could not be written."""
    plan = Plan()
    first = plan.task("first")
    second = plan.task("second", first)
    real, written = module.write_rows, []

    def full(run, rows, seconds):
        written.append(run)
        if len(written) == 2:
            raise OSError(28, "No space left on device", str(run / RESULT))
        real(run, rows, seconds)

    monkeypatch.setattr(module, "write_rows", full)
    with pytest.raises(InputError, match=r"work on second stopped: .*result\.json: No space left on device.*go on"):
        execute([second], store, context())
    assert store.find(name_of(first)) is not None
    assert not list(store.root.glob("*.lease"))
    outcome = execute([second], store, context())
    assert set(outcome.done) == {name_of(first), name_of(second)}
    assert [kind for kind, _ in plan.worked] == ["first", "second", "second"]
