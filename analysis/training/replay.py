"""A function of batches, row by row, replayed as CUDA graphs: for measuring what `engine` is for training.

Attacks call one function thousands of times on batches of every size, and a slow host then leaves a GPU waiting.
Batches are put into static ones whose sizes are powers of two, so that there are few graphs; what the other rows of
those hold is thrown away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..errors import InputError, first_line

Function = Callable[..., tuple[Tensor, ...]]  # tensors (B, …) → tensors (B, …), row i of row i alone
WARM_CALLS = 3
SMALLEST = 32


class _Graph(NamedTuple):
    graph: Any  # None: the function is called
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


class Replayed:
    """``function``, which must treat each row by itself, captured for each size of batches and replayed.

    Without a CUDA device nothing is captured and the same code runs, so that it can be tested there. A function that
    cannot be captured, since it waits for the device, is called from then on, and ``say`` is told in one line.
    """

    def __init__(self, function: Function, device: torch.device, say: Callable[[str], None]) -> None:
        self._function, self._say = function, say
        self._captures = device.type == "cuda"
        self._refused = False
        self._graphs: dict[tuple[object, ...], _Graph] = {}
        self._pool: Any = None  # the memory of all graphs, of which one at a time is at work

    def __call__(self, *batches: Tensor) -> tuple[Tensor, ...]:
        if self._refused:
            return self._function(*batches)
        rows = len(batches[0])
        size = max(SMALLEST, 1 << (rows - 1).bit_length())
        key = (size, *((batch.shape[1:], batch.dtype) for batch in batches))
        if key not in self._graphs:
            made = self._capture(tuple(_static(batch, size) for batch in batches))
            if made is None:
                return self._function(*batches)
            self._graphs[key] = made
        graph, inputs, outputs = self._graphs[key]
        for static, batch in zip(inputs, batches, strict=True):
            static[:rows].copy_(batch)
        if graph is None:
            outputs = self._function(*inputs)
        else:
            graph.replay()
        return tuple(output[:rows].clone() for output in outputs)

    def _capture(self, inputs: tuple[Tensor, ...]) -> _Graph | None:
        if not self._captures:
            return _Graph(None, inputs, ())
        for _ in range(WARM_CALLS):  # lazy initialisations and the choice of algorithms
            self._function(*inputs)
        try:
            graph = torch.cuda.CUDAGraph()
            # thread_local: a checkpoint of a training beside this may be on its way to the disk in another thread.
            with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
                outputs = self._function(*inputs)
        except (InputError, torch.OutOfMemoryError):
            raise
        except RuntimeError as error:
            self._refused, self._graphs = True, {}
            self._say(f"passes run one by one, not as a CUDA graph: {first_line(error)}")
            return None
        self._pool = graph.pool()
        return _Graph(graph, inputs, outputs)


def replayed(function: Function, device: torch.device, say: Callable[[str], None]) -> Function:
    """``function``, replayed where that is faster: on a CUDA device."""
    return Replayed(function, device, say) if device.type == "cuda" else function


def _static(batch: Tensor, size: int) -> Tensor:
    """Zeros (size, …) in the batch's memory format."""
    zeros = batch.new_zeros(size, *batch.shape[1:])
    if batch.ndim == 4 and batch.is_contiguous(memory_format=torch.channels_last):
        return zeros.contiguous(memory_format=torch.channels_last)
    return zeros
