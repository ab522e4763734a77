"""Settings of the shuffle section, and its declaration. Imports no torch."""

from dataclasses import dataclass

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Section
from mixlens.analysis.schema import check_ranges, setting


@dataclass(frozen=True)
class ShuffleConfig:
    grids: tuple[int, ...] = setting((1, 2, 4, 8), "Tiles per side into which each image is cut.", "ours", minimum=1)
    seed: int = setting(0, "Of the permutations, one for each image.", "ours", minimum=0)

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.grids or len(set(self.grids)) != len(self.grids):
            raise InputError(f"grids must be different whole numbers, got {list(self.grids)}.")


SECTION = Section(
    name="shuffle",
    summary="Accuracy of the classifiers on images whose tiles are shuffled.",
    config=ShuffleConfig,
    run="mixlens_shuffle.run",
    figures="mixlens_shuffle.figures",
    uses=("classifier",),
)
