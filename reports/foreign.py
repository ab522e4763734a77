"""Rows and arrays that no figure can be drawn from: files of the user's, so an InputError. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from ..analysis.errors import InputError, first_line, own_line
from ..analysis.statistics.effect import Measured
from ..analysis.store.record import StudyRecord
from ..analysis.study.sections import package_of


class SectionError(InputError):
    """The figures of another package's section failed: the rest of a report does without them."""


@contextmanager
def drawn_from(record: StudyRecord, section: str) -> Iterator[None]:
    """What fails inside, fails for the section's rows or arrays: they were edited, or are another version's.

    Raises:
        InputError: names the section, its runs and the error, which is its cause.
        SectionError: so does this, of whatever fails in a section of another package.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        if package := package_of(section):
            what = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {first_line(error)}"
            raise SectionError(
                f"section {section!r} of the package {package} cannot be shown: {what}{own_line(error)}. Its rows are "
                "in rows.csv; mend or update that package, and write the report again."
            ) from error
        _check_rows(record, section, error)
        raise


def _check_rows(record: StudyRecord, section: str, error: BaseException) -> None:
    """Raises InputError if the error may come of rows or arrays."""
    if isinstance(error, InputError):
        return
    if isinstance(error, (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)):
        unread = [task for task in record.tasks if task.section == section]
        runs = sorted({f"{record.run(task.name).path.parent / task.kind}-*" for task in unread})
        raise InputError(
            f"section {section!r} of study {record.name!r} cannot be shown: its rows or arrays are not what this "
            f"version of mixlens writes ({type(error).__name__}: {first_line(error)}). If they were edited, or are of "
            f"another version, move its runs ({', '.join(runs)}) away and run the study again, which measures them "
            "anew; if not, the mistake is ours: please report it."
        ) from error


def check_terms(measured: Iterable[Measured]) -> None:
    """Raises ValueError where a network's terms are not one finite number an image."""
    for one in measured:
        for (arm, seed), terms in one.terms.items():
            with np.errstate(over="ignore"):
                finite = np.isfinite(np.square(terms, dtype=float)).all()  # squares too, for variances
            if terms.ndim != 1 or not len(terms) or not finite:
                raise ValueError(
                    f"{one.quantity} of {arm.augmentation!r}, seed {seed}, is not one finite number an image"
                )
