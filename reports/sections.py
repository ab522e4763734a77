"""Where each section's tables, figures and answers are: its ``figures`` module. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import ModuleType

from ..analysis.comparison import Measured
from ..analysis.store.record import StudyRecord
from .foreign import check_terms, drawn_from

# In the order of the report.
MODULES = {
    "vae": "...vae.figures",
    "classifier": "..classifiers",
    "robustness": "...robustness.figures",
    "gradcam": "...gradcam.figures",
    "calibration": "...calibration.figures",
}
QUESTIONS = {
    "vae": "How much do the latents of a VAE trained on augmented images know of real images?",
    "classifier": "How well do classifiers trained on augmented images classify?",
    "robustness": "How small a change of an image turns a classifier’s answer?",
    "gradcam": "Over how much of an image is the evidence for a class spread?",
    "calibration": "Do a classifier’s probabilities look like people’s, and are they right as often as they say?",
}


def figures_of(record: StudyRecord) -> dict[str, ModuleType]:
    """The ``figures`` module of every section that the study measured, in the report's order."""
    there = {row.section for row in record.rows()}
    return {name: import_module(module, __name__) for name, module in MODULES.items() if name in there}


def measured(record: StudyRecord) -> Mapping[str, list[Measured]]:
    """Section → its quantities, of those the study measured. Raises InputError for rows or arrays of another kind."""
    found = {}
    for name, figures in figures_of(record).items():
        with drawn_from(record, name):
            found[name] = figures.measured(record)
            check_terms(found[name])
    return found
