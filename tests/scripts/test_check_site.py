"""The check of the built documentation finds what it is there for."""

from pathlib import Path

import pytest
from check_site import faults


def site(folder: Path, body: str) -> Path:
    (folder / "a.html").write_text(f'<html><body id="top">{body}</body></html>', encoding="utf-8")
    (folder / "sub").mkdir()
    other = '<html><p id="there">…</p><a href="../a.html#top">a</a></html>'
    (folder / "sub" / "b c.html").write_text(other, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    "body",
    [
        '<a href="sub/b%20c.html#there">b</a> <a href="#top">up</a>',
        '<a href="https://example.org/nothing">elsewhere</a> <a href="mailto:a@example.org">write</a>',
        '<script src="a.html?v=1"></script><img src="data:image/png;base64,AA==">',
    ],
)
def test_nothing_is_wrong(body: str, tmp_path: Path) -> None:
    assert faults(site(tmp_path, body)) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">x</a>', "a.html: gone.html is not there"),
        ('<a href="sub/b%20c.html#gone">x</a>', "a.html: sub/b%20c.html#gone has no such place"),
        ('<a href="#gone">x</a>', "a.html: #gone has no such place"),
        ('<img src="gone.png">', "a.html: gone.png is not there"),
        ('<script src="https://cdn.example/x.js"></script>', "a.html: loads https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//fonts.example/css">', "a.html: loads //fonts.example/css"),
    ],
)
def test_faults_are_found(body: str, fault: str, tmp_path: Path) -> None:
    assert faults(site(tmp_path, body)) == [fault]


def test_a_font_from_a_network_is_found(tmp_path: Path) -> None:
    site(tmp_path, "")
    (tmp_path / "style.css").write_text("@import url('https://fonts.example/inter.css');", encoding="utf-8")
    assert faults(tmp_path) == ["style.css: loads from a network"]


def test_a_folder_without_pages_is_no_site(tmp_path: Path) -> None:
    assert faults(tmp_path) == [f"{tmp_path}: there is no page"]
