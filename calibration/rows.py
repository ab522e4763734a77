"""Which of a study's rows a table or figure of this section shows. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from ..analysis.interface import Arm
from ..analysis.store.record import StudyRecord
from .config import AS_TRAINED, SCALED, SECTION, SOFTNESS

HUMAN_MODEL, MODEL_HUMAN = "D(human‖model)", "D(model‖human)"
SYMBOLS = {"nll": "NLL", "human_model": HUMAN_MODEL}


def rows_of(record: StudyRecord) -> pd.DataFrame:
    """The section's rows; without people's labels these have neither smoothing nor strata."""
    rows = record.table(SECTION.name)
    return rows.assign(**{name: np.nan for name in ("smoothing", "stratum") if name not in rows})


def with_people(rows: pd.DataFrame) -> pd.DataFrame:
    """Those of runs that were compared with people: in a report of several data sets not all were."""
    return rows[rows["run"].isin(rows.loc[rows["quantity"] == "human_model", "run"])]


def softness_of(rows: pd.DataFrame) -> Sequence[str]:
    return SOFTNESS if len(with_people(rows)) else (AS_TRAINED, SCALED)


def arms_of(rows: pd.DataFrame) -> list[Arm]:
    return list(dict.fromkeys(rows["arm"]))


def values(
    rows: pd.DataFrame,
    arm: Arm,
    quantity: str,
    temperature: str | None = None,
    smoothing: float | None = None,
    stratum: str | None = None,
) -> pd.Series:
    """One value a seed; over all images without a stratum."""
    chosen = rows[(rows["arm"] == arm) & (rows["quantity"] == quantity)]
    chosen = chosen[chosen["stratum"].isna() if stratum is None else chosen["stratum"] == stratum]
    for column, wanted in (("temperature", temperature), ("smoothing", smoothing)):
        if wanted is not None:
            chosen = chosen[chosen[column] == wanted]
    return chosen.set_index("seed")["value"]


def quantity_at(quantity: str, temperature: str) -> str:
    """What a mean over images is called among those that reports compare."""
    return quantity if temperature == AS_TRAINED else f"{quantity}_{temperature.replace(' ', '_')}"


def smoothings_of(rows: pd.DataFrame) -> list[float]:
    return sorted(set(rows.loc[(rows["quantity"] == "model_human") & (rows["smoothing"] > 0), "smoothing"]))


def error_over_images(rows: pd.DataFrame, quantity: str) -> str:
    chosen = rows[(rows["quantity"] == quantity) & rows["stratum"].isna()]
    images = " and ".join(f"{n:,}" for n in sorted(set(chosen["n"])))
    error = f"{chosen['stderr'].max():.2g}"
    return f"{images} test images, over which the standard error of {SYMBOLS[quantity]} is at most {error}."
