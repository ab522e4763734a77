"""The plan that --dry-run shows: what is done, what it took."""

import json
from dataclasses import replace
from unittest.mock import Mock

import jobs
import pytest
from rich.console import Console

from mixlens.analysis.store.runs import CONFIG, RESULT, Store
from mixlens.analysis.study import forecast as module
from mixlens.analysis.study.forecast import forecast
from mixlens.analysis.study.stopwatch import Measured
from mixlens.cli.tables import for_workers, plan_table


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


def test_several_workers_take_their_part_of_the_time():
    assert for_workers(3600, None) == for_workers(3600, 1) == "1 h 00 min for one worker"
    assert for_workers(3600, 4) == "1 h 00 min for one worker, at least 15 min 00 s for 4"


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
        "s: 4 tasks, 1 done, 3 left; about 3 min 00 s for one worker, without 1 of which no time is known."
    )


def lines(table):
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return [" ".join(line.split()) for line in capture.get().splitlines() if line.strip("─ ")]


def test_a_line_for_each_kind_of_task(store):
    finish(store, task(seed=0), 90.0)
    (store.root / f"{task(seed=1).name}.partial").mkdir()
    planned = forecast([task(seed=0), task(seed=1), task(seed=2), task("other")], store)
    assert lines(plan_table("s", planned))[:3] == [
        "task number done begun each takes left known from memory",
        "train 3 1 1 1 min 30 s 3 min 00 s past runs",
        "other 1 0 0",
    ]


# where no such run is there


@pytest.fixture
def timed(monkeypatch):
    """Every network takes half a second an image and 2 GB; which trainings were timed, in which precision."""
    seen = []

    def measured(asked, context, precision):
        seen.append((asked.label, precision))
        return Measured(0.5, asked.images, 2_000_000_000)

    monkeypatch.setattr(module, "time_training", measured)
    return seen


def trained(seed=0, epochs=3, precision="bf16"):
    asked = task(seed=seed, epochs=epochs)
    return replace(asked, images=10.0 * epochs, precision=precision, label=f"train {epochs} {seed}")


CONTEXT = Mock()


def test_a_step_of_each_kind_of_training_is_timed_once(store, timed):
    planned = forecast([trained(0), trained(1), trained(0, epochs=5)], store, CONTEXT)
    assert timed == [("train 5 0", "bf16")], "the last: the first is the baseline"
    assert [(one.seconds, one.source, one.memory) for one in planned] == [
        (15.0, "measured step", 2_000_000_000),
        (15.0, "measured step", 2_000_000_000),
        (25.0, "measured step", 2_000_000_000),
    ]


def test_variants_of_other_lengths_share_what_was_timed(store, timed):
    known = {}
    forecast([trained(0)], store, CONTEXT, known)
    assert forecast([trained(0, epochs=5)], store, CONTEXT, known)[0].seconds == 25.0
    assert len(timed) == 1


def test_a_recipe_that_trains_for_longer_than_the_task_says(store, monkeypatch):
    monkeypatch.setattr(module, "time_training", lambda task, *_: Measured(0.5, 2 * task.images, None))
    assert forecast([trained(0)], store, CONTEXT)[0].seconds == 30.0


def test_passes_of_what_measures_a_network_in_its_own_precision(store, timed):
    swept = replace(task("sweep", inputs=[trained()]), images=200.0)
    table = replace(task("table", inputs=[swept]), images=5.0)
    planned = {one.kind: one for one in forecast([swept, table, task("draw")], store, CONTEXT)}
    assert timed == [("train 3 0", "bf16"), ("train 3 0", "fp32")]
    assert (planned["sweep"].seconds, planned["sweep"].source) == (100.0, "measured step × passes")
    assert planned["sweep"].memory is None, "of the training's step"
    for kind in ("table", "draw"):  # measures no network; says nothing of images
        assert (planned[kind].seconds, planned[kind].source) == (None, "not estimated")


def test_past_runs_come_first_and_what_is_done_is_not_timed(store, timed):
    finish(store, trained(0), 90.0)
    swept = task("sweep", inputs=[trained(0)])
    finish(store, swept, 1.0)
    assert [one.source for one in forecast([swept, trained(1)], store, CONTEXT)] == ["past runs"] * 3
    assert timed == []


def test_why_a_training_cannot_be_timed_is_in_the_table(store, monkeypatch):
    monkeypatch.setattr(module, "time_training", lambda *_: "the device's memory does not hold it")
    shown = lines(plan_table("s", forecast([trained()], store, CONTEXT)))
    assert shown[1] == "train 1 0 0 not estimated: the device's memory does not hold it"
    assert shown[2] == "s: 1 tasks, 0 done, 1 left; no time is known."
