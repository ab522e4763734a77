"""What every mixing augmentation shares: λ, partners, labels. A subclass only says how a mask is made from λ.

Pitfalls this file settles once: λ is the *realised* mean of each mask, unless the λ drawn is asked for; partners come
from one permutation; nothing is kept on the object between calls, so one instance serves any number of loaders.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from operator import index
from typing import Any, Literal, get_args

import torch
from torch import Generator, Tensor
from torch.utils.data import default_collate

from ..errors import InputError
from ..interface import MIX_DEFAULTS, MixedBatch
from ..schema import number
from .threshold import EXACT

Mode = Literal["elem", "batch", "batch-mask"]
Labels = Literal["realised", "asked"]
_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
IMAGES = ("image", "img", "x", "pixel_values", "input_values", "signal", "volume")  # of dictionaries
LABELS = ("label", "labels", "target", "y")  # of dictionaries
ALPHA_MIN, ALPHA_MAX = 1e-6, 1e6  # beyond, λ is 0 or 1, or ½, in float32


def source(generator: Generator | None, device: torch.device | str | None) -> dict[str, Any]:
    """Arguments of a draw: made on the generator's device, so that a CPU seed means the same on every machine.

    Without ``generator=None``, with which PyTorch compiles no draw whose size varies.
    """
    if generator is not None:
        return {"generator": generator, "device": generator.device}
    return {"device": torch.device(device if device is not None else "cpu")}


def floats(generator: Generator | None, device: torch.device | str | None) -> dict[str, Any]:
    """`source` of float32 numbers, whatever PyTorch's default type is."""
    return {**source(generator, device), "dtype": torch.float32}


def sample_lam(
    n: int,
    alpha: float = 1.0,
    *,
    reformulate: bool = False,
    generator: Generator | None = None,
    device: torch.device | str | None = None,
) -> Tensor:
    """n mixing coefficients λ ~ Beta(α, α), or Beta(α+1, α) for ``reformulate``. Shape (n,), float32.

    Source: Zhang et al. 2017 (MixUp); the reformulation is the paper's published code. Drawn as a ratio of two gammas
    in log space, which stays exact where a plain ratio underflows (α ≲ 0.02 gives 0/0 in float32).

    Raises:
        InputError: α is not a positive finite number.
    """
    alpha = number(alpha)
    check_alpha(alpha)
    drawn = floats(generator, device)
    if alpha == 1.0 and not reformulate:
        lam = torch.rand(n, **drawn)
    else:
        # log Gamma(a) = log Gamma(a+1) + log(U)/a, in distribution (Marsaglia & Tsang 2000).
        first, second = (
            torch._standard_gamma(
                torch.full((n,), a + 1, dtype=torch.float32, device=drawn["device"]), generator=generator
            ).log()
            + (1 - torch.rand(n, **drawn)).log() / a  # U in (0, 1]
            for a in (float(alpha) + 1 if reformulate else float(alpha), float(alpha))
        )
        lam = torch.sigmoid(first - second)
    return lam.to(device) if device is not None else lam


def check_alpha(alpha: float, name: str = "alpha") -> None:
    if not (isinstance(alpha, (int, float)) and ALPHA_MIN <= alpha <= ALPHA_MAX):
        raise InputError(
            f"{name} must be a positive number, {ALPHA_MIN:g} to {ALPHA_MAX:g} (the Beta distribution's parameter), "
            f"got {alpha!r}."
        )


def for_counts(lam: Tensor, pixels: int) -> Tensor:
    """λ in a type in which so many pixels are counted: bfloat16 has 8 digits, float32 no odd numbers beyond 2²⁴."""
    return lam.double() if pixels > EXACT else lam.float() if lam.element_size() < 4 else lam


def readable(values: Tensor) -> bool:
    """Whether values can be looked at for little: on a CPU, and not by a compiler. Elsewhere they are waited for."""
    return values.device.type == "cpu" and not torch.compiler.is_compiling()


def check_lam(lam: Tensor) -> None:
    """λ must be a float vector inside [0, 1]; its values are read where they are `readable`."""
    if not isinstance(lam, Tensor) or lam.ndim != 1 or not lam.is_floating_point():
        given = f"{lam.dtype} of shape {tuple(lam.shape)}" if isinstance(lam, Tensor) else repr(lam)
        raise InputError(f"lam must be a float tensor of shape (B,), got {given}.")
    if lam.numel() == 0 or not readable(lam):
        return
    low, high = torch.aminmax(lam)
    if not (low.item() >= 0 and high.item() <= 1):  # NaN comes through as both
        bad = lam[~((lam >= 0) & (lam <= 1))][0].item()
        raise InputError(f"lam must lie in [0, 1], got {bad:g}.")


