"""Settings of the robustness section; the defaults are the published analysis. Imports no torch."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from ..analysis.errors import InputError
from ..analysis.interface import MOST_SEED, Section
from ..analysis.schema import check_ranges, setting

ATTACKS = ("fgsm", "pgd", "bim", "uniform-noise", "deepfool")
# The published script's; the paper prints no list.
EPSILONS = (0.0, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03, 0.1, 0.3, 0.5, 1.0)
TOGETHER = 500  # images of a batch, for attacks whose results depend on it
ProtocolName = Literal["paper", "nested", "nested-worst"]


@dataclass(frozen=True)
class SweepSettings:
    """What determines a sweep, beside its attacks."""

    epsilons: tuple[float, ...] = setting(
        EPSILONS, "Largest perturbations, ascending, of images in [0, 1].", "published code", most=10_000
    )
    protocol: ProtocolName = setting(
        "paper",
        "paper: every attack at every ε; nested: each attack at the images that it has not broken at a smaller ε; "
        "nested-worst: at those that no attack has, for the worst case alone.",
        "published code",
    )
    images: int | None = setting(
        None, "Attack so many test images, evenly spaced; none: all.", "all: published code", minimum=2
    )
    seed: int = setting(0, "Of random starts and noise, drawn for each image by itself.", minimum=0, most=MOST_SEED)
    precision: Literal["fp32", "tf32"] = setting(
        "fp32",
        "Of the passes under attack: fp32, or on a recent NVIDIA GPU tf32, several times faster and what PyTorch's "
        "convolutions do there by default.",
        "ours",
    )


@dataclass(frozen=True)
class RobustnessConfig(SweepSettings):
    attacks: tuple[str, ...] = setting(
        ATTACKS,
        "fgsm, pgd, bim, uniform-noise, deepfool, autoattack, or any class of foolbox.attacks, with its arguments: "
        "pgd(steps=[40,100]), LinfAdamPGD(steps=20). All of one norm.",
        "published code",
    )
    batch_size: int | None = setting(
        None,
        "Images attacked at once; none: as many as memory holds. Results do not depend on it, but for those of attacks "
        "that draw or stop for a batch as a whole: with them none is 500.",
        minimum=1,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.attacks:
            raise InputError("attacks is empty; name at least one, such as pgd.")
        check_epsilons(self.epsilons)


SECTION = Section(
    name="robustness",
    summary="Accuracy under FGSM, PGD, BIM, DeepFool and noise at every ε, and the worst case (Fig. 1 and 5).",
    config=RobustnessConfig,
    run="mixlens.robustness.run",
    figures="mixlens.robustness.figures",
    uses=("classifier",),
)


def check_within_range(epsilons: tuple[float, ...]) -> None:
    """Raises InputError for an ε above 1 under L∞, where images in [0, 1] may be changed to any other."""
    above = [value for value in epsilons if value > 1]
    if above:
        meant = f" Did you mean {above[0]:g}/255, {above[0] / 255:.4f}?" if above[0] <= 255 else ""
        raise InputError(
            f"ε = {above[0]:g} under L∞: images lie in [0, 1], and ε = 1 allows every one.{meant} Give at most 1."
        )


def check_epsilons(epsilons: tuple[float, ...]) -> None:
    """Raises InputError unless they are finite, not negative and strictly ascending."""
    if not epsilons:
        raise InputError("epsilons is empty; give at least one, such as 0.03.")
    for value in epsilons:
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"epsilons must be finite and at least 0, got {value}.")
    for before, after in pairwise(epsilons):
        if after == before:
            raise InputError(f"epsilons lists {after} twice.")
        if after < before:
            raise InputError(f"epsilons must ascend, but {after} follows {before}.")
