"""A study's report as one self-contained HTML file: rows in, page out. Imports no torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..analysis.errors import InputError
from ..analysis.store.record import StudyRecord
from ..analysis.store.results import table
from ..analysis.style import duration, label, svg
from . import paper
from .claims import MARGIN, judge
from .front import front_page
from .gallery import mask_plot, spectrum_plot
from .sections import figures_of, measured

QUESTIONS = {
    "vae": "How much do the latents of a VAE trained on augmented images know of real images?",
    "classifier": "How well do classifiers trained on augmented images classify?",
    "robustness": "How small a change of an image turns a classifier’s answer?",
    "gradcam": "Over how much of an image is the evidence for a class spread?",
    "calibration": "Do a classifier’s probabilities look like people’s, and are they right as often as they say?",
}


def write_report(record: StudyRecord, path: Path) -> Path:
    """Render the study to ``path`` (HTML) and its rows to ``rows.csv`` beside it.

    Raises:
        InputError: nothing was measured yet, a run is damaged, or the file cannot be written.
    """
    rows = record.rows()
    if not rows:
        raise InputError(f"study {record.name!r} in {record.folder} has no finished measurement to report yet.")
    page = _environment().get_template("report.html.j2").render(**_content(record))
    try:
        _write(path, page)
        _write(path.with_name("rows.csv"), table(rows).to_csv(index=False))
    except OSError as error:
        raise InputError(f"cannot write the report to {path}: {error.strerror}.") from error
    return path


def _content(record: StudyRecord) -> dict[str, Any]:
    sections, answers = [], measured(record)
    for name, figures in figures_of(record).items():
        # The paper's values belong to its data set and to no other.
        printed = paper.VALUES.get(name, {}) if record.settings["data"] == paper.DATA_SET else {}
        sections.append(
            {
                "name": name,
                "question": QUESTIONS[name],
                "tables": figures.tables(record, printed),
                "plots": [(plot, Markup(svg(plot))) for plot in figures.plots(record, printed)],
            }
        )
    gallery = []
    for task in record.done("gallery"):
        arrays = record.run(task.name).read_arrays("images", "partners", "spectrum:paper", "spectrum:official")
        if any(key.startswith("mask:") for key in arrays):
            gallery.append(mask_plot(arrays["images"], arrays["partners"], arrays))
        gallery.append(spectrum_plot(arrays))
    return {
        "record": record,
        "label": label,
        "margin": MARGIN,
        "settings": json.dumps(record.settings, indent=2, ensure_ascii=False),
        "sections": sections,
        "front": front_page(answers, record.settings["augmentations"]),
        "claims": judge(answers) if record.settings["data"] == paper.DATA_SET else [],
        "gallery": [(plot, Markup(svg(plot))) for plot in gallery],
        "environments": record.environments(),
        "duration": duration(record.seconds()),
        "failed": [task for task in record.tasks if task.state != "done"],
        "counts": {state: sum(task.state == state for task in record.tasks) for state in ("done", "failed", "skipped")},
    }


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("mixlens.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _write(path: Path, text: str) -> None:
    aside = path.with_name(f"{path.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)
