"""Write a study's report: the page, the PDF and the rows, or none of them. Imports no torch."""

from __future__ import annotations

import os
from pathlib import Path

from ..analysis.errors import InputError
from ..analysis.store.record import StudyRecord
from ..analysis.store.results import table
from ..analysis.style import figure_file
from .content import collect
from .html import render_html
from .pdf import render_pdf


def write_report(record: StudyRecord, path: Path, *, pdf: bool = False) -> Path:
    """Render the study to ``path`` (HTML), its rows to ``rows.csv`` and, if asked for, a PDF beside it.

    What was there before stays until the new file is whole.

    Raises:
        InputError: nothing was measured yet, a run is damaged, a file cannot be written, or typst fails (the page is
            there then).
    """
    content = collect(record)
    _write(path, render_html(content).encode())
    _write(path.with_name("rows.csv"), table(content.rows).to_csv(index=False).encode())
    if pdf:
        _write(path.with_suffix(".pdf"), render_pdf(content))
    return path


def write_figures(record: StudyRecord, folder: Path, suffix: str) -> list[Path]:
    """Each figure of the report by itself, for a paper: ``suffix`` is pdf, svg or png, on white.

    Raises:
        InputError: as `write_report`.
    """
    content, made = collect(record), []
    for plot in [*(plot for section in content.sections for plot in section.plots), *content.gallery]:
        path = folder / f"{plot.name}.{suffix}"
        _write(path, figure_file(plot, suffix, facecolor="white", dpi=150))
        made.append(path)
    return made


def _write(path: Path, content: bytes) -> None:
    aside = path.with_name(f"{path.name}.tmp")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise InputError(f"cannot write the report to {path}: {error.strerror}.") from error
