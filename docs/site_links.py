"""Relative links of pages, as they work on a code host, made to lead within the site."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path

DOCS = Path(__file__).resolve().parent
INCLUDE = re.compile(r"^```\{include\} (\S+)$", re.M)
LINK = re.compile(r"(?P<before>!?\[(?P<text>[^\]]*)\]\()(?P<path>[^)\s#:]+)(?P<anchor>#[^)\s]*)?\)")
CODE = re.compile(r"(^```.*?^```$)", re.M | re.S)


@cache
def pages() -> dict[Path, str]:
    """Files of the repository that a page includes whole, and that page."""
    return {
        (page.parent / path).resolve(): page.relative_to(DOCS).with_suffix("").as_posix()
        for page in DOCS.rglob("*.md")
        for path in INCLUDE.findall(page.read_text(encoding="utf-8"))
    }


def site_links(text: str, home: Path, page: str) -> str:
    """The text of a file in the folder ``home``, shown on a page, with its links rewritten. Code stays as it is.

    A link to a file that a page includes leads to that page, one to another file is as seen from here (to what is no
    page, a download), and of one to a folder its text is left.
    """

    def rewritten(link: re.Match[str]) -> str:
        target, anchor = (home / link["path"]).resolve(), link["anchor"] or ""
        if target in pages():
            return f"{link['before']}/{pages()[target]}.md{anchor})"
        if target.is_dir():
            return link["text"]
        return f"{link['before']}{os.path.relpath(target, (DOCS / page).parent)}{anchor})"

    return "".join(part if part.startswith("```") else LINK.sub(rewritten, part) for part in CODE.split(text))
