import errno
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from nfs import remembering

from mixlens.analysis.errors import InputError
from mixlens.analysis.schema import canonical, key_of
from mixlens.analysis.store import runs
from mixlens.analysis.store.lease import LeaseLostError
from mixlens.analysis.store.record import write_record
from mixlens.analysis.store.results import read_rows, write_rows
from mixlens.analysis.store.runs import (
    ARRAYS,
    CHECKPOINT,
    CONFIG,
    FAILED,
    HISTORY,
    MODEL,
    RESULT,
    Run,
    Store,
    replace_files,
)
from mixlens.analysis.training.checkpoint import save_weights

TASK = {"kind": "thing", "version": 1, "config": {"seed": 0}, "inputs": []}
NAME = f"thing-{key_of(TASK)[:16]}"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "out")


def finish(store, name=NAME, config=TASK):
    with store.claim(name, config) as run:
        write_rows(run, [], 1.0)
    return store.find(name)


# keys


def test_the_key_is_the_sha256_of_sorted_compact_json():
    assert canonical({"b": [1, 2.5], "a": None}) == '{"a":null,"b":[1,2.5]}'
    # sha256sum of that text: a stored name must never move
    assert key_of({"b": [1, 2.5], "a": None}) == "e57f5d37865437a82e1108bafb4e5213dfe7e9085f5c253341ebbab30cac5faf"


def test_the_key_depends_on_content_not_on_order():
    assert key_of({"a": {"x": 1, "y": 2}, "b": 3}) == key_of({"b": 3, "a": {"y": 2, "x": 1}})
    assert key_of({"a": [1, 2]}) != key_of({"a": [2, 1]})
    assert key_of({"a": 1}) != key_of({"a": "1"})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x", object()])
def test_what_has_no_canonical_text_is_refused(value):
    with pytest.raises((ValueError, TypeError)):
        key_of({"a": value})


# from partial to whole


def test_a_finished_task_is_renamed_and_its_checkpoint_dropped(store):
    with store.claim(NAME, TASK) as run:
        assert run.path.name == f"{NAME}.partial"
        assert run.read_json(CONFIG) == TASK
        (run / CHECKPOINT).write_bytes(b"state")
        assert store.find(NAME) is None
        write_rows(run, [], 1.0)
        assert store.find(NAME) is None, "whole only once renamed"
    whole = store.find(NAME)
    assert whole.path == store.root / NAME
    assert not (whole / CHECKPOINT).exists()
    assert sorted(path.name for path in store.root.iterdir() if path.name[0] != ".") == [NAME]


def test_a_block_without_a_result_stays_partial(store):
    with store.claim(NAME, TASK) as run:
        (run / CHECKPOINT).write_bytes(b"state")
    assert store.find(NAME) is None
    assert (store.partial(NAME) / CHECKPOINT).read_bytes() == b"state"


def test_a_block_that_raises_stays_partial_and_is_free_for_the_next(store):
    with pytest.raises(RuntimeError, match="killed"), store.claim(NAME, TASK) as run:  # noqa: PT012
        (run / CHECKPOINT).write_bytes(b"state")
        raise RuntimeError("killed")
    assert store.find(NAME) is None
    with store.claim(NAME, TASK) as run:
        assert (run / CHECKPOINT).read_bytes() == b"state"


def test_the_next_try_clears_what_a_killed_one_claimed(store):
    left = store.partial(NAME)
    left.path.mkdir()
    for name in (RESULT, FAILED):
        (left / name).write_text("{}")
    with store.claim(NAME, TASK) as run:
        assert not (run / RESULT).exists()
        assert not (run / FAILED).exists()
    assert store.find(NAME) is None, "a left-over result must not make the folder whole"


def test_what_was_killed_at_the_rename_is_whole_for_the_next(store, monkeypatch):
    def killed(*args):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), store.claim(NAME, TASK) as run:  # noqa: PT012
        (run / CHECKPOINT).write_bytes(b"state")
        run.write_arrays({"a": np.arange(3)})
        write_rows(run, [], 1.0)
        monkeypatch.setattr(runs.os, "replace", killed)
    monkeypatch.undo()
    assert store.find(NAME) is None
    with store.claim(NAME, TASK) as run:
        assert run is None, "nothing is left to do"
    whole = store.find(NAME)
    assert whole.read_arrays()["a"].tolist() == [0, 1, 2]
    assert not (whole / CHECKPOINT).exists()


