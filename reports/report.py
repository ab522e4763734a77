"""Write a study's report: the page, the PDF and the rows, or none of them. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..analysis.errors import InputError
from ..analysis.presentation.paper import Width, fit
from ..analysis.presentation.svg import figure_file
from ..analysis.store.record import StudyRecord
from ..analysis.store.results import table
from ..analysis.store.runs import replace_files
from .content import Content, collect
from .html import render_html
from .pdf import NoPDFError, render_pdf

DOTS = 300  # an inch, of a figure in a file of its own


def write_report(record: StudyRecord, path: Path, *, pdf: bool = False) -> Path:
    """Render the study to ``path`` (HTML), its rows to ``rows.csv`` and, if asked for, a PDF beside it.

    What was there before stays until the new file is whole.

    Raises:
        InputError: nothing was measured yet, a run is damaged, a file cannot be written, or typst fails (the page is
            there then).
    """
    return write_content(collect(record), path, pdf=pdf)


def write_content(content: Content, path: Path, *, pdf: bool = False) -> Path:
    """`write_report` of what was collected already."""
    beside = path.with_suffix(".pdf")
    made = {path: render_html(content).encode()}
    made[path.with_name("rows.csv")] = table(content.rows).to_csv(index=False).encode()
    try:
        if pdf:
            made[beside] = render_pdf(content)
    except NoPDFError as error:
        _write(made)
        raise NoPDFError(f"{error} {beside} is of an earlier time." if beside.exists() else str(error)) from error
    _write(made)
    return path


def write_figures(record: StudyRecord, folder: Path, suffix: str, width: Width = "page") -> list[Path]:
    """Each figure of the report by itself, for a paper: ``suffix`` is pdf, svg or png, on white, of 300 dots an inch.

    ``width``: of a paper's column or page, see `mixlens.analysis.presentation.paper`.

    Raises:
        InputError: as `write_report`.
    """
    content, made = collect(record), {}
    for plot in content.plots:
        style = {"facecolor": "white", "dpi": DOTS, "bbox_inches": fit(plot.figure, width)}
        made[folder / f"{plot.name}.{suffix}"] = figure_file(plot, suffix, **style)
    _write(made)
    return list(made)


def _write(contents: Mapping[Path, bytes]) -> None:
    try:
        replace_files(contents)
    except OSError as error:
        raise InputError(
            f"cannot write the report to {error.filename or next(iter(contents)).parent}: {error.strerror}. What was "
            "there before is as it was. Give another folder with --out, or make room."
        ) from error
