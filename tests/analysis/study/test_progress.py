import jobs
import pytest
from helpers import checkerboards, context_of, tiny_dataset, tiny_study

from mixlens.analysis.store.record import StudyRecord
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.executors.local import Outcome, execute, task_records
from mixlens.analysis.study.progress import progress


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
