"""Readers of stored files meet anything: what they give has the types they promise, or it is one InputError."""

import io
import json
import math
import zipfile
from contextlib import suppress
from dataclasses import MISSING, asdict, fields
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Bound, Row
from mixlens.analysis.store.record import RECORD, StudyRecord, TaskRecord, read_record
from mixlens.analysis.store.results import read_rows, write_rows
from mixlens.analysis.store.runs import ARRAYS, ENVIRONMENT, HISTORY, RESULT, Run

fuzzed = settings(
    derandomize=True,  # the same examples every time
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

LETTERS = st.characters(codec="utf-8")
TEXT = st.text(LETTERS, max_size=20) | st.sampled_from(
    ["<script>", "a,b\n'c'", "=1+1", "$x$ #y", "‮אב", "é" * 300, "🜁\0"]
)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(2**63) + 1, 2**63 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.sampled_from([10**400, "done"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PARAMS = st.dictionaries(
    TEXT, st.none() | st.booleans() | WHOLE | NUMBERS | TEXT | st.lists(NUMBERS, max_size=2), max_size=3
)
OPTIONAL = st.none() | NUMBERS
ROWS = st.builds(
    Row,
    **dict.fromkeys(
        ("run", "study", "section", "dataset", "split", "augmentation", "model", "quantity", "unit", "note"), TEXT
    ),
    **dict.fromkeys(("stderr", "ci_low", "ci_high", "ceiling"), OPTIONAL),
    seed=WHOLE,
    n=WHOLE,
    value=NUMBERS,
    params=PARAMS,
    bound=st.sampled_from(get_args(Bound)),
    saturated=st.booleans(),
)
ROW = asdict(Row("r", "s", "vae", "d", "test", "fmix", "vae", 3, "rate", 0.5, "nats", 100, {"pair": "self"}, 0.1))
TASK = {
    "name": "vae-measure-0",
    "kind": "vae-measure",
    "section": "vae",
    "label": "",
    "inputs": ["vae-train-0"],
    "state": "done",
}
SETTINGS = {"data": "photos", "seeds": [0], "augmentations": ["fmix"], "sections": ["vae"], "train_size": None}
STUDY = {"name": "s", "command": "", "started": "", "runs": "../runs", "settings": SETTINGS, "tasks": [TASK]}


@st.composite
def mutated(draw, valid):
    """A key less, a key more, or any value for one."""
    content, key = dict(valid), draw(st.sampled_from(sorted(valid)))
    match draw(st.sampled_from(["drop", "add", "replace"])):
        case "drop":
            del content[key]
        case "add":
            content[draw(st.text(max_size=5))] = draw(JSON)
        case _:
            content[key] = draw(JSON)
    return content


def has_the_types_of_a_row(row):
    text = ("run", "study", "section", "dataset", "split", "augmentation", "model", "quantity", "unit", "note")
    whole = type(row.seed) is int and type(row.n) is int
    optional = [each for each in (row.stderr, row.ci_low, row.ci_high, row.ceiling) if each is not None]
    numbers = all(type(each) in (int, float) and math.isfinite(each) for each in (row.value, *optional))
    return (
        all(type(getattr(row, name)) is str for name in text)
        and whole
        and numbers
        and type(row.params) is dict
        and row.bound in get_args(Bound)
        and type(row.saturated) is bool
    )


def check_rows(run):
    with suppress(InputError):
        for row in read_rows(run):
            assert has_the_types_of_a_row(row), row


# rows


@fuzzed
@given(st.lists(ROWS, max_size=4))
def test_any_rows_are_read_as_they_were_written(tmp_path, rows):
    write_rows(Run(tmp_path), rows, 1.0)
    assert read_rows(Run(tmp_path)) == rows


@fuzzed
@given(mutated(ROW))
def test_a_changed_row_has_the_types_of_a_row_or_is_refused(tmp_path, row):
    (tmp_path / RESULT).write_text(json.dumps({"rows": [ROW, row], "seconds": 1.0}), encoding="utf-8")
    check_rows(Run(tmp_path))


@fuzzed
@given(JSON | mutated({"rows": [ROW], "seconds": 1.0}))
def test_any_json_is_rows_or_refused(tmp_path, content):
    (tmp_path / RESULT).write_text(json.dumps(content), encoding="utf-8")
    check_rows(Run(tmp_path))


@fuzzed
@given(st.data(), st.binary(max_size=50))
def test_any_bytes_are_refused(tmp_path, data, some):
    whole = json.dumps({"rows": [ROW], "seconds": 1.0}).encode()
    start = data.draw(st.integers(0, len(whole)))
    for name in (RESULT, HISTORY, RECORD):
        (tmp_path / name).write_bytes(
            data.draw(st.sampled_from([some, whole[:start] + some, whole[:start] + some + whole[start:]]))
        )
    check_rows(Run(tmp_path))
    for read in (lambda: Run(tmp_path).read_history("seconds"), lambda: read_record(tmp_path)):
        with suppress(InputError):
            read()


@pytest.mark.parametrize("name", [f.name for f in fields(Row)])
def test_a_row_of_another_type_names_its_place_and_field(tmp_path, name):
    """No field takes a list: this is what a hand-made or foreign row looks like."""
    (tmp_path / RESULT).write_text(json.dumps({"rows": [ROW, ROW | {name: [1]}], "seconds": 1.0}), encoding="utf-8")
    with pytest.raises(InputError, match=rf"result\.json is damaged.*rows, number 2: {name} must be .*found \[1\]"):
        read_rows(Run(tmp_path))


def test_a_row_of_an_older_mixlens_may_lack_what_has_a_default(tmp_path):
    old = {field.name: ROW[field.name] for field in fields(Row) if field.default is field.default_factory is MISSING}
    (tmp_path / RESULT).write_text(json.dumps({"rows": [old], "seconds": 1}), encoding="utf-8")
    (row,) = read_rows(Run(tmp_path))
    assert (row.params, row.stderr, row.bound) == ({}, None, "none")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value": True}, "value must be a number, found True"),
        ({"seed": False}, "seed must be a whole number or null, found False"),
        ({"n": 1.0}, "n must be a whole number, found 1.0"),
        ({"n": 2**63}, "n must be a whole number"),
        ({"value": None}, "value must be a number, found None"),
        ({"value": 10**400}, "value must be a number"),
        ({"saturated": 0}, "saturated must be true or false, found 0"),
        ({"bound": "above"}, "bound must be 'upper' or 'lower' or 'none', found 'above'"),
        ({"stderr": "0.1"}, "stderr must be a number or null, found '0.1'"),
        ({"vlaue": 1}, "'vlaue' is none of its fields"),
    ],
)
def test_what_is_wrong_with_a_row_is_said(tmp_path, change, words):
    (tmp_path / RESULT).write_text(json.dumps({"rows": [ROW | change], "seconds": 1.0}), encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_rows(Run(tmp_path))
    assert words in str(caught.value)
    assert "rows, number 1" in str(caught.value)


# any JSON file


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe", "codec can't decode"),
        (b'{"rows": [], "seconds": NaN}', "NaN is no number"),
        (b'{"rows": [], "seconds": 1e999}', "seconds must be a number, found inf"),
        (b'{"rows": [], "seconds": 1, "rows": []}', "a key stands twice"),
        (b'{"rows": [], "seconds": ' + b"1" * 5000 + b"}", "digits"),
        (b"[" * 100_000, "too many levels"),
        (b'{"rows": ["\\ud800"], "seconds": 1}', "surrogate"),
    ],
)
def test_what_is_no_json_of_ours_is_refused_with_the_reason(tmp_path, content, words):
    (tmp_path / RESULT).write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_rows(Run(tmp_path))
    assert words in str(caught.value)
    assert str(tmp_path / RESULT) in str(caught.value)
    assert "Delete the folder" in str(caught.value)


