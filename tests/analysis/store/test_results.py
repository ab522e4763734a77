import json
import math

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Row
from mixlens.analysis.store.results import FACTS, read_rows, table, write_rows
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


@pytest.mark.parametrize("indent", [1, 2, None])
def test_a_result_set_otherwise_is_the_same_and_one_of_another_value_is_damaged(tmp_path, indent):
    """Its checksum is of the values, whatever stands between them."""
    write_rows(Run(tmp_path), ROWS, 1.0)
    content = json.loads((tmp_path / RESULT).read_text(encoding="utf-8"))
    (tmp_path / RESULT).write_text(json.dumps(content, indent=indent), encoding="utf-8")
    assert read_rows(Run(tmp_path)) == ROWS
    content["rows"][1]["n"] = 101
    (tmp_path / RESULT).write_text(json.dumps(content, indent=indent), encoding="utf-8")
    with pytest.raises(InputError, match=r"result\.json is damaged .*\(its checksum is another\)"):
        read_rows(Run(tmp_path))


def test_no_rows_are_a_result_too(tmp_path):
    write_rows(Run(tmp_path), [], 0.0)
    assert read_rows(Run(tmp_path)) == []


def test_a_row_that_is_not_a_number_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_rows(Run(tmp_path), [row(value=float("nan"))], 0.0)
    assert not (tmp_path / RESULT).exists()


def test_the_table_has_the_columns_of_a_row_and_of_its_params():
    frame = table(ROWS)
    assert tuple(frame.columns) == (*FACTS, "pair", "epsilon")
    assert {"run", "study", "section", "augmentation", "seed", "quantity", "value", "stderr", "bound"} <= set(FACTS)
    assert len(frame) == 2
    assert frame["value"].tolist() == [0.1 + 0.2] * 2
    assert frame["seed"].tolist() == [3, 4]


def test_params_are_columns_that_group_and_what_a_row_lacks_is_nan():
    frame = table([row(params={"b": 1, "a": "x"}), row(params={"a": "y", "c": True}), row()])
    assert frame["b"].tolist()[0] == 1
    assert frame[["a", "b", "c"]].isna().to_numpy().tolist() == [
        [False, False, True], [False, True, False], [True, True, True],
    ]  # fmt: skip
    assert frame.groupby("a").size().to_dict() == {"x": 1, "y": 1}


def test_rows_of_no_network_have_no_seed():
    frame = table([row(), row(seed=None)])
    assert frame["seed"].isna().tolist() == [False, True]
    assert frame["seed"][0] == 3
    assert str(frame["seed"].dtype) == "Int64"
    assert str(table([row()])["seed"].dtype) == "int64"


@pytest.mark.parametrize("name", FACTS)
def test_a_param_does_not_hide_a_column_of_every_row(name):
    with pytest.raises(ValueError, match=f"a param is called '{name}'"):
        table([row(params={name: 1})])


def test_an_empty_table_still_has_its_columns():
    frame = table([])
    assert tuple(frame.columns) == FACTS
    assert frame.empty
