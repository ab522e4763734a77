"""The commands about what is stored: how far a study is, whether all of it is whole, and what nobody needs any more."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from .tools import screen

SECONDS = 5.0  # between two looks of --follow


def status(folder: Path, *, follow: bool = False) -> int:
    """How far a study is: done, at work (where, since when), failed (why), left; also while it runs, from anywhere.

    Parameters
    ----------
    folder
        The study's folder, such as mixlens-runs/demo, or that of a report of several.
    follow
        Look again every few seconds until nothing is left to do.
    """
    from ..analysis.store.parts import read_records
    from ..analysis.study.progress import progress
    from .tables import progress_table, progress_words

    while True:
        studies = [(record.name, progress(record)) for record in read_records(folder)]
        for name, now in studies:
            screen().print(progress_table(name, now))
            for line in progress_words(now):
                print(line)
        sys.stdout.flush()
        if not follow or not any(now.count("at work") or now.count("waiting") for _, now in studies):
            return 1 if any(now.count("failed") for _, now in studies) else 0
        time.sleep(SECONDS)


def verify(folder: Path) -> int:
    """Read every file of every run and compare it with its checksum; say what is damaged and what to repeat.

    Parameters
    ----------
    folder
        The output folder, such as mixlens-runs, or a study's in it.
    """
    from ..analysis.store.survey import runs_of, survey

    runs = runs_of(folder)
    counts: dict[str, int] = {}
    for one in survey(runs):
        counts[one.state] = counts.get(one.state, 0) + 1
        if one.state in ("damaged", "unread"):
            print(f"{one.state}: {one.reason}")
    print(f"{runs}: {', '.join(f'{count} {state}' for state, count in counts.items()) or 'nothing in it'}")
    if counts.get("damaged"):
        print(f"`mixlens clean {folder} --yes` removes what is damaged; the same study again repeats that alone.")
    return 1 if counts.get("damaged") or counts.get("unread") else 0


def clean(folder: Path, *, yes: bool = False) -> int:
    """Show what can go: runs that are damaged, begun and left, or listed by no study, and files of killed workers.

    Parameters
    ----------
    folder
        The output folder, such as mixlens-runs.
    yes
        Remove it. What a worker is at stays.
    """
    from ..analysis.store.survey import removable, remove, runs_of, survey

    runs = runs_of(folder)
    found = removable(list(survey(runs)))
    size = 0
    for one in found:
        files = [path for path in one.path.rglob("*") if path.is_file()] if one.path.is_dir() else [one.path]
        size += sum(path.stat().st_size for path in files)
        why = one.reason or (one.state if one.listed else f"{one.state}, in no study")
        print(f"{one.path}: {why}")
    if not found:
        print(f"{runs}: nothing to remove.")
    elif yes:
        for one in found:
            remove(one)
        print(f"removed {len(found)}, {size / 1e6:,.1f} MB.")
    else:
        print(f"{len(found)}, {size / 1e6:,.1f} MB. Give --yes to remove them.")
    return 0
