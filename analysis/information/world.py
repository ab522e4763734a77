"""A linear-Gaussian world in which every information is known: two encoders, a decoder, the true chain.

    x ~ N(0, Σ)    z_A = W_A x + b_A + noise    z_X = W_X x + b_X + noise    x̂ = G z_X    z′_A = W_A x̂ + b_A + noise

Z_A ← X → Z_X → X̂ → Z′_A. All variables are jointly Gaussian, so every information is a log-determinant. Estimators are
tested against it; use it to see which of them to trust at your dimensions, number of images and level of information.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from ..errors import InputError
from ..schema import number
from .encodings import finite


@dataclass(frozen=True, eq=False)
class LinearEncoder:
    """q(z|x) = N(W x + b, diag scale²): weight (d, p), offset (d,), scale (d,), float64."""

    weight: Tensor
    offset: Tensor
    scale: Tensor

    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Means and log-scales (N, d) of inputs (N, p)."""
        mean = x @ self.weight.T + self.offset
        return mean, self.scale.log().expand_as(mean).clone()

    def covariance(self, of_x: Tensor) -> Tensor:
        """Covariance (d, d) of z when x has the covariance (p, p)."""
        return self.weight @ of_x @ self.weight.T + torch.diag(self.scale.square())


class Sample(NamedTuple):
    """N draws along the chain."""

    x: Tensor  # (N, p)
    z_a: Tensor  # (N, d_A), of x
    z_x: Tensor  # (N, d_X), of x
    reconstruction: Tensor  # (N, p) x̂ = G z_X
    z_again: Tensor  # (N, d_A) z′_A, of x̂


