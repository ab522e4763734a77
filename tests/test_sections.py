"""Sections of other packages: the example installed and run, broken ones as one message; and each section's command."""

import shutil
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from unittest.mock import Mock

import pandas as pd
import pytest
import torch
from helpers import text_of

from mixlens.analysis.interface import Section
from mixlens.analysis.store.record import read_record
from mixlens.analysis.study import sections
from mixlens.analysis.study.sections import installed_sections, with_used
from mixlens.cli.main import main
from mixlens.gradcam.config import SECTION, GradCAMConfig
from mixlens.reports.content import collect
from mixlens.reports.html import render_html

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "mixlens-shuffle"
TINY = [
    "--train-size",
    "64",
    "--model",
    "preact-resnet18(width=2)",
    "--classifier.epochs",
    "1",
    "--classifier.batch-size",
    "32",
]


# The example


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which pip has installed the example, beside what is installed anyway."""
    pytest.importorskip("setuptools")
    folder = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, folder / "source")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "-q"]
    command += ["--target", str(folder / "site"), str(folder / "source")]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "site"


@pytest.fixture(scope="module")
def study(installed, tmp_path_factory):
    """A study with the example's section, made where that is installed."""
    out = tmp_path_factory.mktemp("out")
    command = ["run", "demo", "--sections", "classifier,shuffle", "--augmentations", "baseline,fmix", "--seeds", "1"]
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(installed))
        assert main([*command, *TINY, "--shuffle.grids", "1", "4", "--out", str(out), "--quiet"]) == 0
    assert "shuffle" not in installed_sections()
    return out / "demo"


def test_its_section_is_in_the_rows_and_in_the_report(study):
    rows = pd.read_csv(study / "rows.csv")
    shuffled = rows[rows["section"] == "shuffle"].set_index(["augmentation", "grid"])["value"]
    plain = rows[(rows["section"] == "classifier") & (rows["quantity"] == "accuracy")].set_index("augmentation")[
        "value"
    ]
    for name in ("baseline", "fmix"):
        assert shuffled[name, 1] == plain[name], "one tile is the image itself"
    page = (study / "report.html").read_text(encoding="utf-8")
    assert "How much of a classifier’s answer is in the parts of an image?" in page
    assert "Answer in the parts" in page, "its column on the front page"
    assert "mixlens shuffle --name demo" in text_of(page), "its command"
    assert 'id="shuffle-curves"' in page
    assert (study / "report.pdf").read_bytes().startswith(b"%PDF")


def test_without_its_package_a_report_keeps_the_rows_and_says_so(study, tmp_path, capsys):
    assert main(["report", str(study), "--out", str(tmp_path)]) == 0
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No installed package has the section <strong>shuffle</strong>" in page
    assert 'id="shuffle-curves"' not in page
    assert set(pd.read_csv(tmp_path / "rows.csv")["section"]) == {"classifier", "shuffle"}


@pytest.fixture
def theirs(study, installed, monkeypatch):
    """The example's modules ``run`` and ``figures``, installed, of which a test may break parts."""
    monkeypatch.syspath_prepend(str(installed))
    return import_module("mixlens_shuffle.run"), import_module("mixlens_shuffle.figures")


class Ended(BaseException):
    """What no `except Exception` sees."""


@pytest.mark.parametrize(
    ("part", "broken"),
    [
        ("measured", Mock(side_effect=RuntimeError("it broke"))),
        ("tables", Mock(side_effect=SystemExit(0))),
        ("plots", Mock(side_effect=Ended("it broke"))),
        ("ABOUT", "text"),
        ("tables", lambda *_: ["text"]),
    ],
)
def test_a_section_whose_figures_fail_says_so_and_the_rest_is_whole(
    theirs, study, tmp_path, capsys, monkeypatch, page_alone, part, broken
):
    monkeypatch.setattr(theirs[1], part, broken)
    assert main(["report", str(study), "--out", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    assert told.startswith("mixlens: section 'shuffle' of the package mixlens-shuffle cannot be shown: ")
    assert told.count("\n") == 1
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "of the package mixlens-shuffle cannot be shown" in page
    assert 'id="classifier-curves"' in page
    assert 'id="shuffle-curves"' not in page
    assert set(pd.read_csv(tmp_path / "rows.csv")["section"]) == {"classifier", "shuffle"}


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(0),
        Ended("it broke"),
        pytest.param(RuntimeError("it broke"), marks=pytest.mark.slow),
    ],
    ids=repr,
)
def test_a_section_that_cannot_be_planned_is_named_with_its_package(theirs, failing, monkeypatch, tmp_path, error):
    monkeypatch.setattr(theirs[0], "tasks", Mock(side_effect=error))
    message = failing("shuffle", "--data", "photos", *TINY, "--out", str(tmp_path), "--dry-run")
    assert (
        f"the section 'shuffle' of the package mixlens-shuffle cannot be planned: {type(error).__name__}: " in message
    )
    monkeypatch.setattr(theirs[0], "tasks", lambda asked: ["no task"])
    assert "must plan a list of tasks" in failing(
        "shuffle", "--data", "photos", *TINY, "--out", str(tmp_path), "--dry-run"
    )


