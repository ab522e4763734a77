"""Settings of the shuffle section, and its declaration. Imports no torch."""

from dataclasses import dataclass

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Section
from mixlens.analysis.settings import setting


@dataclass(frozen=True)
class ShuffleConfig:
    grids: tuple[int, ...] = setting((1, 2, 4, 8), "Tiles per side into which each image is cut.", "ours")
    seed: int = setting(0, "Of the permutations, one for each image.", "ours")

    def __post_init__(self) -> None:
        if not self.grids or len(set(self.grids)) != len(self.grids) or min(self.grids) < 1:
            raise InputError(f"grids must be different whole numbers of at least 1, got {list(self.grids)}.")
        if self.seed < 0:
            raise InputError(f"seed must be at least 0, got {self.seed}.")


SECTION = Section(
    name="shuffle",
    summary="Accuracy of the classifiers on images whose tiles are shuffled.",
    config=ShuffleConfig,
    run="mixlens_shuffle.run",
    figures="mixlens_shuffle.figures",
    uses=("classifier",),
)
