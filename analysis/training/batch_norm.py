"""Batch normalisation over a batch whose rows several processes hold: that of the whole batch, as one would compute it.

PyTorch's own `SyncBatchNorm` does it on GPUs alone. Here every call of ``torch.nn.functional.batch_norm`` in training
mode is answered, whichever module makes it, so that no network has to be converted. It is plain arithmetic on any
device.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.overrides import TorchFunctionMode

if TYPE_CHECKING:
    from .ranks import Ranks


class WholeBatchNorm(TorchFunctionMode):
    """Within it batch normalisation is over the rows of all processes."""

    def __init__(self, ranks: Ranks) -> None:
        super().__init__()
        self.ranks = ranks

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is not F.batch_norm or not kwargs["training"]:  # torch hands it on by its name
            return func(*args, **kwargs)
        return batch_norm(self.ranks, *args, **kwargs)


def batch_norm(
    ranks: Ranks,
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` in training mode of x (B, C, …), whose rows go on in other processes.

    Means m_r and variances v_r of the processes' n_r values a channel make those of all N: m = Σ n_r m_r / N and
    v = Σ n_r (v_r + (m_r − m)²) / N (Chan, Golub and LeVeque 1983), which cancels nothing. Gradients flow through both.
    """
    exact = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    channels, shape = x.shape[1], (1, -1, *[1] * (x.ndim - 2))
    var, mean = torch.var_mean(exact, [0, *range(2, x.ndim)], correction=0)
    size = exact.new_full((1,), x.numel() / channels)
    own = torch.cat([size, mean, var])[None]
    moments = _Sum.apply(F.pad(own, (0, 0, ranks.rank, ranks.world - ranks.rank - 1)), ranks)  # (processes, 1 + 2 C)
    sizes, means, variances = moments.split([1, channels, channels], dim=1)
    count = sizes.sum()
    share = sizes / count
    mean = (share * means).sum(0)
    var = (share * (variances + (means - mean) ** 2)).sum(0)
    with torch.no_grad():
        if running_mean is not None:
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        if running_var is not None:
            running_var.lerp_((var * count / (count - 1)).to(running_var.dtype), momentum)
    scale = (var + eps).rsqrt() if weight is None else weight * (var + eps).rsqrt()
    normalised = (exact - mean.view(shape)) * scale.view(shape)
    if bias is not None:
        normalised = normalised + bias.view(shape)
    return normalised.to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over the processes, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, ranks: Ranks) -> Tensor:
        ctx.ranks = ranks
        return ranks.sum(values.clone())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.ranks.sum(gradient.clone()), None
