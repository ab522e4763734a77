"""Check the built documentation: every link within it leads somewhere, and no page loads anything from a network.

    python scripts/check_site.py build/docs

Links to other sites are not followed. Ends with status 1 and a line for each fault.
"""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
FONTS = re.compile(r"(?:url\(|@import)\s*['\"]?(?:https?:)?//")


class Page(HTMLParser):
    """A page's ids, the places that it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids |= {value for name in ("id", "name") if (value := given.get(name))}
        if target := given.get(LOADED.get(tag, "href")):
            (self.loads if tag in LOADED else self.links).append(target)


def faults(site: Path) -> list[str]:
    """What is wrong with the pages of a folder, a line each."""
    read = {path.resolve(): Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    found = [f"{site}: there is no page" for _ in range(not read)]
    for path, page in read.items():
        name = path.relative_to(site.resolve())
        found += [f"{name}: loads {target}" for target in page.loads if urlsplit(target).netloc]
        for target in (*page.links, *page.loads):
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not there.is_file():
                found.append(f"{name}: {target} is not there")
            elif there in read and parts.fragment and unquote(parts.fragment) not in read[there].ids:
                found.append(f"{name}: {target} has no such place")
    sheets = [path for path in site.rglob("*.css") if FONTS.search(path.read_text(encoding="utf-8"))]
    return found + [f"{sheet.relative_to(site)}: loads from a network" for sheet in sheets]


def main() -> int:
    found = faults(Path(sys.argv[1]))
    print("\n".join(found) or "every link leads somewhere, and nothing is loaded from a network")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