@pytest.mark.parametrize("name", [RESULT, HISTORY, ARRAYS, RECORD])
def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path, name):
    (tmp_path / name).mkdir()
    run = Run(tmp_path)
    read = {RESULT: lambda: read_rows(run), HISTORY: run.read_history, ARRAYS: run.read_arrays}
    with pytest.raises(InputError, match=r"(?i)is a directory"):
        read.get(name, lambda: read_record(tmp_path))()


# the record of a study


@fuzzed
@given(
    mutated(STUDY)
    | JSON
    | mutated(SETTINGS).map(lambda own: STUDY | {"settings": own})
    | mutated(TASK).map(lambda own: STUDY | {"tasks": [TASK, own]})
)
def test_any_record_is_a_record_or_refused(tmp_path, content):
    (tmp_path / RECORD).write_text(json.dumps(content), encoding="utf-8")
    with suppress(InputError):
        record = read_record(tmp_path)
        assert all(isinstance(task, TaskRecord) for task in record.tasks)
        assert all(type(getattr(record, name)) is str for name in ("name", "command", "started"))
        assert all(type(seed) is int for seed in record.settings["seeds"])
        assert all(type(each) is str for key in ("augmentations", "sections") for each in record.settings[key])
        with suppress(InputError):
            record.rows()


