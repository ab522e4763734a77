"""YAML as a study file has it; and whatever else a file may hold ends in a plan or in one message."""

import random
import re
from importlib.resources import files

import pytest
import yaml

from mixlens.analysis.errors import InputError
from mixlens.analysis.study.plain_yaml import load
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import PRESETS, read_studies


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1:30", "1:30"),
        ("017", "017"),
        ("0x1F", "0x1F"),
        ("1_000", "1_000"),
        ("2024-02-30", "2024-02-30"),
        ("on", "on"),
        ("Yes", "Yes"),
        ("1e-3", 1e-3),
        (".5", 0.5),
        ("5.", 5.0),
        ("-12", -12),
        ("0", 0),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1'", "1"),
        ("[1, 2.0, a]", [1, 2.0, "a"]),
        ("{a: {b: c}}", {"a": {"b": "c"}}),
        ("x: &x {a: 1}\ny: {<<: *x, b: 2}", {"x": {"a": 1}, "y": {"a": 1, "b": 2}}),
    ],
)
def test_scalars_are_those_of_the_core_schema(text, value):
    found = load(text)
    assert (type(found), found) == (type(value), value)


BOMB = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
HOSTILE = {
    "a bomb of aliases": BOMB,
    "brackets": "[" * 1000,
    "whole brackets": "a: " + "[" * 1000 + "]" * 1000,
    "many digits": "seeds: " + "9" * 4301,
    "an int that is none": "seeds: !!int x",
    "a float that is none": "seeds: !!float x",
    "a timestamp": "data: !!timestamp 2024-02-30",
    "bytes": "data: !!binary aGFsbG8=",
    "a set": "data: !!set {a, b}",
    "an object": "data: !!python/object/apply:os.system ['true']",
    "a list in itself": "data: &a [*a]",
    "a key that is a list": "? [a, b]\n: c",
    "a key that is a mapping": "? {a: b}\n: c",
    "no characters": "\x00\x01",
    "two documents": "data: photos\n---\ndata: cifar10",
    "too long": "# " + "x" * 1_000_001,
    "a merge of no mapping": "<<: 3",
    "half a pair": 'data: "\\ud800"',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_what_no_study_holds_is_one_short_message(text, tmp_path):
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_studies(str(tmp_path / "study.yaml"), installed_sections(), {})
    assert len(str(caught.value)) < 1000
    assert "\n" not in str(caught.value)


VALUES = [
    "0",
    "-1",
    "1:30",
    "017",
    "1e308",
    ".inf",
    ".nan",
    "2024-02-30",
    "true",
    "~",
    "''",
    "[]",
    "{}",
    "[1, [2]]",
    "fmix(",
]
VALUES += [
    "!!int x",
    "*a",
    "&a 3",
    "'\u202e'",
    "9" * 400,
    "[baseline, fmix, fmix]",
    "my.code:f(x=1)",
    "{epochs: {a: 1}}",
    "|\n  x",
]


def mutated(texts, draw):
    """A study file's text with lines of it dropped, doubled, given other values, cut off or with letters changed."""
    lines = draw.choice(texts).splitlines()
    for _ in range(draw.randint(1, 3)):
        place = draw.randrange(len(lines))
        how = draw.randrange(5)
        if how == 0 and len(lines) > 1:
            del lines[place]
        elif how == 1:
            lines.insert(place, draw.choice(lines))
        elif how == 2:
            lines[place] = re.sub(r"(?<=: ).*|(?<=- ).*", lambda _: draw.choice(VALUES), lines[place], count=1)
        elif how == 3:
            lines[place] = lines[place][: draw.randrange(len(lines[place]) + 1)]
        elif lines[place]:
            at = draw.randrange(len(lines[place]))
            letter = draw.choice("[]{}:,&*!|>'\"%@`#-? \t0aé\U0001f600")
            lines[place] = f"{lines[place][:at]}{letter}{lines[place][at + 1 :]}"
    return "\n".join(lines)


@pytest.mark.parametrize("count", [1000, pytest.param(2000, marks=pytest.mark.slow)])
def test_mutated_studies_end_in_a_plan_or_one_message(count, tmp_path):
    draw, sections = random.Random(0), installed_sections()
    folder = files("mixlens.analysis.study") / "presets"
    texts = [(folder / f"{name}.yaml").read_text(encoding="utf-8") for name in PRESETS]
    texts = ["\n".join(line for line in text.splitlines() if not line.startswith("#")) for text in texts]
    path, ends = tmp_path / "study.yaml", {"plan": 0, "message": 0}
    longest = 0
    for _ in range(count):
        path.write_text(mutated(texts, draw), encoding="utf-8")
        overrides = {"train_size": draw.choice([256, 0, -3, 2**70])} if draw.random() < 0.2 else {}
        try:
            read_studies(str(path), sections, overrides)
            ends["plan"] += 1
        except InputError as error:
            ends["message"] += 1
            longest = max(longest, len(str(error)))
    assert min(ends.values()) > count / 10, ends
    assert longest < 2000


def test_whatever_pyyaml_writes_of_plain_values_is_read_back():
    value = {"a": [1, 2.5, 1e-07, 1e300, True, None, "on", "017", "1:30", "2024-02-30", "~", ""], "b": {"c": -3}}
    assert load(yaml.safe_dump(value)) == value