@pytest.mark.parametrize("name", [ARRAYS, CONFIG, RESULT])
def test_a_result_whose_files_are_not_all_whole_is_made_again(store, name):
    with pytest.raises(RuntimeError), store.claim(NAME, TASK) as run:  # noqa: PT012
        run.write_arrays({"a": np.arange(3)})
        write_rows(run, [], 1.0)
        path = run / name
        path.write_bytes(path.read_bytes()[:-9])
        raise RuntimeError
    with store.claim(NAME, TASK) as run:
        assert run is not None
        assert not (run / RESULT).exists()


@pytest.mark.parametrize("name", [".tmpA8xYz1", ".config.json-0f.tmp", "checkpoint.safetensors.tmp"])
def test_what_a_killed_writer_had_aside_is_gone(store, name):
    store.partial(NAME).path.mkdir()
    (store.partial(NAME) / name).write_bytes(b"half")
    finish(store)
    assert not (store.find(NAME) / name).exists()


# What a whole run holds is known by its checksums


@pytest.fixture
def whole(store):
    with store.claim(NAME, TASK) as run:
        run.write_arrays({"a": np.arange(100.0)})
        run.write_history([{"epoch": 1, "loss": 0.5}])
        (run / MODEL).write_bytes(bytes(range(256)))
        write_rows(run, [], 1.0)
    return store.find(NAME)


READERS = {
    ARRAYS: lambda run: run.read_arrays("a"),
    HISTORY: lambda run: run.read_history("loss"),
    MODEL: lambda run: run.checked(MODEL),
    RESULT: lambda run: read_rows(run),
    CONFIG: lambda run: run.check(),
}


