"""Networks whose outputs are several heads: one tensor that is split, or a tuple of the network's own."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from ..errors import InputError


def with_heads(network: nn.Module, sizes: Sequence[int]) -> nn.Module:
    """The same network, which from now on returns a tuple of logits, (B, size) for each of ``sizes``.

    One tensor (B, Σ sizes) is split in that order, so that any network that ends in a linear layer of so many outputs
    has one linear layer for each head. Its modules and weights keep their names.

    Raises:
        InputError: when it is called, and returns something else.
    """
    network.register_forward_hook(partial(_split, tuple(sizes)))
    return network


def _split(sizes: tuple[int, ...], network: nn.Module, inputs: Any, outputs: Any) -> tuple[Tensor, ...]:
    if isinstance(outputs, Tensor) and outputs.ndim == 2 and outputs.shape[1] == sum(sizes):
        return outputs.split(sizes, dim=1)
    if isinstance(outputs, tuple | list) and all(isinstance(one, Tensor) for one in outputs):
        if [tuple(one.shape[1:]) for one in outputs] == [(size,) for size in sizes]:
            return tuple(outputs)
        found = " and ".join(str(tuple(one.shape)) for one in outputs)
    else:
        found = str(tuple(outputs.shape)) if isinstance(outputs, Tensor) else type(outputs).__name__
    raise InputError(
        f"the model returns {found}; expected logits for heads of {', '.join(map(str, sizes))} classes: a tuple of as "
        f"many tensors (B, classes), or one tensor (B, {sum(sizes)})."
    )
