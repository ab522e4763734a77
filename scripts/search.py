"""Search settings on a grid: one study for each combination, in one output folder, and a table of a quantity.

    python scripts/search.py STUDY --quantity accuracy --out DIR \\
        --grid classifier.learning_rate=0.05,0.1,0.2 classifier.weight_decay=1e-4,5e-4 \\
        --set sections=classifier train_size=10000 classifier.epochs=6

STUDY is a preset or a study file; ``--set`` and ``--grid`` name its settings as in a study file, with a dot for those
of a section. Stopped, the same command goes on where it was. For each combination and augmentation it prints the mean
of all rows of the quantity, their standard deviation and number; choose by the baseline, or a choice will favour what
it was made on.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from mixlens import Machine, conduct
from mixlens.analysis.errors import InputError
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_study


def overrides(assigned: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """``[("vae.epochs", "20"), ("seeds", "2")]`` → ``{"vae": {"epochs": 20}, "seeds": 2}``; values as in YAML."""
    found: dict[str, Any] = {}
    for name, text in assigned:
        section, dot, key = name.partition(".")
        (found.setdefault(section, {}) if dot else found)[key if dot else name] = value_of(text)
    return found


def value_of(text: str) -> Any:
    value = yaml.safe_load(text)
    try:
        return float(value) if isinstance(value, str) else value  # YAML reads 1e-4 as text
    except ValueError:
        return value


def assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise InputError(f"a setting is written name=value, got {text!r}.")
    return name, value


def grid(texts: Sequence[str]) -> list[list[tuple[str, str]]]:
    """Every combination of the values listed, in order."""
    listed = [(name, values.split(",")) for name, values in map(assignment, texts)]
    return [
        [(name, value) for (name, _), value in zip(listed, chosen, strict=True)]
        for chosen in itertools.product(*(values for _, values in listed))
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("study")
    parser.add_argument("--grid", nargs="+", required=True, metavar="NAME=VALUE,VALUE")
    parser.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE")
    parser.add_argument("--quantity", required=True)
    parser.add_argument("--out", type=Path, default=Path("mixlens-runs"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int)
    given = parser.parse_args(arguments)
    try:
        machine = Machine(out=given.out, device=given.device, threads=given.threads)
        for combination in grid(given.grid):
            name = " ".join(f"{name}={value}" for name, value in combination)
            changed: Mapping[str, Any] = overrides([*map(assignment, given.set), *combination])
            study = read_study(given.study, installed_sections(), {**changed, "name": name.replace("/", " ")})
            rows = conduct(study, machine).rows()
            if given.quantity not in {row.quantity for row in rows}:
                known = ", ".join(sorted({row.quantity for row in rows}))
                raise InputError(f"no row of {name} is called {given.quantity!r}; there are {known}.")
            values: dict[str, list[float]] = {}
            for row in rows:
                if row.quantity == given.quantity:
                    values.setdefault(row.augmentation, []).append(row.value)
            for augmentation, found in values.items():
                spread = f" ± {statistics.stdev(found):.4g}" if len(found) > 1 else ""
                mean = f"{statistics.mean(found):.5g}{spread} (n = {len(found)})"
                print(f"{name}  {augmentation}: {given.quantity} {mean}", flush=True)
    except InputError as error:
        print(f"search: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
