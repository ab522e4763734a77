"""Settings of the calibration section. Imports no torch."""

from dataclasses import dataclass

from ..analysis.errors import InputError
from ..analysis.interface import MOST_SEED, Section
from ..analysis.schema import check_ranges, setting

# Param "temperature" of rows: with which softness the logits are measured.
SOFTNESS = AS_TRAINED, SCALED, SCALED_TO_PEOPLE = ("as trained", "scaled", "scaled to people")


@dataclass(frozen=True)
class MeasuringSettings:
    """What determines a measurement."""

    smoothing: tuple[float, ...] = setting(
        (0.05, 0.1, 0.5),
        "Pseudo-counts a > 0 of each class: people's probabilities are (c + a) / (n + C a). Without any, "
        "D(model‖human) is infinite.",
        "ours",
        above=0,
    )
    bins: int = setting(15, "Bins of the reliability diagram and of ECE.", "Guo et al. 2017", minimum=1, most=10_000)
    resamples: int = setting(
        1000, "Bootstrap resamples of the test images, for intervals.", "ours", minimum=100, most=100_000
    )
    seed: int = setting(
        0,
        "Of resamples, halves of votes and of the split on which temperatures are fitted.",
        "ours",
        minimum=0,
        most=MOST_SEED,
    )


@dataclass(frozen=True)
class CalibrationConfig(MeasuringSettings):
    counts: str = setting(
        "",
        "Human votes (test images, classes) in the test set's order: a .npy file, or package.module:factory. "
        "For cifar10: CIFAR-10H.",
        "ours",
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.smoothing or len(set(self.smoothing)) != len(self.smoothing):
            raise InputError(f"smoothing must list different pseudo-counts, got {list(self.smoothing)}.")


SECTION = Section(
    name="calibration",
    summary="Divergence of the classifiers' probabilities from people's (Table 6), and calibration against labels.",
    config=CalibrationConfig,
    run="mixlens.calibration.run",
    figures="mixlens.calibration.figures",
    uses=("classifier",),
    modalities=("image", "sound", "text", "volume", "waveform"),
)
