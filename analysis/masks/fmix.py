"""FMix: binary masks from thresholded low-frequency noise (the paper, section 4, eq. 1–3).

Pitfalls, each with a test:

* A complex inverse transform yields two images, its real and its imaginary part: for complex white noise and a real
  filter they are independent and of one distribution. Two for one beats a half-spectrum ``irfft``, which is slower and,
  done naively, not isotropic (its kx = 0 and Nyquist columns would need √2 more amplitude than the rest).
* The zero frequency has no finite 1/f^δ; it is clamped to the lowest non-zero frequency. It only shifts the image,
  which no threshold sees.
* λ·n is rarely whole: the number of ones is its floor or ceiling, drawn so that it is right on average.
* Neighbouring float32 values do tie on large smooth images; ties are broken in raster order, so the count stays exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import InputError, unknown
from ..interface import MIX_DEFAULTS
from ..schema import number
from .threshold import EXACT, count_ones, soft_top, top_by_rank, top_by_salience, top_by_value
from .transform import Mix, as_size, check_lam, floats, for_counts, readable, tensor_of

Variant = Literal["paper", "official"]
# Masks made at a time on a CPU: few enough that spectrum, image and sorted copy stay in a core's cache.
CPU_CHUNK_ELEMENTS = 2**18


def low_frequency_image(
    n: int,
    size: int | Sequence[int],
    decay_power: float = 3.0,
    *,
    variant: Variant = "paper",
    generator: Generator | None = None,
    device: torch.device | str | None = None,
    noise: Tensor | None = None,
) -> Tensor:
    """n low-frequency grey-scale images, (n, *size) float32: G = Re F⁻¹(Z / f^δ), Z complex white noise (eq. 1, 2).

    Scaled by the constant f_min^δ, so that no size or decay power leaves float32's range; a threshold does not see it.

    Args:
        n: number of images.
        size: one to three sides.
        decay_power: δ ≥ 0; larger is smoother.
        variant: ``"paper"`` is eq. 1–2. ``"official"`` has the distribution of the published implementation, which
            takes the first two rows of its noise for the real and imaginary parts of a spectrum: all energy sits in
            |kx| ≤ 1, and δ acts along one axis only (docs/masks.md).
        generator: source of the noise.
        device: where the images are wanted; with ``noise``, its device.
        noise: the white noise itself, of shape ``noise_shape(n, size, variant)``, in place of a draw.

    Raises:
        InputError: a bad size, decay power, variant or noise shape.
    """
    dims, n, decay_power, noise = as_size(size), number(n), number(decay_power), tensor_of(noise)
    _check_spectrum(decay_power, variant)
    shape = noise_shape(n, dims, variant)
    if noise is None:
        noise = torch.randn(shape, **floats(generator, device))
        noise = noise.to(device) if device is not None else noise
    elif tuple(noise.shape) != shape:
        raise InputError(f"noise for {n} images of size {dims} must have shape {shape}, got {tuple(noise.shape)}.")
    else:
        noise = noise.clone()
    return _images(noise, n, dims, _scale(dims, float(decay_power), variant, noise.device), variant)


def noise_shape(n: int, size: int | Sequence[int], variant: Variant = "paper") -> tuple[int, ...]:
    """Shape of the white noise behind n images, the last axis real and imaginary parts.

    ``"paper"``: (⌈n/2⌉, *size, 2), image 2i from the real part of transform i and image 2i + 1 from its imaginary part.
    ``"official"``: (n, *bins, 2).
    """
    dims = as_size(size)
    if variant == "paper":
        return ((n + 1) // 2, *dims, 2)
    return (n, *map(len, _official_axes(dims)[1:]), 2, 2)


def fmix_mask(
    lam: Tensor,
    size: int | Sequence[int],
    decay_power: float = 3.0,
    *,
    max_soft: float = 0.0,
    variant: Variant = "paper",
    salience: Tensor | None = None,
    generator: Generator | None = None,
    noise: Tensor | None = None,
    rounding: Tensor | None = None,
) -> Tensor:
    """FMix masks (B, 1, *size), of λ's type and device: ones on the top λ·n pixels of each low-frequency image (eq. 3).

    Args:
        lam: (B,) in [0, 1], on the device where the masks are wanted.
        size, decay_power, variant, noise: as for `low_frequency_image`.
        max_soft: at most this fraction of the pixels, on either side of the threshold, is ramped linearly from 1 to 0
            (appendix F.2); the mean is kept.
        salience: non-negative weights (*size); pixels are taken in descending order until their share of the salience
            reaches λ (appendix F.1). See `gaussian_salience`.
        generator: source of the rounding, then of the noise.
        rounding: (B,) uniform draws in [0, 1) that round λ·n up or down, in place of a draw. ``variant="official"``
            rounds either way with equal chance, as published.

    Raises:
        InputError: λ (on a CPU) outside [0, 1]; a bad size, decay power, softness, variant, salience or draw.
    """
    lam = tensor_of(lam)
    check_lam(lam)
    dims, decay_power, max_soft = as_size(size), number(decay_power), number(max_soft)
    salience, noise, rounding = map(tensor_of, (salience, noise, rounding))
    _check_spectrum(decay_power, variant)
    _check_soft(max_soft)
    check_salience(salience, dims)
    shape = noise_shape(len(lam), dims, variant)
    if noise is not None and tuple(noise.shape) != shape:
        raise InputError(f"noise must have shape {shape}, got {tuple(noise.shape)}.")
    if rounding is not None and rounding.shape != lam.shape:
        raise InputError(f"rounding must have shape {tuple(lam.shape)}, got {tuple(rounding.shape)}.")
    masks = _fmix_mask(lam, dims, float(decay_power), max_soft, variant, salience, generator, noise, rounding)
    return masks.to(lam.dtype)


def gaussian_salience(size: int | Sequence[int], sigma: float = 0.25) -> Tensor:
    """The prior of appendix F.1: a Gaussian about the centre, ``sigma`` in units of each side. Shape (*size)."""
    dims, sigma = as_size(size), number(sigma)
    if not sigma > 0:
        raise InputError(f"sigma must be positive, got {sigma!r}.")
    axes = [((torch.arange(side, dtype=torch.float32) + 0.5) / side - 0.5) / sigma for side in dims]
    squared = sum(axis.square() for axis in torch.meshgrid(*axes, indexing="ij"))
    return torch.exp(-0.5 * torch.as_tensor(squared))


@dataclass(frozen=True)
class FMix(Mix):
    """FMix: λ ~ Beta(alpha, alpha) of x₁ under a low-frequency binary mask, the rest from x₂.

    Beyond those of `Mix`:

    Args:
        decay_power: δ of eq. 1.
        max_soft, variant, salience: as for `fmix_mask`. With ``salience`` the label weight is the realised share of the
            salience, not of the area.
    """

    decay_power: float = MIX_DEFAULTS["decay_power"]
    _: KW_ONLY
    max_soft: float = MIX_DEFAULTS["max_soft"]
    variant: Variant = "paper"
    salience: Tensor | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("decay_power", "max_soft"):
            object.__setattr__(self, name, number(getattr(self, name)))
        object.__setattr__(self, "salience", tensor_of(self.salience))
        _check_spectrum(self.decay_power, self.variant)
        _check_soft(self.max_soft)

    def draw_mask(self, lam: Tensor, size: tuple[int, ...], *, generator: Generator | None = None) -> Tensor:
        check_salience(self.salience, size)
        # A batch of texts of one word has no spectrum that the published code could make: all of it or nothing is kept.
        variant = "paper" if size == (1,) else self.variant
        return _fmix_mask(lam, size, self.decay_power, self.max_soft, variant, self.salience, generator)

    def label_weight(self, mask: Tensor) -> Tensor:
        if self.salience is None:
            return super().label_weight(mask)
        weights = self.salience.to(mask.device, mask.dtype)
        return (mask * weights).flatten(1).sum(1) / weights.sum()


def _fmix_mask(
    lam: Tensor,
    size: tuple[int, ...],
    decay_power: float,
    max_soft: float,
    variant: Variant,
    salience: Tensor | None,
    generator: Generator | None = None,
    noise: Tensor | None = None,
    rounding: Tensor | None = None,
) -> Tensor:
    n, pixels, device = len(lam), math.prod(size), lam.device
    scale = _scale(size, float(decay_power), variant, device)
    drawn = floats(generator, device)
    if rounding is None:
        rounding = torch.rand(n, **drawn)
    rounding = rounding.to(device)
    on_host = readable(lam)
    masks = torch.empty(n, pixels, dtype=torch.float32, device=device)
    for rows in _chunks(n, size, variant) if on_host else [slice(0, n)]:
        shape = noise_shape(rows.stop - rows.start, size, variant)
        first = rows.start // 2 if variant == "paper" else rows.start
        white = (
            torch.randn(shape, **drawn).to(device)
            if noise is None
            else noise[first : first + shape[0]].to(device, torch.float32, copy=True)
        )
        image = _images(white, rows.stop - rows.start, size, scale, variant).flatten(1)
        wanted, uniform, unbiased = for_counts(lam[rows], pixels), rounding[rows], variant == "paper"
        share = wanted if pixels > EXACT else wanted.float()
        if salience is not None:
            top_by_salience(image, lam[rows], salience.to(device), masks[rows])
        elif on_host and max_soft == 0:
            ones = count_ones(share.numpy(), pixels, uniform.numpy(), unbiased=unbiased)
            top_by_value(image, ones.astype(np.int64), masks[rows])
        else:
            count = count_ones(share, pixels, uniform, unbiased=unbiased).long()
            if max_soft > 0:
                soft_top(image, count, wanted, max_soft, masks[rows])
            else:
                top_by_rank(image, count, masks[rows])
    return masks.view(n, 1, *size)


def _chunks(n: int, size: tuple[int, ...], variant: Variant) -> list[slice]:
    """Which masks to make together on a CPU.

    An even number, since images come in pairs; and one whose normals fill whole blocks of 16, the unit in which PyTorch
    draws them: then many small draws give the same numbers as one large draw, here or on an accelerator.
    """
    unit = 2 * (16 // math.gcd(16, math.prod(noise_shape(2, size, variant))))
    step = unit * max(1, CPU_CHUNK_ELEMENTS // (unit * math.prod(size)))
    ends = [*range(step, n - unit + 1, step), n]  # a rest below one unit goes with the chunk before it
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _images(white: Tensor, n: int, size: tuple[int, ...], scale: Tensor, variant: Variant) -> Tensor:
    """White noise of shape `noise_shape` → n real images (n, *size). Overwrites ``white``."""
    white.mul_(scale)
    if variant == "official":
        return _official_images(white, size)
    pairs = torch.view_as_real(torch.fft.ifftn(torch.view_as_complex(white), dim=tuple(range(1, len(size) + 1))))
    return pairs.movedim(-1, 1).reshape(-1, *size)[:n]


def _official_images(white: Tensor, size: tuple[int, ...]) -> Tensor:
    """What numpy's ``irfftn(spectrum, size)`` makes of the published code's spectrum, smaller or larger than half."""
    bins, half = tuple(white.shape[1:-1]), (*size[:-1], size[-1] // 2 + 1)
    fitted = white.new_zeros(len(white), *half, 2)
    common = tuple(slice(min(have, want)) for have, want in zip(bins, half, strict=True))
    fitted[(slice(None), *common)] = white[(slice(None), *common)]
    spectrum = torch.view_as_complex(fitted)
    if len(size) > 1:
        spectrum = torch.fft.ifftn(spectrum, dim=tuple(range(1, len(size))))
    # FFT libraries differ in what they make of imaginary kx = 0 and Nyquist columns; numpy drops them.
    imaginary = torch.view_as_real(spectrum)[..., 1]
    imaginary[..., 0] = 0
    if size[-1] % 2 == 0:
        imaginary[..., -1] = 0
    return torch.fft.irfft(spectrum, n=size[-1])


def _scale(size: tuple[int, ...], decay_power: float, variant: Variant, device: torch.device) -> Tensor:
    """Amplitude of each bin, times f_min^δ. A constant to the compiler, which makes a graph for each size of images."""
    if torch.compiler.is_compiling():  # which may hold any of these numbers as a symbol
        from torch.fx.experimental.symbolic_shapes import guard_scalar  # half a second

        size, decay_power = tuple(int(guard_scalar(side)) for side in size), guard_scalar(decay_power)
    return _constant_scale(size, decay_power, variant, device)


@torch.compiler.assume_constant_result
def _constant_scale(size: tuple[int, ...], decay_power: float, variant: Variant, device: torch.device) -> Tensor:
    return _cached_scale(size, decay_power, variant, device)  # a compiler cannot see a cache


@lru_cache(maxsize=64)
def _cached_scale(size: tuple[int, ...], decay_power: float, variant: Variant, device: torch.device) -> Tensor:
    f_min = 1 / max(size)
    axes = [np.fft.fftfreq(side) for side in size] if variant == "paper" else _official_axes(size)
    amplitude = (f_min / np.maximum(_magnitude(axes), f_min)) ** decay_power
    # Written out for real and imaginary parts: multiplying by a value broadcast innermost is several times slower.
    if variant == "paper":
        amplitude = np.stack([amplitude] * 2, axis=-1)
    else:
        parts = np.stack([amplitude[0], amplitude[1]], axis=-1)  # two rows, taken for real and imaginary parts
        amplitude = np.stack([parts, parts], axis=-2)  # of two columns
    return torch.from_numpy(amplitude).to(device, torch.float32)


def _magnitude(axes: list[np.ndarray]) -> np.ndarray:
    return np.sqrt(sum(np.square(grid) for grid in np.meshgrid(*axes, indexing="ij")))


def _official_axes(size: tuple[int, ...]) -> list[np.ndarray]:
    """The published code's frequency grid: (h,), (h, half of w) or, its axes swapped, (h, z, half of w)."""
    if size[0] < 2:
        raise InputError(f"variant='official' needs a first side of at least 2, got size {size}.")
    axes = [np.fft.fftfreq(size[0])]
    if len(size) == 3:
        axes.append(np.fft.fftfreq(size[2]))
    if len(size) > 1:
        width = size[1]
        axes.append(np.fft.fftfreq(width)[: width // 2 + 1 + width % 2])
    return axes


def _check_spectrum(decay_power: float, variant: str) -> None:
    if not (isinstance(decay_power, (int, float)) and 0 <= decay_power < math.inf):
        raise InputError(f"decay_power must be a number of at least 0, got {decay_power!r}.")
    if variant not in get_args(Variant):
        raise unknown("FMix variant", variant, get_args(Variant))


def _check_soft(max_soft: float) -> None:
    if not (isinstance(max_soft, (int, float)) and 0 <= max_soft <= 0.5):
        raise InputError(f"max_soft must lie in [0, 0.5], got {max_soft!r}.")


def check_salience(salience: Tensor | None, size: tuple[int, ...]) -> None:
    if salience is None:
        return
    if tuple(salience.shape) != size:
        raise InputError(f"salience must have the images' size {size}, got {tuple(salience.shape)}.")
    if not readable(salience):
        return
    if not bool(((salience >= 0) & salience.isfinite()).all()) or not bool(salience.sum() > 0):
        raise InputError("salience must be non-negative, finite and not zero everywhere.")