@pytest.mark.parametrize("name", ["../..", "..", ".", "", "/etc", "a/b", "a\\b", "a\0b", ".leases.lock"])
@pytest.mark.parametrize("key", ["name", "inputs"])
def test_a_task_does_not_lead_out_of_the_runs(tmp_path, name, key):
    task = TASK | {key: name if key == "name" else [name]}
    (tmp_path / RECORD).write_text(json.dumps(STUDY | {"tasks": [task]}), encoding="utf-8")
    with pytest.raises(InputError, match=r"tasks, number 1: .* is no name of a run's folder.*Run the study again"):
        read_record(tmp_path)


def test_a_row_does_not_lead_to_another_run(tmp_path):
    run = Run(tmp_path / "vae-measure-0")
    run.path.mkdir()
    run.write_json(ENVIRONMENT, {})
    write_rows(run, [Row(**ROW | {"run": "../../elsewhere"})], 1.0)
    task = TaskRecord("vae-measure-0", "vae-measure", "vae", "", (), "done")
    record = StudyRecord(tmp_path, "s", "", {}, "", tmp_path, (task,))
    with pytest.raises(InputError, match=r"rows, number 1: of the run '\.\./\.\./elsewhere'"):
        record.rows()


@pytest.mark.parametrize(
    "change", [{"tasks": {}}, {"settings": SETTINGS | {"seeds": ["0"]}}, {"started": 3}, {"runs": None}]
)
def test_a_record_of_another_kind_is_refused(tmp_path, change):
    (tmp_path / RECORD).write_text(json.dumps(STUDY | change), encoding="utf-8")
    with pytest.raises(InputError, match=r"study\.json is not a mixlens study record.*must be"):
        read_record(tmp_path)


# histories and arrays


@fuzzed
@given(st.lists(mutated({"epoch": 1, "seconds": 1.0}), max_size=2))
def test_any_history_has_numbers_in_its_columns_or_is_refused(tmp_path, records):
    text = "".join(json.dumps(record) + "\n" for record in records)
    (tmp_path / HISTORY).write_text(text, encoding="utf-8")
    with suppress(InputError):
        found = Run(tmp_path).read_history("epoch", "seconds")
        assert found
        assert all(math.isfinite(epoch[column]) for epoch in found for column in ("epoch", "seconds"))


def archive(header):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as file:
        file.writestr("a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return made.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK\x03\x04",
        archive(b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,)}\n"),
        archive(b"{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n"),
        archive(b"__import__('os')\n"),
    ],
    ids=["empty", "cut", "larger than any memory", "pickled", "code"],
)
def test_arrays_of_another_kind_are_refused(tmp_path, content):
    (tmp_path / ARRAYS).write_bytes(content)
    with pytest.raises(InputError, match=r"arrays\.npz is damaged or not ours"):
        Run(tmp_path).read_arrays()


@fuzzed
@given(st.data())
def test_a_changed_byte_of_arrays_gives_arrays_or_is_refused(tmp_path, data):
    np.savez_compressed(tmp_path / ARRAYS, a=np.arange(20.0))
    path = Path(tmp_path / ARRAYS)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(InputError):
        assert all(isinstance(array, np.ndarray) for array in Run(tmp_path).read_arrays("a").values())