def as_size(size: int | Sequence[int]) -> tuple[int, ...]:
    """A mask size as a tuple of one to three positive integers."""
    try:
        size = number(size)
        dims = tuple(index(side) for side in ((size,) if isinstance(size, int) else size))
    except TypeError:
        raise InputError(f"a mask's size is one to three whole numbers, such as (32, 32), got {size!r}.") from None
    if not 1 <= len(dims) <= 3 or min(dims) < 1:
        raise InputError(f"a mask has 1, 2 or 3 dimensions of at least 1 each, got size {dims}.")
    return dims


def soft_labels(y: Tensor, num_classes: int | None) -> Tensor:
    """One-hot float32 labels (B, classes) for integer classes (B,); soft labels pass through unchanged."""
    if y.ndim == 2:
        if not y.is_floating_point():
            raise InputError(f"soft labels (B, classes) must be float, got {y.dtype}.")
        if num_classes is not None and y.shape[1] != num_classes:
            raise InputError(f"soft labels have {y.shape[1]} columns, but num_classes is {num_classes}.")
        return y
    if num_classes is None:
        raise InputError(
            "integer labels need num_classes, e.g. FMix(num_classes=10); or give (B, classes) soft labels."
        )
    return torch.zeros(len(y), num_classes, dtype=torch.float32, device=y.device).scatter_(1, y.long()[:, None], 1.0)


def _only(batch: Mapping[str, Any], names: Sequence[str], kind: str) -> str:
    held = [name for name in names if name in batch]
    if len(held) != 1:
        raise InputError(
            f"a sample's {kind} is expected under one of {', '.join(names)}; got the keys {', '.join(map(str, batch))}."
        )
    return held[0]


