"""What kind of samples a data set has: images, texts, recordings or volumes. One module of ``modalities`` each.

All that differs between them stands there: what a split may hold, how it is encoded and batched, what is mixed. A split
says its kind by what it holds; beyond this few ask for it by name: what refuses a kind, and what is of one alone.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from typing import Any, NamedTuple, Protocol, Unpack, cast

from torch import Tensor, nn

from . import modalities
from .loader import Taken


class Changes(NamedTuple):
    """What a training does to each of its samples before it is mixed, as its settings say it."""

    flip: bool = False
    crop: int = 0
    transforms: str = ""


class Modality(Protocol):
    """What a module of ``modalities`` holds."""

    NAME: str  # as the module
    ONE: str  # of its samples, in messages
    MANY: str

    def holds(self, samples: Any) -> bool:
        """Whether samples of a split are of this kind; wrong ones of a kind are its own, to be refused by it."""
        ...

    def problem(self, samples: Any) -> str:
        """What is wrong with them, and what to do about it; empty if nothing is."""
        ...

    def encoded(self, samples: Tensor, *, channels_last: bool = False) -> Tensor:
        """Some of them, as indexing gives them, on the scale on which means and attacks are measured."""
        ...

    def parts(self, samples: Any, count: int) -> Iterator[tuple[Tensor | slice, Tensor]]:
        """All of them, up to about ``count`` at a time: their numbers, and themselves."""
        ...

    def batches(
        self,
        split: Any,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        *,
        changes: Changes | None = None,
        **taken: Unpack[Taken],
    ) -> Any:
        """The batches of a training, or without ``changes`` of an evaluation: a `loader.Batched`. Raises InputError."""
        ...

    def read_changes(self, text: str) -> str:
        """Transforms, as a study writes them, in their one form. Raises InputError for what is none of these."""
        ...

    def mixable(self, samples: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
        """Floats (B, C, *size) of the shape in which these samples are mixed, to try an augmentation on."""
        ...

    def halves(self, network: nn.Module) -> tuple[Any, Any]:
        """What a network does to a batch before it is mixed, and what afterwards: two callables."""
        ...


def modality_names() -> list[str]:
    return sorted(module.name for module in pkgutil.iter_modules(modalities.__path__))


@cache
def _modules() -> tuple[Modality, ...]:
    return tuple(map(modality_named, modality_names()))


def modality_named(name: str) -> Modality:
    return cast(Modality, import_module(f"{modalities.__name__}.{name}"))


def modality_of(samples: Any) -> Modality:
    """The kind of a split's samples; what is none of them is an image that is refused as one."""
    found = [one for one in _modules() if one.holds(samples)]
    return found[0] if found else modality_named("image")
