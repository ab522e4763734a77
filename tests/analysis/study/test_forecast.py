"""The plan that --dry-run shows: what is done, what it took."""

import json

import jobs
import pytest

from mixlens.analysis.store.runs import CONFIG, RESULT, Store
from mixlens.analysis.study.forecast import forecast
from mixlens.cli.tables import plan_table


def task(kind="train", seed=0, epochs=3, inputs=()):
    return jobs.task(kind, *inputs, seed=seed, epochs=epochs)


def finish(store, done, seconds, history=None):
    folder = store.root / done.name
    folder.mkdir()
    (folder / CONFIG).write_text(json.dumps(done.settings), encoding="utf-8")
    (folder / RESULT).write_text(json.dumps({"rows": [], "seconds": seconds}), encoding="utf-8")
    if history:
        lines = "".join(json.dumps({"epoch": i, "seconds": s}) + "\n" for i, s in enumerate(history))
        (folder / "history.jsonl").write_text(lines, encoding="utf-8")


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "runs")


def test_states_and_the_median_of_runs_that_differ_only_in_seed_or_augmentation(store):
    first, second, third = task(seed=0), task(seed=1), task(seed=2)
    other = task(epochs=9)
    finish(store, first, 10.0)
    finish(store, second, 30.0)
    (store.root / f"{third.name}.partial").mkdir()
    last = task("measure", inputs=[third])
    planned = forecast([first, second, last, other], store)
    assert [(p.state, p.seconds) for p in planned] == [
        ("done", 20.0),
        ("done", 20.0),
        ("begun", 20.0),
        ("to do", None),
        ("to do", None),
    ]


def test_a_resumed_training_took_all_its_epochs(store):
    finish(store, task(seed=0), 5.0, history=[10.0, 10.0, 12.0])
    assert forecast([task(seed=1)], store)[0].seconds == 32.0


def test_a_foreign_folder_is_nothing_to_go_by(store):
    (store.root / "train-0123456789abcdef").mkdir()
    assert forecast([task()], store)[0].seconds is None


def test_the_table_adds_up_what_is_left(store):
    finish(store, task(seed=0), 90.0)
    table = plan_table("s", forecast([task(seed=0), task(seed=1), task(seed=2), task("other")], store))
    assert table.renderables[1] == (
        "s: 4 tasks, 1 done, 3 left; about 3 min 00 s for one worker; no past run to go by for 1."
    )
