"""The types that travel between the parts. A leaf: torch is imported only for type checking."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

from .errors import InputError

if TYPE_CHECKING:
    from torch import Generator, Tensor

Bound = Literal["upper", "lower", "none"]


class MixedBatch(NamedTuple):
    """A mixed batch with everything a pairwise loss needs.

    ``x = mask · x₁ + (1 − mask) · x₁[index]``, and the loss is ``lam · ℓ(y) + (1 − lam) · ℓ(y_partner)``.
    """

    x: Tensor  # (B, C, *size)
    y: Tensor  # (B,) integer classes or (B, classes) soft labels, as given
    y_partner: Tensor  # y[index]; with reformulate=True, y itself
    lam: Tensor  # (B,) weight of the first label = the realised mean of each mask
    index: Tensor  # type: ignore[assignment]  # (B,) partner of each sample; hides tuple.index, which nobody calls
    mask: Tensor  # (B, 1, *size)


class Augmentation(Protocol):
    """Mixes a batch: x (B, C, *size), y (B,) or (B, classes) → mixed x and soft labels (B, classes).

    ``step`` counts training steps, for those that alternate. A user's own need not take it.
    """

    def __call__(
        self, x: Tensor, y: Tensor, *, generator: Generator | None = None, step: int | None = None
    ) -> tuple[Tensor, Tensor]: ...


class Interval(NamedTuple):
    """A confidence interval for an estimate's expectation, and how it was made."""

    low: float
    high: float
    level: float  # 0.95
    method: str  # "Student t", "infinitesimal jackknife", "12 disjoint blocks, Student t"


@dataclass(frozen=True)
class Estimate:
    """A number with its error and its direction.

    ``bound`` says what the estimate is, in expectation, of the quantity it is reported for. ``stderr`` and ``interval``
    are about that expectation, over the n samples and not over training seeds; both are None where no honest error is
    known. An estimate with a ``ceiling`` cannot exceed it whatever the truth (log K for a contrastive one), and is
    ``saturated`` where the ceiling, not the truth, determines it. No estimate is ever clipped at zero.
    """

    value: float
    stderr: float | None
    n: int
    bound: Bound
    unit: str = "nats"
    interval: Interval | None = None
    ceiling: float | None = None
    saturated: bool = False
    samples: Tensor | None = field(default=None, repr=False, compare=False)  # (n,) terms whose mean is ``value``
    # (n,) what each sample adds to ``value``, mean zero: stderr = sd / √n. Differs from the terms' deviations where
    # terms share other samples; the difference of two estimates on the same samples has the difference of these.
    influence: Tensor | None = field(default=None, repr=False, compare=False)

    def to(self, unit: Literal["nats", "bits"]) -> Estimate:
        """The same information in nats or bits. Raises InputError for other units, or an estimate that has another."""
        for name in (unit, self.unit):
            if name not in _NATS_PER:
                raise InputError(f"only information in {' or '.join(_NATS_PER)} can be converted, got {name!r}.")
        factor = _NATS_PER[self.unit] / _NATS_PER[unit]
        return replace(
            self,
            value=self.value * factor,
            stderr=None if self.stderr is None else self.stderr * factor,
            interval=self.interval
            and self.interval._replace(low=self.interval.low * factor, high=self.interval.high * factor),
            ceiling=None if self.ceiling is None else self.ceiling * factor,
            samples=None if self.samples is None else self.samples * factor,
            influence=None if self.influence is None else self.influence * factor,
            unit=unit,
        )


_NATS_PER = {"nats": 1.0, "bits": math.log(2)}


@dataclass(frozen=True)
class Row:
    """One measured number, tidy: everything a report or a comparison needs, nothing it must parse."""

    run: str  # key of the run directory that measured it
    study: str
    section: str
    dataset: str
    split: str
    augmentation: str
    model: str
    seed: int
    quantity: str
    value: float
    unit: str
    n: int
    params: Mapping[str, Any] = field(default_factory=dict)
    stderr: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    bound: Bound = "none"
    note: str = ""
    ceiling: float | None = None  # of a contrastive estimate; see `Estimate`
    saturated: bool = False


class Printed(NamedTuple):
    """A mean ± standard deviation over ``trials`` that a publication prints, and where."""

    value: float
    sd: float
    decimals: int  # as printed
    trials: int | None  # None where it does not say
    source: str


PaperValues = Mapping[str, Mapping[str, Printed]]  # augmentation → quantity → printed


@dataclass(frozen=True)
class Task:
    """One step of a study whose output is stored: a training, a measurement.

    ``config`` holds the settings that determine the output, defaults left out. ``work(run, inputs, context)`` leaves
    its files in the folder ``run`` and returns its rows; ``inputs`` are the whole runs of the tasks named there.
    """

    kind: str
    version: int  # raised when the same config would give another output
    label: str  # for people
    config: Mapping[str, Any]
    inputs: tuple[Task, ...]
    work: Callable[[Any, tuple[Any, ...], Any], Sequence[Row]] = field(compare=False)


@dataclass(frozen=True)
class Section:
    """One question asked of an augmentation, such as ``vae``: declared in the ``config.py`` of its package.

    Any installed package adds its own by an entry point in the group ``mixlens.sections`` (docs/sections.md). The two
    modules are named, not imported: a report is made without ``run`` and its torch, a study runs without ``figures``.
    """

    name: str  # of its settings, its rows and its command
    summary: str  # one sentence for the command's help
    config: type  # a frozen dataclass whose defaults are the paper's
    run: str  # module with ``tasks(study, dataset, backend)``
    figures: str  # module with ``ABOUT``, ``tables``, ``plots`` and ``measured``
    uses: tuple[str, ...] = ()  # other sections whose settings it reads
    command: str = ""  # where it is not called as the section is

    def tasks(self, study: Any, dataset: Any, backend: Any) -> Sequence[Task]:
        """The tasks that answer the question for every augmentation and seed of a `Study`."""
        found: Sequence[Task] = import_module(self.run).tasks(study, dataset, backend)
        return found
