"""Work that takes turns: several trainings go on side by side in one process, a step of each in turn.

Work is a generator that yields where another may go on, and returns what it leaves. What a piece of work sets for the
whole process (PyTorch's own random draws, the deterministic switch, a CUDA stream) is set for each of its turns alone.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from typing import TypeVar

T = TypeVar("T")
Turns = Generator[None, None, T]


def whole(work: Turns[T]) -> T:
    """All turns, one after the other, without waiting for anybody: what the work returns."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value


def within(work: Turns[T], setting: Callable[[], AbstractContextManager[object]]) -> Turns[T]:
    """The same work, each turn within a context that ``setting`` makes anew."""
    try:
        while True:
            with setting():
                try:
                    next(work)
                except StopIteration as end:
                    return end.value
            yield
    finally:
        work.close()
