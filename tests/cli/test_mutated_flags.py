"""Overrides of any kind end in a study or in one message that names the setting or the value."""

import dataclasses
import random

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Study
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_studies
from mixlens.cli import main as command
from mixlens.cli import studies

SECTIONS = installed_sections()
UNSET = ("sections", "settings", "aliases", "sweep")
SETTINGS = [("", field) for field in dataclasses.fields(Study) if field.name not in UNSET]
SETTINGS += [(name, field) for name, section in SECTIONS.items() for field in dataclasses.fields(section.config)]
TYPED = ["0", "-1", "3.5", "1e308", "1e400", "inf", "nan", "none", "true", "", ",", "1,2", "1,1", "[1,2", "{}"]
TYPED += ["9" * 25, str(2**63), "9" * 500, "fmix(", "fmix(alpha=-1)", "my.code:f(x=1)", "é", "\u202e", "x" * 300]
TYPED += ["../..", "~", "0x10", "1_000", " 1 ", "--", "%s", "'", "(", "=", "preact-resnet18(width=2", "1e-3", "\x00"]
MEANT = [None, True, 0, -1, 2**63, 10**400, 1e308, float("nan"), float("-inf"), [], [1, 1], [[1]], {}, {"a": 1}, ()]


def changed(text, draw):
    at = draw.randrange(len(text) + 1)
    return text[:at] + draw.choice("-.,=()[]{} 0aé") + text[at + draw.randrange(2) :]


def value(field, draw, kinds):
    default = field.default
    written = " ".join(map(str, default)) if isinstance(default, tuple) else str(default)
    return draw.choice([draw.choice(kinds), changed(written, draw), written])


def test_two_thousand_overrides_are_studies_or_one_message_that_names_the_setting():
    draw, ends, unnamed, longest = random.Random(0), {"study": 0, "message": 0}, [], 0
    for _ in range(2000):
        section, field = draw.choice(SETTINGS)
        given = value(field, draw, [*TYPED, *MEANT])
        try:
            read_studies(None, SECTIONS, {section: {field.name: given}} if section else {field.name: given})
            ends["study"] += 1
        except InputError as error:
            ends["message"] += 1
            said = str(error)
            longest = max(longest, len(said))
            if field.name not in said and field.name.removesuffix("s") not in said:
                unnamed.append((section, field.name, given, said))
    assert not unnamed
    assert min(ends.values()) > 300, ends
    assert longest < 2000


def test_mutated_flags_are_understood_or_one_message(capsys, monkeypatch):
    def read(sections, source, overrides, *others, **more):
        read_studies(source, sections, overrides)
        return 0

    monkeypatch.setattr(studies, "_run", read)
    application = command.application(())
    monkeypatch.setattr(command, "application", lambda typed: application)
    draw, ends = random.Random(0), {0: 0, 2: 0}
    for _ in range(40):
        section, field = draw.choice(SETTINGS)
        flag = f"--{section}{'.' if section else ''}{field.name.replace('_', '-')}"
        flag = draw.choice([flag, flag, flag, changed(flag, draw)])
        typed = value(field, draw, TYPED)
        ends[command.main(["run", "demo", *draw.choice([[f"{flag}={typed}"], [flag, typed]])])] += 1
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
    assert min(ends.values()) > 5, ends
