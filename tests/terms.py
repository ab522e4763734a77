"""Numbers an image, as networks of a study would have them."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from mixlens.analysis.interface import Arm
from mixlens.analysis.statistics.effect import Measured
from mixlens.analysis.statistics.family import family_of
from mixlens.analysis.store.record import StudyRecord
from mixlens.reports.front import front_page


def measured(quantity, values, *, front="", factor=1.0, unit="", spread=0.0, study="s"):
    """Terms of 3 seeds and 200 images around the augmentations' means."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 200))
    noise -= noise.mean(1, keepdims=True)
    terms = {
        (Arm(study, name), seed): value + noise[seed] * spread + seed * 0.002
        for name, value in values.items()
        for seed in range(3)
    }
    return Measured(quantity, quantity.title(), unit, terms, factor, front)


def front_of(answers, *augmentations):
    """The front page of a study named ``s``."""
    settings = {"augmentations": augmentations}
    record = StudyRecord(Path(), "s", "", settings, "", Path(), (), family=family_of(answers))
    return front_page(record, answers)


def in_family(record, section, figures):
    """A study whose report has this section alone: the differences that its tables show."""
    return replace(record, family=family_of({section: figures.measured(record)}))