@dataclass(frozen=True, eq=False)
class GaussianWorld:
    """Covariance Σ (p, p) of x, encoders of A and of X, decoder G (p, d_X); float64.

    Raises:
        InputError: shapes that do not fit, Σ not symmetric positive definite, scales not positive, values not finite.
    """

    covariance: Tensor
    encoder_a: LinearEncoder
    encoder_x: LinearEncoder
    decoder: Tensor

    def __post_init__(self) -> None:
        p = len(self.covariance)
        for name, values, shape in (
            ("covariance", self.covariance, (p, p)),
            ("decoder", self.decoder, (p, len(self.encoder_x.scale))),
            *((f"{e} weight", c.weight, (len(c.scale), p)) for e, c in self._encoders()),
            *((f"{e} offset", c.offset, (len(c.scale),)) for e, c in self._encoders()),
            *((f"{e} scale", c.scale, (len(c.scale),)) for e, c in self._encoders()),
        ):
            finite(name, values)
            if tuple(values.shape) != shape or values.dtype != torch.float64:
                raise InputError(f"{name} must be float64 of shape {shape}, got {values.dtype} {tuple(values.shape)}.")
        for name, encoder in self._encoders():
            if not (encoder.scale > 0).all():
                raise InputError(f"{name} scale holds standard deviations: all must be positive.")
        symmetric = torch.allclose(self.covariance, self.covariance.T, rtol=1e-10, atol=0)
        if not symmetric or torch.linalg.eigvalsh(self.covariance)[0] <= 0:
            raise InputError("covariance must be symmetric and positive definite.")

    def _encoders(self) -> tuple[tuple[str, LinearEncoder], ...]:
        return ("encoder_a", self.encoder_a), ("encoder_x", self.encoder_x)

    @classmethod
    def with_information(
        cls, nats: float, dimensions: int, *, offset: float = 0.0, stretch: float = 1.0, seed: int = 0
    ) -> GaussianWorld:
        """A world with I(Z_A; X) = I(Z_X; X) = ``nats`` in so many dimensions of z and of x, and the MMSE decoder.

        Rotations and the spectrum of Σ are drawn from ``seed``. With the defaults q(z) is N(0, I), so the rate has no
        gap; ``offset`` shifts every latent, and ``stretch`` scales half of them (rounded up), which leaves all
        informations as they are and opens the gap.
        """
        if not (math.isfinite(nats) and nats >= 0):
            raise InputError(f"nats is an information: finite, at least 0; got {nats}.")
        dimensions = number(dimensions)
        if not isinstance(dimensions, int) or dimensions < 1:
            raise InputError(f"dimensions must be at least 1, got {dimensions}.")
        if not (math.isfinite(offset) and math.isfinite(stretch) and stretch > 0):
            raise InputError(f"offset must be finite and stretch positive, got {offset} and {stretch}.")
        generator = Generator().manual_seed(seed)
        spectrum = torch.rand(dimensions, generator=generator, dtype=torch.float64) * 1.5 + 0.5
        basis = _rotation(dimensions, generator)
        covariance = basis @ torch.diag(spectrum) @ basis.T
        covariance = (covariance + covariance.T) / 2
        noise = math.exp(-2 * nats / dimensions)  # variance: I = −½ d log noise
        if noise < 1e-280:
            raise InputError(f"{nats} nats in {dimensions} dimensions need a scale below 1e-140; give more dimensions.")
        signal = -math.expm1(-2 * nats / dimensions)
        scales = torch.ones(dimensions, dtype=torch.float64)
        scales[: (dimensions + 1) // 2] = stretch

        def encoder() -> LinearEncoder:
            whitening = _rotation(dimensions, generator) @ torch.diag(spectrum.rsqrt()) @ basis.T
            return LinearEncoder(
                scales[:, None] * math.sqrt(signal) * whitening,
                torch.full((dimensions,), offset, dtype=torch.float64),
                scales * math.sqrt(noise),
            )

        a, x = encoder(), encoder()
        return cls(covariance, a, x, mmse_decoder(covariance, x))

    def information(self, encoder: LinearEncoder | None = None) -> float:
        """I(Z; X) = ½ log det(I + S⁻¹ W Σ Wᵀ), of Z_A unless another encoder is given."""
        return _captured(_whitened(encoder or self.encoder_a), self.covariance)

    def information_shared(self) -> float:
        """I(Z_A; Z_X) = I(Z_A; X) + I(Z_X; X) − I(Z_A, Z_X; X): given x, the two latents are independent."""
        a, x = _whitened(self.encoder_a), _whitened(self.encoder_x)
        return (
            _captured(a, self.covariance)
            + _captured(x, self.covariance)
            - _captured(torch.cat([a, x]), self.covariance)
        )

    def information_paired(self) -> float:
        """I(Z_A; X̂), the latent of x against the reconstruction of the *same* x: at most I(Z_A; Z_X)."""
        _, size, rows = torch.linalg.svd(self.decoder)
        kept = rows[: int((size > 1e-12 * size[0]).sum())]  # what of z_X the decoder lets through
        noise = torch.linalg.cholesky(kept @ torch.diag(self.encoder_x.scale.square()) @ kept.T)
        a = _whitened(self.encoder_a)
        x = torch.linalg.solve_triangular(noise, kept @ self.encoder_x.weight, upper=False)
        return (
            _captured(a, self.covariance)
            + _captured(x, self.covariance)
            - _captured(torch.cat([a, x]), self.covariance)
        )

    def information_reencoded(self) -> float:
        """I(Z′_A; X̂), the reconstruction against its own encoding: no inequality puts it below I(Z_A; Z_X)."""
        return _captured(_whitened(self.encoder_a), self._of_reconstruction())

    def rate(self) -> float:
        """E D(q_A(z|x) ‖ N(0, I)) = I(Z_A; X) + `gap`."""
        return self.information() + self.gap()

    def gap(self) -> float:
        """D(q_A(z) ‖ N(0, I)) = ½ [tr C + ‖b‖² − d − log det C], C = cov(z_A)."""
        return _divergence_from_prior(self.encoder_a.covariance(self.covariance), self.encoder_a.offset)

    def rate_reencoded(self) -> float:
        """E D(q_A(z|x̂) ‖ N(0, I)), the paper's I(Z_A; X̂)."""
        mean = self.encoder_a.weight @ (self.decoder @ self.encoder_x.offset) + self.encoder_a.offset
        covariance = self.encoder_a.covariance(self._of_reconstruction())
        return self.information_reencoded() + _divergence_from_prior(covariance, mean)

    def sample(self, n: int, *, generator: Generator | None = None) -> Sample:
        """n independent draws along the chain. Raises InputError for n < 1."""
        if n < 1:
            raise InputError(f"n is a number of samples, at least 1; got {n}.")

        def normal(d: int) -> Tensor:
            return torch.randn(n, d, generator=generator, dtype=torch.float64, device=place).cpu()

        place = generator.device if generator is not None else "cpu"
        a, x = self.encoder_a, self.encoder_x
        data = normal(len(self.covariance)) @ torch.linalg.cholesky(self.covariance).T
        z_a = a(data)[0] + a.scale * normal(len(a.scale))
        z_x = x(data)[0] + x.scale * normal(len(x.scale))
        reconstruction = z_x @ self.decoder.T
        return Sample(data, z_a, z_x, reconstruction, a(reconstruction)[0] + a.scale * normal(len(a.scale)))

    def _of_reconstruction(self) -> Tensor:
        return self.decoder @ self.encoder_x.covariance(self.covariance) @ self.decoder.T


def mmse_decoder(covariance: Tensor, encoder: LinearEncoder) -> Tensor:
    """G = Σ Wᵀ cov(z)⁻¹ (p, d): the linear decoder of least mean squared error, up to a constant."""
    return torch.linalg.solve(encoder.covariance(covariance), encoder.weight @ covariance).T


def _whitened(encoder: LinearEncoder) -> Tensor:
    """S^-½ W: the weight in units of the encoder's noise."""
    return encoder.weight / encoder.scale[:, None]


def _captured(weight: Tensor, covariance: Tensor) -> float:
    """½ log det(I + W Σ Wᵀ): what W x + unit noise tells of x ~ N(0, Σ). Singular values keep their digits."""
    values, vectors = torch.linalg.eigh((covariance + covariance.T) / 2)
    singular = torch.linalg.svdvals(weight @ (vectors * values.clamp_min(0).sqrt()))
    return 0.5 * torch.log1p(singular.square()).sum().item()


def _divergence_from_prior(covariance: Tensor, mean: Tensor) -> float:
    log_det = torch.linalg.slogdet(covariance).logabsdet
    return 0.5 * (covariance.trace() + mean.square().sum() - len(mean) - log_det).item()


def _rotation(d: int, generator: Generator) -> Tensor:
    return torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))[0]