@dataclass(frozen=True)
class Mix:
    """Base of `MixUp`, `CutMix` and `FMix`.

    Args:
        alpha: λ ~ Beta(alpha, alpha).
        num_classes: needed when labels are integers and soft labels are wanted.
        reformulate: λ ~ Beta(alpha + 1, alpha) and only the first label is used.
        p: probability that a sample (``mode="elem"``) or a batch (the other modes) is mixed at all.
        mode: ``"elem"`` draws a λ and a mask for each sample; ``"batch"`` one λ for the batch and a mask for each
            sample, as the paper's CutMix trainings; ``"batch-mask"`` one of both for the batch, as its FMix trainings.
        lam: what weights the first label: the mask's mean (``"realised"``) or the λ that was drawn or handed in
            (``"asked"``). A mask that is handed in without its λ has no other weight than its mean.
        target_alpha: maps each λ's label weight through Beta(alpha, alpha)'s CDF and Beta(target_alpha, target_alpha)'s
            inverse CDF (paper, appendix F.3). Computed with SciPy on the CPU; None leaves the weight at λ.
    """

    alpha: float = MIX_DEFAULTS["alpha"]
    _: KW_ONLY
    num_classes: int | None = None
    reformulate: bool = False
    p: float = MIX_DEFAULTS["p"]
    mode: Mode = "elem"
    lam: Labels = "realised"
    target_alpha: float | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "num_classes", "p", "target_alpha"):
            object.__setattr__(self, name, number(getattr(self, name)))
        check_alpha(self.alpha)
        if self.target_alpha is not None:
            check_alpha(self.target_alpha, "target_alpha")
        if not (isinstance(self.p, (int, float)) and 0 <= self.p <= 1):
            raise InputError(f"p is a probability in [0, 1], got {self.p!r}.")
        if self.mode not in get_args(Mode):
            raise InputError(
                "mode must be 'elem' (a λ and a mask per sample), 'batch' (one λ, a mask per sample) or 'batch-mask' "
                f"(one of each for all), got {self.mode!r}."
            )
        if self.lam not in get_args(Labels):
            raise InputError(f"lam must be 'realised' (a mask's mean) or 'asked' (the λ drawn), got {self.lam!r}.")
        if self.num_classes is not None and not (isinstance(self.num_classes, int) and self.num_classes >= 1):
            raise InputError(f"num_classes must be a whole number of at least 1, got {self.num_classes!r}.")

    def draw_mask(self, lam: Tensor, size: tuple[int, ...], *, generator: Generator | None = None) -> Tensor:
        """Masks of mean λ: (B,) → (B, 1, *size), or any shape that broadcasts to it."""
        raise NotImplementedError

    def label_weight(self, mask: Tensor) -> Tensor:
        """Weight of the first label for each mask: its realised mean, (B,)."""
        pixels = mask.flatten(1)
        if pixels.shape[1] > EXACT:
            return pixels.mean(1, dtype=torch.float64).to(mask.dtype)
        return pixels.mean(1)

    def pairs(
        self,
        x: Tensor,
        y: Tensor,
        *,
        generator: Generator | None = None,
        step: int | None = None,
        lam: Tensor | None = None,
        index: Tensor | None = None,
        mask: Tensor | None = None,
        applied: Tensor | None = None,
    ) -> MixedBatch:
        """Mix a batch and keep both labels, for losses computed pairwise.

        Args:
            x: (B, C, *size) floating point, B ≥ 2, size of 1 to 3 dimensions.
            y: (B,) integer classes or (B, classes) soft labels.
            generator: source of every draw; None uses PyTorch's global generator of x's device.
            step: accepted for symmetry with `Alternate`; not used here.
            lam, index, mask, applied: any draw can be handed in: λ (B,) or (1,); the partners (B,); the masks
                (B or 1, 1, *size), which then decide λ; which samples are mixed at all (B,) or (1,) bool.

        Raises:
            InputError: fewer than two images, integer or NaN images, labels or draws of the wrong kind or length.
        """
        check_batch(x, y, self.num_classes)
        return self._mix(x, y, generator, lam, index, mask, applied)

    def _mix(
        self,
        x: Tensor,
        y: Tensor,
        generator: Generator | None,
        lam: Tensor | None = None,
        index: Tensor | None = None,
        mask: Tensor | None = None,
        applied: Tensor | None = None,
    ) -> MixedBatch:
        """`pairs` for a batch that has been checked."""
        lam, index, mask, applied = map(tensor_of, (lam, index, mask, applied))
        check_draws(x, lam, index, mask, applied)
        n, size, device = len(x), tuple(x.shape[2:]), x.device
        groups = n if self.mode == "elem" else 1
        if mask is None:
            if lam is None:
                lam = sample_lam(groups, self.alpha, reformulate=self.reformulate, generator=generator, device=device)
            mask = self.draw_mask(lam.expand(n) if self.mode == "batch" else lam, size, generator=generator)
        if index is None:
            index = torch.randperm(n, **source(generator, device))
        if applied is None and self.p < 1:
            applied = torch.rand(groups, **floats(generator, device)) < self.p
        asked = lam if self.lam == "asked" else None
        if applied is not None:
            applied = applied.to(device)
            mask = torch.where(applied.view(-1, *[1] * (mask.ndim - 1)), mask, 1.0)
            asked = torch.where(applied, asked, 1.0) if asked is not None else None

        mask, index = mask.to(device, x.dtype), index.to(device, torch.int64)
        exact = mask.float() if x.dtype in (torch.float16, torch.bfloat16) else mask
        weight = self.label_weight(exact) if asked is None else asked.to(device, exact.dtype)
        weight = self._target(weight).expand(n)
        return MixedBatch(
            x=blend(x[index], x, mask.expand_as(x[:, :1])),
            y=y,
            y_partner=y if self.reformulate else y[index],
            lam=weight,
            index=index,
            mask=mask.expand(n, 1, *size),
        )

    def __call__(
        self, x: Tensor, y: Tensor, *, generator: Generator | None = None, step: int | None = None, **draws: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Mixed images and soft labels λ·y₁ + (1 − λ)·y₂, (B, classes). Arguments as for `pairs`."""
        check_batch(x, y, self.num_classes)
        batch = self._mix(x, soft_labels(y, self.num_classes), generator, **draws)
        return batch.x, blend(batch.y_partner, batch.y, batch.lam[:, None].to(batch.y.dtype))

    def collate(self, samples: Sequence[Any]) -> Any:
        """A ``collate_fn`` for `torch.utils.data.DataLoader`: collate samples, then mix their images and labels.

        Samples are (image, label, …) or dictionaries with one image and one label (`IMAGES`, `LABELS`); what else they
        hold comes as it is. A single sample, such as the last batch of a loader may be, is not mixed.
        """
        batch = default_collate(list(samples))
        if isinstance(batch, Mapping):
            image, label = (_only(batch, names, kind) for names, kind in ((IMAGES, "image"), (LABELS, "label")))
            x, y = self._collated(batch[image], batch[label])
            return {**batch, image: x, label: y}
        if not isinstance(batch, list | tuple) or len(batch) < 2:
            raise InputError(
                f"samples to collate are (image, label, …) or dictionaries, got {type(samples[0]).__name__}."
            )
        return (*self._collated(*batch[:2]), *batch[2:])

    def _collated(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        if isinstance(x, Tensor) and isinstance(y, Tensor) and len(x) == 1:
            return x, soft_labels(y, self.num_classes)
        return self(x, y)

    def _target(self, weight: Tensor) -> Tensor:
        if self.target_alpha is None:
            return weight
        from scipy.special import betainc, betaincinv

        first = self.alpha + 1 if self.reformulate else self.alpha
        cdf = betainc(first, self.alpha, weight.double().cpu().numpy())
        mapped = torch.from_numpy(betaincinv(self.target_alpha, self.target_alpha, cdf))
        return mapped.to(weight.device, weight.dtype)


def blend(partner: Tensor, own: Tensor, weight: Tensor) -> Tensor:
    """weight · own + (1 − weight) · partner. Weights of 0 and 1 choose, so that a left out infinity stays out."""
    mixed = torch.lerp(partner, own, weight)
    if readable(mixed) and bool(mixed.detach().sum(dtype=torch.promote_types(mixed.dtype, torch.float32)).isfinite()):
        return mixed  # choosing would give the same, for more
    return torch.where(weight == 1, own, torch.where(weight == 0, partner, mixed))


def tensor_of(values: Any) -> Any:
    """Draws that are handed in as a number, a list or an array, as a tensor."""
    if values is None or isinstance(values, Tensor):
        return values
    try:
        return torch.atleast_1d(torch.as_tensor(values))
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"a draw must be a tensor, or what PyTorch makes one of: {error}") from error


def check_batch(x: Tensor, y: Tensor, num_classes: int | None) -> None:
    """A batch that can be mixed: two or more float sequences, images or volumes without NaN, and labels in range.

    Values are read where they are `readable`. Elsewhere an impossible label fails in ``scatter_``, and a NaN image in
    the loss.
    """
    if not isinstance(x, Tensor) or not isinstance(y, Tensor):
        raise InputError(f"images and labels must be tensors, got {type(x).__name__} and {type(y).__name__}.")
    if x.ndim < 3 or x.ndim > 5 or not x.is_floating_point():
        if x.is_floating_point():
            remedy = "One channel is x[:, None]." if x.ndim == 2 else ""
        elif x.ndim == 2:
            remedy = "Of texts as numbers of words, mix the embeddings (B, channels, length)."
        else:
            remedy = "Scale uint8 images to floats first."
        raise InputError(
            "images to mix must be floating point of shape (B, C, *size) with 1 to 3 spatial dimensions, as sequences, "
            f"images and volumes have; got {x.dtype} of shape {tuple(x.shape)}. {remedy}".rstrip()
        )
    if len(x) < 2:
        raise InputError(f"mixing needs a batch of at least 2 images, got {len(x)}.")
    if y.ndim not in (1, 2) or len(y) != len(x):
        raise InputError(f"{len(x)} images need labels (B,) or (B, classes), got shape {tuple(y.shape)}.")
    if y.ndim == 1 and y.dtype not in _INTEGERS:
        raise InputError(f"class labels must be int8 to int64 or uint8, got {y.dtype}; soft labels are (B, classes).")
    if not readable(x):
        return
    if bool(x.detach().sum().isnan()):
        bad = x.detach().isnan().flatten(1).any(1).sum().item()
        if bad:  # else the sum of infinities
            raise InputError(f"{bad} of {len(x)} images contain NaN.")
    if y.ndim == 1 and num_classes is not None:
        outside = (y < 0) | (y >= num_classes)
        if bool(outside.any()):
            raise InputError(
                f"label {y[outside][0].item()} is outside 0..{num_classes - 1} (num_classes={num_classes})."
            )


def check_draws(
    x: Tensor, lam: Tensor | None, index: Tensor | None, mask: Tensor | None, applied: Tensor | None
) -> None:
    """Draws handed in by the caller: their shapes always, their values unless that would break a compiled graph."""
    n, size = len(x), tuple(x.shape[2:])
    values = not torch.compiler.is_compiling()
    for name, draw in (("lam", lam), ("mask", mask), ("applied", applied)):
        if draw is not None and (draw.ndim == 0 or len(draw) not in (1, n)):
            raise InputError(f"{name} of shape {tuple(draw.shape)} for a batch of {n}; give {n} draws, or 1.")
    if lam is not None:
        check_lam(lam)
    if applied is not None and applied.dtype != torch.bool:
        raise InputError(f"applied must be bool, got {applied.dtype}.")
    if index is not None:
        if tuple(index.shape) != (n,) or index.is_floating_point() or index.dtype == torch.bool:
            raise InputError(f"index must hold {n} whole numbers, got {index.dtype} of shape {tuple(index.shape)}.")
        if values and not bool(((index >= 0) & (index < n)).all()):
            raise InputError(f"index must name partners 0..{n - 1}, got {index.tolist()}.")
    if mask is not None:
        if tuple(mask.shape[1:]) != (1, *size):
            raise InputError(f"mask must have shape (B, 1, {', '.join(map(str, size))}), got {tuple(mask.shape)}.")
        if values and not bool(((mask >= 0) & (mask <= 1)).all()):
            raise InputError("mask values must lie in [0, 1].")
