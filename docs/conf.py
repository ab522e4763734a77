"""The documentation's site: `make docs` builds it from these pages, the READMEs, the command line and docstrings.

Nothing is fetched: fonts are the system's, equations are MathML. What stands elsewhere in the repository, such as
``vae/README.md``, is included by a page of one line; links work on a code host as they stand (`site_links`).
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent))  # for commandline.py and site_links.py

from site_links import DOCS, pages, site_links  # type: ignore[import-not-found]

from mixlens import __version__

project = "mixlens"
author = "the mixlens developers"
project_copyright = author
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "cyclopts.ext.sphinx"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"mixlens {release}"
html_copy_source = False
html_show_sphinx = False
pygments_style = "a11y-high-contrast-light"
pygments_dark_style = "a11y-high-contrast-dark"

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 4

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
default_role = "py:obj"  # a name in single backticks, as docstrings have it
python_use_unqualified_type_names = True
nitpicky = True
# Signatures and docstrings name what this site does not hold: other packages, inner types and functions of this one.
nitpick_ignore_regex = [(r"py:.*", r".*")]


def _inline(writer: Any, node: Any) -> None:
    writer.body.append(convert(node.astext(), display="inline"))
    raise SkipNode


def _block(writer: Any, node: Any) -> None:
    equation = convert(node.astext(), display="block")
    writer.body.append(f'<div class="math" style="overflow-x: auto" tabindex="0">{equation}</div>')
    raise SkipNode


html_math_renderer = "mathml"


def _page_read(app: Sphinx, docname: str, content: list[str]) -> None:
    content[0] = site_links(content[0], (DOCS / docname).parent, docname)


def _include_read(app: Sphinx, path: Path, docname: str, content: list[str]) -> None:
    file = (DOCS / path).resolve()
    content[0] = site_links(content[0], file.parent, pages()[file])


def _plain(app: Sphinx, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are read as text before anything else: ∣x∣ is no substitution, and (B, *size) no emphasis."""
    if lines and lines[0].startswith("Alias for field number"):  # of a named tuple, by Python itself
        lines.clear()
    lines[:] = [re.sub(r"\*(?=\w+ ?[,)])", r"\*", line.replace("|", r"\|")) for line in lines]


def _no_type(app: Sphinx, kind: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """A property's docstring may hold a colon; napoleon would take what stands before it for a type."""
    if kind == "property":
        lines.insert(0, "")


def setup(app: Sphinx) -> None:
    app.connect("autodoc-process-docstring", _no_type, priority=400)  # before napoleon
    app.connect("autodoc-process-docstring", _plain, priority=600)  # after it
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))
    app.connect("source-read", _page_read)
    app.connect("include-read", _include_read)
