"""Settings of the gallery: which masks and images it shows. Imports no torch."""

from dataclasses import dataclass

from ..analysis.interface import MOST_SEED, Section
from ..analysis.schema import check_ranges, setting


@dataclass(frozen=True)
class GalleryConfig:
    columns: int = setting(
        8, "Pairs of test images that are mixed, or as many as there are; of texts, masks.", "ours", minimum=2, most=100
    )
    lam: float = setting(0.5, "λ asked of every mask.", "Fig. 2", minimum=0, maximum=1)
    seed: int = setting(0, "Of the masks and the choice of images.", "ours", minimum=0, most=MOST_SEED)

    def __post_init__(self) -> None:
        check_ranges(self)


SECTION = Section(
    name="gallery",
    summary="Masks and mixed images of each augmentation (like Fig. 2), and FMix's mean power spectra.",
    config=GalleryConfig,
    run="mixlens.gallery.run",
    figures="mixlens.gallery.figures",
    every_study=True,
    heads=True,
    modalities=("image", "sound", "text", "volume"),
)
