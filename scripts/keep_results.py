"""Keep the results of finished studies in the repository: their rows in a compact form, and one report.

    python scripts/keep_results.py STUDY_FOLDER… [--mixed] [--rows-alone] [--tables NAME…] [--out docs/results]

writes ``report.pdf`` (but for ``--rows-alone``), of the report's tables those named, as ``tables/<name>.csv``, and of
each section ``rows/<section>.csv`` without what repeats itself: a column that holds one value throughout the section
stands in ``rows/sections.json``, one that follows from the quantity (such as unit, bound and note) in
``rows/quantities.csv``. `read` puts them together again, exactly but for the names of the runs' folders and columns
that are empty throughout; a text of no letters is read as none.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mixlens.analysis.store.record import combine, read_record
from mixlens.analysis.store.results import table
from mixlens.reports.content import collect
from mixlens.reports.pdf import render_pdf

LEFT_OUT = ["run"]  # the folders are not kept
SECTION, QUANTITY = "section", "quantity"


def write(rows: pd.DataFrame, folder: Path) -> None:
    """Write rows, as `mixlens.analysis.store.results.table` makes them, in place of those that are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in [*folder.glob("*.csv"), *folder.glob("*.json")]:
        old.unlink()
    fixed: dict[str, dict[str, Any]] = {}
    following = []
    for section, of_section in rows.drop(columns=LEFT_OUT).replace("", None).groupby(SECTION, sort=False):
        values = of_section.drop(columns=SECTION).dropna(axis="columns", how="all")
        once = [name for name in map(str, values) if name != QUANTITY and _one(values[name])]
        fixed[str(section)] = {name: _plain(values[name].iloc[0]) for name in once}
        values = values.drop(columns=once)
        kinds = values.groupby(QUANTITY, sort=False)
        repeated = len(kinds) < len(values)
        follow = [name for name in map(str, values) if name != QUANTITY and repeated and kinds[name].agg(_one).all()]
        following.append(values.drop_duplicates(QUANTITY)[[QUANTITY, *follow]].assign(**{SECTION: str(section)}))
        values.drop(columns=follow).to_csv(folder / f"{section}.csv", index=False)
    quantities = pd.concat(following)
    first = [SECTION, QUANTITY]
    quantities[[*first, *quantities.columns.drop(first)]].to_csv(folder / "quantities.csv", index=False)
    text = json.dumps(fixed, indent=1, ensure_ascii=False)
    (folder / "sections.json").write_text(text + "\n", encoding="utf-8")


def read(folder: Path) -> pd.DataFrame:
    """The rows that `write` left, as one table."""
    fixed = json.loads((folder / "sections.json").read_text(encoding="utf-8"))
    quantities = pd.read_csv(folder / "quantities.csv", keep_default_na=False, na_values=[""])
    parts = []
    for section, values in fixed.items():
        rows = pd.read_csv(folder / f"{section}.csv")
        known = quantities[quantities[SECTION] == section].dropna(axis="columns", how="all")
        parts.append(rows.merge(known, on=QUANTITY, how="left").assign(**{SECTION: section}, **values))
    return pd.concat(parts, ignore_index=True)


def _one(values: pd.Series) -> bool:
    return bool(values.nunique(dropna=False) == 1)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("studies", nargs="+", type=Path, help="their folders, such as mixlens-runs/cpu")
    parser.add_argument("--mixed", action="store_true", help="studies of other settings too, as mixlens report --mixed")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    parser.add_argument("--rows-alone", action="store_true", help="no report.pdf")
    parser.add_argument("--tables", nargs="+", default=[], help="of the report, by name, such as calibration-orders")
    given = parser.parse_args(arguments)
    record = combine([read_record(folder) for folder in given.studies], mixed=given.mixed)
    write(table(record.rows()), given.out / "rows")
    content = collect(record)
    tables = {each.name: each for section in content.sections for each in section.tables}
    for name in given.tables:
        path = given.out / "tables" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        pd.DataFrame(tables[name].rows, columns=tables[name].header).to_csv(path, index=False)
    if not given.rows_alone:
        (given.out / "report.pdf").write_bytes(render_pdf(content))


if __name__ == "__main__":
    main()
