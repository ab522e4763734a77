"""The types that travel between the parts. A leaf: it imports nothing of ours, and torch only for type checking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

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


@dataclass(frozen=True)
class Estimate:
    """A number with its error and its direction.

    ``bound`` says what the estimate is in expectation of the quantity it is reported for; ``stderr`` is the standard
    error over the n samples, not over training seeds.
    """

    value: float
    stderr: float
    n: int
    bound: Bound
    unit: str = "nats"


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


class Printed(NamedTuple):
    """A mean ± standard deviation over ``trials`` that a publication prints, and where."""

    value: float
    sd: float
    decimals: int  # as printed
    trials: int
    source: str


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


class Section(Protocol):
    """One question asked of an augmentation, such as ``vae``: what a study needs to know of it."""

    name: str
    config: type  # a frozen dataclass whose defaults are the paper's

    def tasks(self, study: Any, dataset: Any, backend: Any) -> Sequence[Task]:
        """The tasks that answer the question for every augmentation and seed of a `Study`."""
        ...
