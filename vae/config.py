"""Settings of the VAE section; the defaults are the published analysis, except where a comment says otherwise."""

from dataclasses import dataclass
from typing import Literal

from ..analysis.errors import InputError
from ..analysis.interface import Section
from ..analysis.schema import check_ranges, setting

ACTIVE = 0.1  # nats: a latent that carries less, on average, has died


@dataclass(frozen=True)
class TrainingSettings:
    """What determines a VAE."""

    latents: int = setting(64, "Dimensions of the latent space.", "published code", minimum=1, most=65_536)
    epochs: int = setting(100, "Passes over the training images.", "published code", minimum=1, most=10**6)
    batch_size: int = setting(128, "Images per step.", "published code", minimum=2, most=10**6)
    # The published 5e-2 trains far worse (docs/results/README.md).
    learning_rate: float = setting(
        3e-3, "Adam's learning rate. The published 5e-2 trains far worse.", "ours", above=0, most=1e30
    )
    milestones: tuple[float, ...] = setting(
        (0.4, 0.8),
        "Fractions of training after which the rate drops tenfold.",
        "epochs 40 and 80 of 100, published code",
        above=0,
        maximum=1,
    )
    flip: bool = setting(True, "Random horizontal flips.", "published code")
    jitter: float = setting(
        0.05, "Colour jitter: brightness, contrast, saturation, hue.", "published code", minimum=0, maximum=0.5
    )
    mix_mode: Literal["published", "elem", "batch", "batch-mask"] = setting(
        "published",
        "elem: a λ and a mask for each image; batch: one λ a batch; batch-mask: one λ and mask a batch; published: as "
        "the paper's trainings, MixUp and CutMix by batch (its labels by the λ drawn), FMix by batch-mask.",
        "published code",
    )


@dataclass(frozen=True)
class MeasuringSettings:
    """What determines its measurement."""

    reconstruction_noise: float = setting(
        0.0,
        "Noise added to reconstructions before they are re-encoded; the published script adds 0.1.",
        "ours",
        minimum=0,
        most=10**6,
    )
    critic_steps: int = setting(
        600,
        "Training steps of each neural critic, when measuring and where the truth is known.",
        "ours",
        minimum=1,
        most=10**7,
    )


@dataclass(frozen=True)
class VAEConfig(MeasuringSettings, TrainingSettings):
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "Training precision; measuring is always fp32.")
    oracle_samples: int = setting(
        2000,
        "Samples on which the estimators are tried where the truth is known; 0 leaves that out.",
        "ours",
        most=10**6,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.oracle_samples != 0 and self.oracle_samples < 300:
            raise InputError(f"oracle_samples must be 0 or at least 300, got {self.oracle_samples}.")


SECTION = Section(
    name="vae",
    summary="Paired VAEs: I(Z_A;X), I(Z_A;X̂) and reconstruction error of each augmentation (Table 1).",
    config=VAEConfig,
    run="mixlens.vae.run",
    figures="mixlens.vae.figures",
    heads=True,
    modalities=("image", "sound", "volume"),
)
