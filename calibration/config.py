"""Settings of the calibration section. Imports no torch."""

import math
from dataclasses import dataclass

from ..analysis.errors import InputError
from ..analysis.interface import Section
from ..analysis.settings import setting


@dataclass(frozen=True)
class CalibrationConfig:
    counts: str = setting(
        "", "Human votes as a .npy file (test images, classes) in the test set's order. For cifar10: CIFAR-10H.", "ours"
    )
    smoothing: tuple[float, ...] = setting(
        (0.05, 0.1, 0.5), "Pseudo-counts a of each class: people's probabilities are (c + a) / (n + C a).", "ours"
    )
    bins: int = setting(15, "Bins of the reliability diagram and of ECE.", "Guo et al. 2017")
    resamples: int = setting(1000, "Bootstrap resamples of the test images, for intervals.", "ours")
    seed: int = setting(0, "Of resamples, halves of votes and of the split on which temperatures are fitted.", "ours")

    def __post_init__(self) -> None:
        if not self.smoothing or len(set(self.smoothing)) != len(self.smoothing):
            raise InputError(f"smoothing must list different pseudo-counts, got {list(self.smoothing)}.")
        for value in self.smoothing:
            if not (math.isfinite(value) and value > 0):
                raise InputError(f"smoothing must be positive, got {value}: without it D(model‖human) is infinite.")
        if self.bins < 1:
            raise InputError(f"bins must be at least 1, got {self.bins}.")
        if self.resamples < 100:
            raise InputError(f"resamples must be at least 100, got {self.resamples}.")
        if self.seed < 0:
            raise InputError(f"seed must be at least 0, got {self.seed}.")


SECTION = Section(
    name="calibration",
    summary="Divergence of the classifiers' probabilities from people's (Table 6), and calibration against labels.",
    config=CalibrationConfig,
    run="mixlens.calibration.run",
    figures="mixlens.calibration.figures",
    uses=("classifier",),
)
