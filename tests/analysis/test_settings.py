import math
from dataclasses import dataclass, fields
from typing import Literal

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.settings import changed, from_mapping, plain, setting


@dataclass(frozen=True)
class Config:
    rate: float = setting(0.1, "A rate.", "Table 1")
    count: int = setting(3, "A count.")
    name: str = setting("x", "A name.")
    flag: bool = setting(True, "A flag.")
    mode: Literal["batch", "elem"] = setting("batch", "A mode.")
    size: int | None = setting(None, "A size.")
    steps: tuple[float, ...] = setting((0.4, 0.8), "Steps.")
    long_name: int = setting(1, "Two words.")

    def __post_init__(self):
        if self.count < 0:
            raise InputError(f"count must be at least 0, got {self.count}.")


def read(**values):
    return from_mapping(Config, values, "vae")


def refused(match, values):
    with pytest.raises(InputError, match=match) as caught:
        from_mapping(Config, values, "vae")
    return str(caught.value)


def test_nothing_given_gives_the_defaults():
    assert read() == Config()


def test_a_setting_carries_its_help_and_source():
    metadata = {field.name: field.metadata for field in fields(Config)}
    assert metadata["rate"] == {"help": "A rate.", "source": "Table 1"}
    assert metadata["count"]["source"] == ""


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"rate": 2}, 2.0),
        ({"rate": "1e-3"}, 1e-3),  # what YAML 1.1 makes of 1e-3
        ({"rate": " 5E2 "}, 500.0),
        ({"count": 0}, 0),
        ({"name": ""}, ""),
        ({"flag": False}, False),
        ({"mode": "elem"}, "elem"),
        ({"size": None}, None),
        ({"size": 5}, 5),
        ({"steps": [1, "5e-1"]}, (1.0, 0.5)),
        ({"steps": 1}, (1.0,)),
        ({"steps": ()}, ()),
        ({"long_name": 2}, 2),
        ({"long-name": 2}, 2),
    ],
)
def test_values_that_are_taken(given, value):
    found = getattr(read(**given), next(iter(given)).replace("-", "_"))
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({"rate": True}, "vae.rate must be a number, got True"),
        ({"rate": "fast"}, "vae.rate must be a number, got 'fast'"),
        ({"rate": None}, "vae.rate must be a number, got None"),
        ({"rate": [1.0]}, "vae.rate must be a number"),
        ({"count": True}, "vae.count must be a whole number, got True"),
        ({"count": 3.0}, "vae.count must be a whole number, got 3.0"),
        ({"count": "3"}, "vae.count must be a whole number, got '3'"),
        ({"count": None}, "vae.count must be a whole number, got None"),
        ({"name": 3}, "vae.name must be text, got 3"),
        ({"flag": 1}, "vae.flag must be true or false, got 1"),
        ({"flag": "yes"}, "vae.flag must be true or false"),
        ({"size": "big"}, "vae.size must be a whole number, got 'big'"),
        ({"size": True}, "vae.size must be a whole number, got True"),
        ({"steps": "ab"}, "vae.steps must be a number, got 'ab'"),
        ({"steps": [[1]]}, "vae.steps must be a number"),
        ({"mode": "bach"}, "unknown value for vae.mode: 'bach'. Did you mean 'batch'"),
        ({"mode": None}, "unknown value for vae.mode: None"),
        ({"mode": ["batch"]}, "unknown value for vae.mode"),
    ],
)
def test_other_types_are_refused(given, wanted):
    refused(wanted, given)


def test_an_unknown_key_is_named_with_the_nearest():
    assert "Did you mean 'rate'?" in refused("unknown setting in vae: 'rte'", {"rte": 1})
    assert "long_name" in refused("unknown setting in vae: 'long nam'", {"long nam": 1})
    refused("unknown setting in vae: 3", {3: 1})


def test_what_the_class_refuses_names_the_place():
    assert refused("vae: count must be at least 0, got -1", {"count": -1}).count("vae") == 1


@pytest.mark.parametrize("values", [None, 3, "text", [1]])
def test_no_mapping_is_refused(values):
    refused("vae must be a mapping of settings", values)


# ".inf" and ".nan" are YAML; they pass as floats and end in a ValueError when the task's key is made.
@pytest.mark.parametrize("value", [math.inf, math.nan, "inf", "nan"])
def test_numbers_that_are_not_finite_are_refused(value):
    refused("vae.rate must be a number", {"rate": value})


# changed, plain


def test_changed_holds_only_what_differs():
    assert changed(Config()) == {}
    assert changed(Config(rate=0.1, count=3, steps=(0.4, 0.8))) == {}
    assert changed(Config(rate=0.2, steps=(0.5,))) == {"rate": 0.2, "steps": [0.5]}
    assert changed(read(steps=[0.4, 0.8], rate="1e-1")) == {}


def test_a_setting_that_is_added_changes_nothing():
    @dataclass(frozen=True)
    class Later(Config):
        added: int = setting(7, "New.")

    assert changed(Later(count=5)) == changed(Config(count=5)) == {"count": 5}


def test_plain_is_what_json_holds():
    assert plain({"a": (1, (2,)), 3: {"b": [()]}, "c": None}) == {"a": [1, [2]], "3": {"b": [[]]}, "c": None}
