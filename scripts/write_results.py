"""Write docs/results/README.md from its template and the rows kept beside it.

    python scripts/write_results.py

``README.md.j2`` is a Jinja template: ``kept("table1-protocol")`` are the rows that `keep_results` left in that folder,
with the functions of `Kept`, so that what the page says of them is not typed; ``table("classifiers-25000",
"calibration-orders")`` is a table of its report, and ``timed("masks")`` what a benchmark wrote with ``--json``. A test
holds that the page is what this would write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from keep_results import read  # type: ignore[import-not-found]  # beside this script

from mixlens.analysis.interface import BASELINE
from mixlens.analysis.presentation.numbers import difference, number, over_seeds
from mixlens.analysis.statistics.level import ENOUGH_SEEDS
from mixlens.analysis.statistics.seeds import student_mean

RESULTS = Path(__file__).parents[1] / "docs" / "results"


@dataclass(frozen=True)
class Kept:
    """The rows of one kept report. ``where`` are columns and their values, such as ``pair="self"``; None: empty."""

    rows: pd.DataFrame

    def values(self, quantity: str, augmentation: str, times: float = 1, **where: Any) -> pd.Series:
        """One value a seed, by seed, times a factor such as 100 for percent.

        Raises ValueError where there is none, or more than one for a seed.
        """
        chosen = (self.rows["quantity"] == quantity) & (self.rows["augmentation"] == augmentation)
        for name, value in where.items():
            chosen &= self.rows[name].isna() if value is None else self.rows[name] == value
        found = self.rows[chosen].set_index("seed")["value"].sort_index()
        if not len(found) or not found.index.is_unique:
            raise ValueError(f"{len(found)} rows of {quantity}, {augmentation}, {where}; expected one a seed")
        return times * found

    def mean(self, quantity: str, augmentation: str, **where: Any) -> str:
        """``47.70 ± 0.26``: over seeds."""
        return over_seeds(self.values(quantity, augmentation, **where))

    def changes(self, quantity: str, augmentation: str, to: str = BASELINE, **where: Any) -> pd.Series:
        """What each seed changes against the baseline, or another augmentation."""
        return self.values(quantity, augmentation, **where) - self.values(quantity, to, **where)

    def change(self, quantity: str, augmentation: str, to: str = BASELINE, **where: Any) -> str:
        """``−6.4 [−7.4, −5.3] ↓``: Student's t over seeds, paired, by itself."""
        return difference(self.changes(quantity, augmentation, to, **where).dropna())

    def direction(self, quantity: str, augmentation: str, to: str = BASELINE, **where: Any) -> int:
        """1 or −1 where the interval of `change` leaves out zero, else 0."""
        changes = self.changes(quantity, augmentation, to, **where).dropna()
        if len(changes) < ENOUGH_SEEDS:
            return 0
        mean = student_mean(changes)
        return int(mean.low > 0) - int(mean.high < 0)

    def word(self, quantity: str, augmentation: str, to: str = BASELINE, **where: Any) -> str:
        """The same in a word."""
        return {1: "rises", -1: "falls", 0: "one cannot tell"}[self.direction(quantity, augmentation, to, **where)]

    def null_pair(self, quantity: str, **where: Any) -> str:
        """How far a baseline trained twice is from itself, least and greatest over seeds: ``0.8 to 1.2``."""
        both = [self.values(quantity, BASELINE, pair=pair, **where) for pair in ("self", "independent")]
        apart = (both[0] - both[1]).abs()
        return f"{apart.min():.1f} to {apart.max():.1f}"

    def all(self, quantity: str, study: str) -> str:
        """``780.4 ± 2.3``: over all trainings of a study, whatever they are of."""
        return over_seeds(self._all(quantity, study))

    def count(self, quantity: str, study: str) -> int:
        return len(self._all(quantity, study))

    def one(self, quantity: str, study: str) -> float:
        """Of a quantity of which there is one."""
        (value,) = self._all(quantity, study)
        return float(value)

    def _all(self, quantity: str, study: str) -> pd.Series:
        found = self.rows[(self.rows["quantity"] == quantity) & (self.rows["study"] == study)]["value"]
        if not len(found):
            raise ValueError(f"no row of {quantity} in {study}")
        return found

    def most(self, column: str, **where: Any) -> str:
        """The greatest value of a column."""
        rows = self.rows
        for name, value in where.items():
            rows = rows[rows[name] == value]
        return number(float(rows[column].max()))

    def seeds(self, quantity: str, augmentation: str, **where: Any) -> int:
        return len(self.values(quantity, augmentation, **where))


def page(folder: Path = RESULTS) -> str:
    """The README as its template and the rows make it."""
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["time"] = in_words
    template = environment.from_string((folder / "README.md.j2").read_text(encoding="utf-8"))
    return (
        template.render(
            kept=lambda name: Kept(read(folder / name / "rows")),
            table=lambda name, table: markdown(pd.read_csv(folder / name / "tables" / f"{table}.csv", dtype=str)),
            timed=lambda name: json.loads((folder / "benchmarks" / f"{name}.json").read_text(encoding="utf-8")),
            against=against,
        ).rstrip()
        + "\n"
    )


def markdown(table: pd.DataFrame) -> str:
    lines = [list(table.columns), ["---"] * len(table.columns), *table.fillna("").values.tolist()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def against(records: list[dict[str, Any]]) -> str:
    """A benchmark's records as a table: medians with their interquartile ranges, and what they are to each other."""
    body = [
        {
            "case": record["case"],
            "n": str(record["n"]),
            "peer": record["peer"],
            **{
                title: f"{in_words(record[side])} ±{record['spread'][side]:.0%}"
                for title, side in (("ours", "ours"), ("theirs", "theirs"), ("floor", "floor"))
            },
            "theirs / ours": f"{record['ratio']:.2f}",
            "ours / floor": f"{record['floor_ratio']:.2f}",
        }
        for record in records
        if "peer" in record
    ]
    return markdown(pd.DataFrame(body))


def in_words(seconds: float) -> str:
    """``887 µs``, ``36.7 ms`` or ``11.9 s``."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, size = next((each for each in units if seconds >= each[1]), units[-1])
    return f"{float(f'{seconds / size:.3g}'):g} {unit}"


def main() -> None:
    (RESULTS / "README.md").write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