@pytest.mark.parametrize("name", READERS)
def test_every_flipped_bit_is_noticed(whole, name):
    content = (whole / name).read_bytes()
    before = READERS[name](Run(whole.path))
    for place in range(0, 8 * len(content), max(1, len(content) // 12)):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        (whole / name).write_bytes(changed)
        try:
            found = READERS[name](Run(whole.path))
        except InputError as error:
            assert str(whole.path) in str(error)  # noqa: PT017
            continue
        assert (name, found) == (RESULT, before), "only a space between two words of JSON may be another"


@pytest.mark.parametrize("name", [ARRAYS, HISTORY, MODEL])
@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_run_whose_files_went_is_not_taken_for_done(store, whole, name, damage):
    damage(whole / name)
    with pytest.raises(InputError, match=name.replace(".", r"\.")):
        store.find(NAME)


def test_an_older_run_without_checksums_is_read(store, whole):
    whole.write_json(RESULT, {"rows": [], "seconds": 1.0})
    assert read_rows(store.find(NAME)) == []
    assert store.find(NAME).read_arrays("a")["a"].sum() == 4950


def test_a_file_that_may_not_be_read_is_not_called_damaged(whole, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(runs.Path, "read_bytes", refuse)
    with pytest.raises(InputError, match=r"cannot be read: Permission denied") as caught:
        Run(whole.path).read_json(CONFIG)
    assert "Delete" not in str(caught.value)


def test_a_finished_task_is_not_claimed_again(store):
    finish(store)
    with store.claim(NAME, TASK) as run:
        assert run is None
    assert not store.partial(NAME).path.exists()


def test_a_claimed_task_is_not_claimed_by_another(store):
    with store.claim(NAME, TASK) as mine, Store(store.root).claim(NAME, TASK) as other:
        assert mine is not None
        assert other is None
    with store.claim(NAME, TASK) as again:
        assert again is not None, "the lease was given back"


def test_a_worker_that_lost_its_lease_does_not_rename(store):
    lease = store.root / f"{NAME}.lease"
    with pytest.raises(LeaseLostError, match=NAME), store.claim(NAME, TASK) as run:  # noqa: PT012
        (run / CHECKPOINT).write_bytes(b"state")
        write_rows(run, [], 1.0)
        lease.write_text(json.dumps({"token": "another", "host": "elsewhere", "pid": 1}))
    assert store.find(NAME) is None
    assert (store.partial(NAME) / CHECKPOINT).exists()
    assert json.loads(lease.read_text())["token"] == "another", "the other's lease is left alone"


# atomic files


def test_json_is_written_aside_and_replaced(tmp_path, monkeypatch):
    run = Run(tmp_path)
    run.write_json("a.json", {"x": 1})

    def killed(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        run.write_json("a.json", {"x": 2})
    assert run.read_json("a.json") == {"x": 1}


def test_nan_never_reaches_a_json_file(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        Run(tmp_path).write_json("a.json", {"x": float("nan")})
    assert not (tmp_path / "a.json").exists()


def test_history_and_arrays_round_trip(tmp_path):
    run = Run(tmp_path)
    refused(run.read_history, run.path)
    refused(run.read_arrays, run.path)
    records = [{"epoch": 1, "loss": 0.1}, {"epoch": 2, "loss": 1e-9}]
    run.write_history(records)
    assert run.read_history("epoch", "loss") == records
    refused(lambda: run.read_history("epoch", "rate"), run.path)
    arrays = {"a": np.arange(6, dtype=np.uint8).reshape(2, 3), "b": np.array([0.1, np.pi], dtype=np.float32)}
    run.write_arrays(arrays)
    read = run.read_arrays()
    assert sorted(read) == ["a", "b"]
    for name, array in arrays.items():
        assert read[name].dtype == array.dtype
        assert np.array_equal(read[name], array)


def test_arrays_of_objects_are_refused(tmp_path):
    with pytest.raises(AssertionError):
        Run(tmp_path).write_arrays({"a": np.array([{}], dtype=object)})


# damaged and foreign folders: one InputError that names the folder and says what to do


def refused(action, folder):
    with pytest.raises(InputError) as caught:
        action()
    assert str(folder) in str(caught.value)
    return str(caught.value)


def test_an_edited_config_is_refused(store):
    whole = finish(store)
    whole.write_json(CONFIG, TASK | {"version": 2})
    assert "Delete the folder" in refused(lambda: store.find(NAME), whole.path)


def test_a_folder_copied_to_another_name_is_refused(store):
    finish(store)
    other = f"thing-{'0' * 16}"
    (store.root / NAME).rename(store.root / other)
    assert "edited or copied" in refused(lambda: store.find(other), store.root / other)


@pytest.mark.parametrize("content", ["", '{"rows": [', "[]x", "\ufeff"])
@pytest.mark.parametrize("name", [CONFIG, RESULT])
def test_truncated_json_is_refused(store, name, content):
    whole = finish(store)
    (whole / name).write_text(content)
    message = refused(lambda: store.find(NAME), whole.path)
    assert name in message
    assert "Delete the folder" in message


def test_bytes_that_are_no_text_are_refused(store):
    whole = finish(store)
    (whole / RESULT).write_bytes(b"\xff\xfe\x00")
    refused(lambda: store.find(NAME), whole.path)


@pytest.mark.parametrize("config", [[], 3, "text", None])
def test_a_config_that_is_no_mapping_is_refused(store, config):
    whole = finish(store)
    whole.write_json(CONFIG, config)
    refused(lambda: store.find(NAME), whole.path)


@pytest.mark.parametrize("missing", [CONFIG, RESULT])
def test_a_foreign_folder_is_refused(store, missing):
    whole = finish(store)
    (whole / missing).unlink()
    message = refused(lambda: store.find(NAME), whole.path)
    assert "no folder of a mixlens run or study" in message
    assert missing in message


@pytest.mark.parametrize("content", [{}, [], {"rows": 3}, {"rows": [{"odd": 1}]}, {"rows": [3]}])
def test_a_result_without_rows_is_refused(store, content):
    whole = finish(store)
    whole.write_json(RESULT, content)
    assert "Delete the folder" in refused(lambda: read_rows(whole), whole.path)


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.95])
def test_truncated_arrays_are_refused(store, keep):
    whole = finish(store)
    whole.write_arrays({"a": np.random.default_rng(0).random(1000)})
    path = whole / "arrays.npz"
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    assert "Delete the folder" in refused(whole.read_arrays, whole.path)


def test_pickled_arrays_are_refused(store):
    whole = finish(store)
    np.savez(whole / "arrays.npz", a=np.array([{}], dtype=object))
    refused(whole.read_arrays, whole.path)


def test_truncated_history_is_refused(store):
    whole = finish(store)
    (whole / HISTORY).write_text('{"epoch": 1}\n{"epo')
    refused(whole.read_history, whole.path)


# the output folder


def test_an_output_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    for root in (tmp_path / "file" / "out", tmp_path / "file"):
        with pytest.raises(InputError, match="cannot write to the output folder") as caught:
            Store(root)
        assert str(root) in str(caught.value)
        assert "--out" in str(caught.value)


def test_opening_a_store_leaves_nothing_behind(tmp_path):
    Store(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


# a disk that is full


@contextmanager
def small_files():
    """No file may hold more than 4,096 bytes: a longer write fails in its middle. Not longer than that write lasts."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_files_that_cannot_all_be_written_stay_as_they_were(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    replace_files({one: b"old", two: b"old"})
    with pytest.raises(OSError, match="File too large"), small_files():
        replace_files({one: b"new", two: b"n" * 10_000})
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"one": b"old", "two": b"old"}


@pytest.mark.parametrize("write", ["json", "history", "weights"])
def test_what_cannot_be_written_in_full_leaves_the_old_file(tmp_path, write):
    run = Run(tmp_path)
    writers = {
        "json": lambda size: run.write_json("a.json", {"x": "y" * size}),
        "history": lambda size: run.write_history([{"epoch": 1.0}] * size),
        "weights": lambda size: save_weights(run / MODEL, torch.nn.Linear(size, 1)),
    }
    writers[write](10)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(OSError, match="File too large"), small_files():
        writers[write](5000)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_record_that_cannot_be_written_is_one_message_and_the_old_stays(tmp_path):
    facts = {"name": "s", "settings": {}, "started": "", "runs": tmp_path, "tasks": ()}
    write_record(tmp_path, command="old", **facts)
    before = (tmp_path / "study.json").read_bytes()
    refused = pytest.raises(InputError, match=f"cannot write the study's record in {tmp_path}: File too large")
    with refused, small_files():
        write_record(tmp_path, command="n" * 10_000, **facts)
    assert [path.name for path in tmp_path.iterdir()] == ["study.json"]
    assert (tmp_path / "study.json").read_bytes() == before


def test_many_may_write_one_file_at_once(tmp_path):
    """Workers that share a study each write its record; with one name aside, one took the other's away."""
    path = tmp_path / "study.json"

    def write(number):
        for _ in range(200):
            replace_files({path: str(number).encode() * 1000})

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    assert path.read_bytes() in {str(number).encode() * 1000 for number in range(4)}
    assert list(tmp_path.iterdir()) == [path]


FINISH = """
import json
import sys
from pathlib import Path
from mixlens.analysis.store.runs import Store

with Store(Path(sys.argv[1])).claim(sys.argv[2], json.loads(sys.argv[3])) as run:
    run.write_result({})
"""


def test_what_another_machine_has_finished_is_not_done_again(tmp_path):
    """On NFS, where this one remembers that it was not there a moment ago."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with remembering(tmp_path):
        store = Store(tmp_path)
        assert store.find(NAME) is None
        subprocess.run(
            [sys.executable, "-c", FINISH, str(tmp_path), NAME, json.dumps(TASK)], env=environment, check=True
        )
        assert store.find(NAME) is None, "the stand-in does what it says"
        with store.claim(NAME, TASK) as run:
            assert run is None
        assert store.find(NAME) is not None


def test_where_two_finish_the_same_the_first_stays(tmp_path):
    """Both had it: one was stalled for so long that it lost its lease, and noticed after its last look."""
    store = Store(tmp_path)
    with store.claim(NAME, TASK) as run:
        run.write_result({})
        (tmp_path / NAME).mkdir()
        (tmp_path / NAME / RESULT).write_text("the other's")
    assert (tmp_path / NAME / RESULT).read_text() == "the other's"
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == [NAME]
