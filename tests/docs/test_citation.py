"""CITATION.cff is what its schema wants, and agrees with the package and the README."""

import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_it_has_what_the_schema_requires() -> None:
    """Of version 1.2.0: these keys, authors as an entity or a person; a reference has a type too."""
    assert CITATION["cff-version"] == "1.2.0"
    for work in (CITATION, *CITATION["references"]):
        assert {"title", "authors", "type"} <= work.keys()
        assert all("name" in author or {"family-names", "given-names"} <= author.keys() for author in work["authors"])
    assert isinstance(CITATION["message"], str)


def test_it_agrees_with_the_package() -> None:
    assert str(CITATION["version"]) == PROJECT["version"]
    assert CITATION["title"] == PROJECT["name"]
    assert CITATION["license"] == PROJECT["license"]
    assert CITATION["authors"] == PROJECT["authors"]


def test_the_readme_names_the_same_paper() -> None:
    (paper,) = CITATION["references"]
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert paper["title"] in readme
    assert paper["url"] in readme
    place = 0
    for author in paper["authors"]:  # in its order
        place = readme.index(f"{author['given-names'][0]}. {author['family-names']}", place)
