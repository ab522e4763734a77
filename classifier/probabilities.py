"""Whether what a model returns are probabilities, or sums of them, where logits are expected."""

from __future__ import annotations

from typing import Any

from torch import Tensor

ENDS = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Hardsigmoid": "hardsigmoid"}  # of what makes a graph's node
# What makes sums, means, multiples and other shapes of what it is given; no layer with weights ends in one of these.
PASSES_ON = {
    *("Add", "Sub", "Rsub", "Mul", "Div", "Neg", "Mean", "Sum", "Stack", "Cat", "Clone", "ToCopy", "Clamp", "Lerp"),
    *("View", "UnsafeView", "ReshapeAlias", "Squeeze", "Unsqueeze", "Select", "Slice", "Permute", "Transpose", "T"),
    *("Expand", "Alias", "Unbind", "Split", "Index", "Average", "Flip"),
}


def source_of_probabilities(outputs: Tensor) -> str:
    """``softmax`` or ``sigmoid``, where all that the outputs (B, classes) are sums or multiples of are such; else "".

    Read from their graph, so that logits that happen to lie in [0, 1] are none.
    """
    return (outputs.grad_fn is not None and _source(outputs.grad_fn, {})) or ""


def sum_alike(outputs: Tensor) -> bool:
    """Whether rows (B, classes) are at least 0 and sum to one, or differ and all sum to the same."""
    sums = outputs.sum(1)
    if outputs.min() < 0:
        return False
    differ = (outputs - outputs[:1]).abs().max() > 1e-3 * sums.max()  # a constant may be anything
    to_one = ((sums - 1).abs() < 1e-4).all()
    return bool(to_one or (differ and ((sums - sums[0]).abs() < 1e-5 * sums[0]).all()))


def _source(node: Any, known: dict[Any, str | None]) -> str | None:
    """What the branches that lead to a node all end in; "" where one ends elsewhere, None where none does in the input.

    ``known`` are the nodes seen before.
    """
    if node not in known:
        kind = type(node).__name__.partition("Backward")[0]
        if kind == "AccumulateGrad":  # a weight, or the image
            known[node] = None
        elif kind in ENDS:
            known[node] = ENDS[kind]
        elif kind in PASSES_ON:
            sources = {_source(before, known) for before, _ in node.next_functions if before is not None} - {None}
            known[node] = None if not sources else "" if "" in sources else str(min(map(str, sources)))
        else:
            known[node] = ""
    return known[node]
