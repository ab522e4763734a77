import math
from dataclasses import dataclass, fields
from typing import Literal

import pytest

from mixlens.analysis.errors import InputError
from mixlens.analysis.schema import (
    changed,
    check_ranges,
    from_stored,
    from_user,
    key_of,
    keyed,
    narrowed,
    plain,
    setting,
)


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
    return from_user(Config, values, "vae")


def refused(match, values):
    with pytest.raises(InputError, match=match) as caught:
        from_user(Config, values, "vae")
    return str(caught.value)


def test_nothing_given_gives_the_defaults():
    assert read() == Config()


def test_a_setting_carries_its_help_and_source():
    metadata = {field.name: field.metadata for field in fields(Config)}
    assert (metadata["rate"]["help"], metadata["rate"]["source"]) == ("A rate.", "Table 1")
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


# ranges


@dataclass(frozen=True)
class Ranges:
    count: int = setting(1, "At least 1.", minimum=1)
    rate: float = setting(0.1, "Positive.", above=0)
    share: float = setting(0.5, "A share.", minimum=0, below=1)
    fractions: tuple[float, ...] = setting((0.5,), "Fractions.", above=0, maximum=1)
    size: int | None = setting(None, "None, or at least 2.", minimum=2)
    free: float = setting(-7.0, "Anything.")

    def __post_init__(self):
        check_ranges(self)


@pytest.mark.parametrize(
    "values",
    [{}, {"count": 1}, {"rate": 1e-300}, {"share": 0}, {"fractions": (1.0, 1e-9)}, {"fractions": ()}, {"size": 2}],
    ids=str,
)
def test_values_in_their_range_are_taken(values):
    assert Ranges(**values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": 0}, "count must be at least 1, got 0."),
        ({"rate": 0.0}, "rate must be positive, got 0.0."),
        ({"rate": math.nan}, "rate must be positive, got nan."),
        ({"rate": math.inf}, "rate must be positive, got inf."),
        ({"share": 1.0}, "share must lie in [0, 1), got 1.0."),
        ({"share": -0.1}, "share must lie in [0, 1), got -0.1."),
        ({"fractions": (0.5, 0.0)}, "fractions must lie in (0, 1], got 0.0."),
        ({"size": 1}, "size must be at least 2, got 1."),
    ],
    ids=str,
)
def test_values_outside_their_range_are_refused(values, words):
    with pytest.raises(InputError) as caught:
        Ranges(**values)
    assert str(caught.value) == words


# what belongs to a key


@dataclass(frozen=True)
class Inner:
    steps: int = setting(5, "Steps.")
    workers: int = setting(1, "No part of a key.", keyed=False)


@dataclass(frozen=True)
class Outer:
    seed: int
    inner: Inner
    beside: Inner = setting(keyed=False)
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Half:
    name: str = setting("x", keyed=lambda text: text.rpartition("/")[2])


def test_a_key_holds_what_is_keyed_and_differs_of_what_is_inside_too():
    assert keyed(Outer(0, Inner(), Inner(9))) == {"seed": 0}, "what has no default is always there"
    assert keyed(Half("a/b")) == {"name": "b"}
    assert keyed(Half("c/b")) == keyed(Half("a/b"))
    assert keyed(Half()) == {}, "the default too is what of it is keyed"
    assert keyed(Outer(3, Inner(6, 7), Inner(9, 9), ("a",))) == {"seed": 3, "steps": 6, "names": ["a"]}


def test_two_settings_of_one_name_are_no_key():
    @dataclass(frozen=True)
    class Twice:
        steps: int
        inner: Inner

    with pytest.raises(AssertionError, match="two settings of one name"):
        keyed(Twice(1, Inner(6)))


def test_the_key_does_not_depend_on_the_order_of_fields():
    assert key_of({"a": 1, "b": [2]}) == key_of({"b": [2], "a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        key_of({"a": math.nan})


def test_a_task_is_told_no_more_than_its_own_settings():
    @dataclass(frozen=True)
    class Wide(Inner):
        more: int = setting(1, "Of something else.")

    assert narrowed(Inner, Wide(steps=7, workers=2, more=3)) == Inner(7, 2)


# what mixlens wrote (tests/analysis/store/test_fuzz.py has the rest)


@pytest.mark.parametrize("content", [{"rate": "1e-3"}, {"steps": 0.5}, {"count": True}, {"long-name": 2}])
def test_what_was_stored_is_not_converted(content):
    from_user(Config, {key: value for key, value in content.items() if key != "count"}, "a person may write this")
    with pytest.raises(ValueError, match=r"must be|none of its fields"):
        from_stored(Config, content)