def test_shuffled_tiles_are_the_images_own(installed, monkeypatch):
    monkeypatch.syspath_prepend(str(installed))
    from mixlens_shuffle.measures import shuffle_tiles

    images = torch.arange(3 * 2 * 8 * 4).reshape(3, 2, 8, 4)
    made = shuffle_tiles(images, 2, torch.Generator().manual_seed(0))
    assert torch.equal(shuffle_tiles(images, 1, torch.Generator().manual_seed(0)), images)
    for before, after in zip(images, made, strict=True):
        tiles = [
            {tuple(x[:, i : i + 4, j : j + 2].flatten().tolist()) for i in (0, 4) for j in (0, 2)}
            for x in (before, after)
        ]
        assert tiles[0] == tiles[1]
    assert not torch.equal(made, images)


# What other packages may get wrong


@pytest.fixture
def declared(monkeypatch):
    """Declares sections as installed packages would: name → where."""

    def declare(**where):
        points = [EntryPoint(name, value, sections.SECTIONS) for name, value in where.items()]
        monkeypatch.setattr(sections, "entry_points", lambda group: points)

    return declare


GOOD = Section("theirs", "Theirs.", GradCAMConfig, SECTION.run, SECTION.figures)
OTHER = Section("data", "Theirs.", GradCAMConfig, SECTION.run, SECTION.figures)
SEEDS = Section("seeds", "Theirs.", GradCAMConfig, SECTION.run, SECTION.figures)
MACHINE = Section("machine", "Theirs.", GradCAMConfig, SECTION.run, SECTION.figures)
ALONE = Section("alone", "Theirs.", GradCAMConfig, SECTION.run, SECTION.figures, uses=("missing",))
ROUND = Section("round", "Theirs.", GradCAMConfig, SECTION.run, SECTION.figures, uses=("and",))
AND = Section("and", "Theirs.", GradCAMConfig, SECTION.run, SECTION.figures, uses=("round",))
NOWHERE = Section("nowhere", "Theirs.", GradCAMConfig, "mixlens.nowhere", SECTION.figures)


def here_is(name):
    return f"{__name__}:{name}"


def test_a_section_of_another_package_comes_after_ours(declared):
    declared(theirs=here_is("GOOD"), vae="mixlens.vae.config:SECTION")
    assert list(installed_sections()) == ["vae", "theirs"]


def test_a_section_may_use_one_that_uses_another():
    sections = {name: Section(name, "", GradCAMConfig, "", "", uses) for name, uses in USES.items()}
    sections["d"] = replace(sections["d"], every_study=True)
    assert with_used(["a", "c"], sections) == ["c", "b", "a", "d"]
    assert with_used(["a"], sections, every=False) == ["c", "b", "a"]


USES = {"a": ("b",), "b": ("c",), "c": (), "d": ()}


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"theirs": "no_such_package.config:SECTION"}, "cannot be loaded (ModuleNotFoundError"),
        ({"theirs": here_is("NO_SUCH_NAME")}, "cannot be loaded (AttributeError"),
        ({"theirs": here_is("TINY")}, "must be a Section of that name"),
        ({"another": here_is("GOOD")}, "must be a Section of that name"),
        ({"nowhere": here_is("NOWHERE")}, "names the module mixlens.nowhere, which is not there"),
        ({"data": here_is("OTHER")}, "is called as another command"),
        ({"machine": here_is("MACHINE")}, "cannot be called 'machine', which is an option"),
        ({"round": here_is("ROUND"), "and": here_is("AND")}, "use each other"),
        ({"alone": here_is("ALONE")}, "uses the section 'missing', which no package has"),
    ],
)
def test_a_broken_section_is_one_message(declared, failing, where, words):
    declared(**where)
    message = failing("run", "demo")
    assert words in message
    assert next(iter(where)) in message


def test_two_packages_cannot_have_one_section(monkeypatch, failing):
    twice = [EntryPoint("theirs", here_is("GOOD"), sections.SECTIONS)] * 2
    monkeypatch.setattr(sections, "entry_points", lambda group: twice)
    assert "two packages have a section 'theirs'" in failing("run", "demo")


def test_a_section_cannot_be_called_as_a_studys_setting(declared, failing):
    declared(seeds=here_is("SEEDS"))
    assert "cannot be called 'seeds'" in failing("run", "demo")


def test_the_page_shows_caveats_and_command_of_each_section(study):
    page = render_html(collect(read_record(study)))
    assert page.count("What these numbers do not say") == 1
    assert "mixlens train --name demo --data photos" in text_of(page)
