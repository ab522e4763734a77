"""Every tutorial does what it shows: its files are written, its commands and Python run, in order, in an empty folder.

A fenced block is a file where its first line is a comment with its name; ``sh`` holds commands of mixlens, ``python``
what a notebook's cells would, and ``text`` lines that the command before it prints, numbers aside.
"""

import re
import shlex
from pathlib import Path

import pytest

from mixlens.cli.main import main

TUTORIALS = Path(__file__).parents[2] / "docs" / "tutorials"
PAGES = sorted(path for path in TUTORIALS.glob("*.md") if path.stem != "index")
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)
FILE = re.compile(r"# (\S+\.(?:py|yaml))\n")

pytestmark = [pytest.mark.usefixtures("page_alone"), pytest.mark.slow]


def words(text: str) -> list[str]:
    """Its lines without numbers and layout."""
    return [" ".join(re.sub(r"\d[\d.,]*", "0", line).split()) for line in text.splitlines()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_shows(
    page: Path, here: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = page.read_text(encoding="utf-8")
    blocks, names, printed = BLOCK.findall(text), {}, ""
    assert {language for language, _ in blocks} <= {"python", "yaml", "sh", "text"}
    for language, block in blocks:
        if file := FILE.match(block):
            path = here / file[1]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block, encoding="utf-8")
        elif language == "sh":
            for line in block.replace("\\\n", "").splitlines():
                program, *arguments = shlex.split(line)
                assert program == "mixlens"
                assert main(arguments) == 0, line
            captured = capsys.readouterr()
            printed = captured.out + captured.err
        elif language == "python":
            with monkeypatch.context() as patched:
                patched.syspath_prepend(here)  # as a notebook in this folder has it
                exec(compile(block, str(page), "exec"), names)
        else:
            assert language == "text"
            assert set(words(block)) <= set(words(printed))
    for path in re.findall(r"`(mixlens-runs/[^`:\s]+)`", text):
        assert Path(path).exists(), path


def test_every_tutorial_is_listed_and_no_other() -> None:
    index = (TUTORIALS / "index.md").read_text(encoding="utf-8")
    assert re.findall(r"\((.+?)\.md\)", index) == index.rpartition(":hidden:")[2].strip("\n`").split()
    assert set(re.findall(r"\((.+?)\.md\)", index)) == {page.stem for page in PAGES}
