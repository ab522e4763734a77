import json
import math

import pytest

from mixlens.analysis.interface import Row
from mixlens.analysis.store.results import COLUMNS, read_rows, table, write_rows
from mixlens.analysis.store.runs import RESULT, Run


def row(**changes):
    own = {"run": "vae-measure-0", "study": "s", "section": "vae", "dataset": "d", "split": "test", "model": "vae"}
    own |= {"augmentation": "fmix(alpha=0.2)", "seed": 3, "quantity": "rate", "value": 0.1 + 0.2, "unit": "nats"}
    return Row(**{**own, "n": 100, **changes})


ROWS = [
    row(params={"pair": "self", "epsilon": 0.5}, stderr=1e-17, bound="upper", note="x̂ ‖ N(0, I)"),
    row(ci_low=-1.0, ci_high=math.pi, seed=4),
]


def test_rows_round_trip_exactly(tmp_path):
    run = Run(tmp_path)
    write_rows(run, ROWS, 1.23456)
    assert read_rows(run) == ROWS
    assert run.read_json(RESULT)["seconds"] == 1.235


def test_no_rows_are_a_result_too(tmp_path):
    write_rows(Run(tmp_path), [], 0.0)
    assert read_rows(Run(tmp_path)) == []


def test_a_row_that_is_not_a_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_rows(Run(tmp_path), [row(value=float("nan"))], 0.0)
    assert not (tmp_path / RESULT).exists()


def test_the_table_has_the_columns_of_a_row():
    frame = table(ROWS)
    assert tuple(frame.columns) == COLUMNS
    assert {"run", "study", "section", "augmentation", "seed", "quantity", "value", "stderr", "bound"} <= set(COLUMNS)
    assert len(frame) == 2
    assert frame["value"].tolist() == [0.1 + 0.2] * 2
    assert frame["seed"].tolist() == [3, 4]


def test_params_become_text_that_groups():
    frame = table([row(params={"b": 1, "a": 2}), row(params={"a": 2, "b": 1}), row()])
    assert frame["params"].nunique() == 2
    assert json.loads(frame["params"][0]) == {"a": 2, "b": 1}
    assert frame.groupby("params").size().tolist() == [2, 1]


def test_an_empty_table_still_has_its_columns():
    frame = table([])
    assert tuple(frame.columns) == COLUMNS
    assert frame.empty
