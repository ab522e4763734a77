"""Links of the pages: they lead somewhere on a code host, and `site_links` leads them within the site."""

import re
from pathlib import Path

import pytest
from site_links import CODE, DOCS, LINK, pages, site_links

ROOT = DOCS.parent
SKIPPED = {".venv", "build", "dist", "mixlens-runs", "node_modules"}
MARKDOWN = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not SKIPPED & set(path.relative_to(ROOT).parts) and not path.relative_to(ROOT).parts[0].startswith(".")
)


LISTED = re.compile(r"^```\{toctree\}\n:hidden:\n\n(.*?)^```$", re.M | re.S)


def prose(path: Path) -> str:
    return "".join(part for part in CODE.split(path.read_text(encoding="utf-8")) if not part.startswith("```"))


def places(path: Path) -> set[str]:
    """The anchors that a code host gives a page's headings."""
    headings = re.findall(r"^#+ (.+)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", MARKDOWN, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(path: Path) -> None:
    for link in LINK.finditer(prose(path)):
        target = path.parent / link["path"]
        assert target.exists(), f"{path}: {link[0]}"
        if link["anchor"]:
            assert link["anchor"][1:] in places(target), f"{path}: {link[0]}"


def test_every_page_is_reached_from_the_first() -> None:
    """By its lists of pages, which are hidden on the site and in this order in its margin."""
    found, left = set(), [DOCS / "index.md"]
    while left:
        page = left.pop()
        found.add(page.resolve())
        for listed in LISTED.findall(page.read_text(encoding="utf-8")):
            left += [page.parent / f"{name}.md" for name in listed.split()]
    assert found == {path.resolve() for path in DOCS.rglob("*.md")}


def test_sections_are_included_and_not_written_twice() -> None:
    sections = {path for path in ROOT.glob("*/README.md") if (path.parent / "config.py").exists()}
    assert sections <= pages().keys()


@pytest.mark.parametrize(
    ("text", "home", "page", "shown"),
    [
        ("[vae](../vae/README.md#the-numbers)", DOCS, "index", "[vae](/reference/vae.md#the-numbers)"),
        ("[masks](../docs/masks.md)", ROOT / "vae", "reference/vae", "[masks](../masks.md)"),
        ("![p](../images/report.png)", DOCS / "results", "results/README", "![p](../images/report.png)"),
        ("[config](config.py)", ROOT / "vae", "reference/vae", "[config](../../vae/config.py)"),
        ("see [examples](../examples) here", DOCS, "sections", "see examples here"),
        ("[out](https://example.org/a.md) [here](#b)", DOCS, "index", "[out](https://example.org/a.md) [here](#b)"),
        ("```sh\n[vae](../vae/README.md)\n```\n", DOCS, "index", "```sh\n[vae](../vae/README.md)\n```\n"),
    ],
)
def test_links_are_led_within_the_site(text: str, home: Path, page: str, shown: str) -> None:
    assert site_links(text, home, page) == shown
