import errno

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.schema import key_of
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import ENVIRONMENT, Store, sha256_of
from mixlens.analysis.store.survey import removable, runs_of, survey

TASKS = [{"kind": "thing", "version": 1, "config": {"seed": seed}, "inputs": []} for seed in range(3)]
NAMES = [f"thing-{key_of(task)[:16]}" for task in TASKS]


@pytest.fixture
def runs(tmp_path):
    store = Store(tmp_path / "runs")
    for name, task in zip(NAMES, TASKS, strict=True):
        with store.claim(name, task) as run:
            run.write_json(ENVIRONMENT, {})
            write_rows(run, [], 1.0)
    return store.root


def states(runs):
    return {one.path.name: one.state for one in survey(runs)}


def test_each_run_is_what_it_is(runs):
    (runs / NAMES[0] / ENVIRONMENT).write_text("{ }")
    (runs / NAMES[1]).rename(runs / f"{NAMES[1]}.partial")
    lease = f"thing-{'0' * 16}.lease"
    (runs / lease).write_text("{}")
    expected = {NAMES[0]: "damaged", f"{NAMES[1]}.partial": "begun", NAMES[2]: "whole", lease: "left over"}
    assert states(runs) == expected
    assert len(removable(list(survey(runs)))) == 4, "no study lists the whole one either"


def test_what_another_tool_has_in_a_folder_of_that_name_is_none_of_ours(runs):
    (runs / "Nov29_12-00-00_host").mkdir()
    (runs / "Nov29_12-00-00_host" / "events.out.tfevents.1").write_text("theirs")
    for name in ("notes.txt", ".DS_Store", "a.tmp", "their.lease"):
        (runs / name).write_text("theirs")
    assert states(runs) == dict.fromkeys(NAMES, "whole")


def test_the_folder_may_be_that_of_the_runs_or_above(runs, tmp_path):
    assert runs_of(tmp_path) == runs_of(runs) == runs
    with pytest.raises(InputError, match="holds no runs and no study"):
        runs_of(tmp_path / "runs" / NAMES[0])


def test_what_cannot_be_read_is_not_taken_for_damaged_and_stays(runs, monkeypatch):
    def refusing(path):
        if path.parent.name == NAMES[0]:
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return sha256_of(path)

    monkeypatch.setattr("mixlens.analysis.store.runs.sha256_of", refusing)
    assert states(runs) == {NAMES[0]: "unread", NAMES[1]: "whole", NAMES[2]: "whole"}
    left = {one.path.name for one in removable(list(survey(runs)))}
    assert left == {*NAMES[1:]}, "those that no study lists"
