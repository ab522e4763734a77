import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import jobs
import pytest
from helpers import checkerboards, context_of, tiny_dataset, tiny_study

from mixlens.analysis.store.lease import Lease
from mixlens.analysis.store.record import StudyRecord
from mixlens.analysis.store.runs import RESULT, Store
from mixlens.analysis.study.executors.local import Outcome, execute, task_records
from mixlens.analysis.study.progress import Progress, progress
from mixlens.cli.tables import progress_words


@pytest.fixture
def record(tmp_path):
    """Three tasks: one done, one that failed, and one that waits on it."""
    jobs.forget()
    images = checkerboards(16, 1)
    context = context_of(tiny_study("vae"), tiny_dataset(images, images))
    good, bad = jobs.task("a"), jobs.task("b")
    tasks, store, outcome = [good, jobs.task("c", bad)], Store(tmp_path / "runs"), Outcome()
    jobs.fails["b"] = RuntimeError("it broke")
    execute([good, bad, tasks[1]], store, context, outcome)
    listed = tuple(task_records([good, bad, tasks[1]], store, outcome))
    return StudyRecord(tmp_path, "s", "", {"seeds": [0], "augmentations": []}, "", store.root, listed)


def test_each_task_stands_where_it_stands(record):
    now = progress(record)
    assert {one.task.kind: one.state for one in now.tasks} == {"a": "done", "b": "failed", "c": "waiting"}
    assert "it broke" in next(one.words for one in now.tasks if one.state == "failed")
    assert now.seconds_left is None, "nobody works"


@pytest.fixture
def at_work(tmp_path):
    """Of one kind: one that took 100 s; then so many at work for so many seconds, and so many that wait."""
    jobs.forget()
    images = checkerboards(16, 1)
    context = context_of(tiny_study("vae"), tiny_dataset(images, images))
    store, leases = Store(tmp_path / "runs"), []

    def made(working, waiting, more=()):
        tasks = [jobs.task("a", seed=seed) for seed in range(1 + len(working) + waiting)]
        outcome = execute(tasks[:1], store, context)
        result = outcome.done[tasks[0].name] / RESULT
        result.write_text(json.dumps({"rows": [], "seconds": 100.0}))  # as older runs, without checksums
        for task, seconds in zip(tasks[1:], working, strict=False):
            lease = Lease(store.root, task.name)
            assert lease.acquire()
            leases.append(lease)
            since = datetime.now(UTC) - timedelta(seconds=seconds)
            content = json.loads(lease.path.read_text()) | {"since": since.isoformat(timespec="seconds")}
            lease.path.write_text(json.dumps(content))
        listed = tuple(task_records([*tasks, *more], store, outcome))
        return StudyRecord(tmp_path, "s", "", {"seeds": [0], "augmentations": []}, "", store.root, listed)

    yield made
    for lease in leases:
        lease.release()


@pytest.mark.parametrize(
    ("working", "waiting", "seconds"),
    [
        ([0, 0], 3, 500 / 2),
        ([0, 60], 3, (100 + 40 + 300) / 2),  # the second has been at it for a while
        ([0, 500], 0, 100),  # as long as the longest takes, though the other is overdue
        ([500], 0, 0),
    ],
)
def test_what_is_left_goes_to_those_at_work(working, waiting, seconds, at_work):
    now = progress(at_work(working, waiting))
    assert now.seconds_left == pytest.approx(seconds, abs=3)
    assert now.unknown == ()
    assert "until 20" in progress_words(now)[-1]
    assert progress_words(now)[-1].startswith("about ")


def test_of_what_nothing_is_known_is_said(at_work):
    now = progress(at_work([0], 1, more=[jobs.task("never"), jobs.task("never", seed=1)]))
    assert now.seconds_left == pytest.approx(200, abs=3)
    line = progress_words(now)[-1]
    assert line.startswith("at least 3 min")
    assert line.endswith("; never: none is done")


def test_no_end_is_known_where_only_such_tasks_are_left(at_work):
    record = at_work([], 0, more=[jobs.task("never")])
    lease = Lease(record.runs, record.tasks[1].name)
    assert lease.acquire()
    assert progress_words(progress(record))[-1] == "no end is known: never: none is done"
    lease.release()


def test_a_task_that_killed_its_workers_has_failed(record):
    """No process was left to write that into its folder; the study's record has it."""
    c = replace(record.tasks[2], state="failed", reason="4 workers died of it")
    now = progress(replace(record, tasks=(*record.tasks[:2], c)))
    assert now.tasks[2].state == "failed"
    assert now.tasks[2].words == "4 workers died of it"


def test_without_anybody_at_work_no_end_is_expected():
    assert progress_words(Progress((), None)) == []
