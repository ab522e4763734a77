"""Settings of the representations section. Imports no torch."""

from dataclasses import dataclass

from ..analysis.errors import InputError
from ..analysis.interface import MOST_SEED, Section
from ..analysis.schema import check_ranges, setting

MOST_IMAGES, MOST_TRAINING_IMAGES = 2000, 10_000  # where no number is given
LEAST_IMAGES = 5  # CKA leaves one out, and the unbiased HSIC needs four


@dataclass(frozen=True)
class InformationSettings:
    """What determines the bounds on information, beside the layers and the images."""

    noise: tuple[float, ...] = setting(
        (0.1, 0.3),
        "Standard deviations of the Gaussian noise that is added to each of a layer's coordinates, in units of the "
        "images' RMS distance from the layer's mean. Without noise the information about the image is infinite.",
        "ours",
        above=0,
    )
    dimensions: int = setting(
        64, "How many principal components of a layer's pooled channels are kept, at most.", "ours", minimum=1
    )
    seed: int = setting(0, "Of the noise and of the mixing.", "ours", minimum=0, most=MOST_SEED)


@dataclass(frozen=True)
class RepresentationsConfig(InformationSettings):
    layers: tuple[str, ...] = setting(
        (),
        "Layers of the network by name, e.g. stem stages.0. None: the last layer of each stage, a stage being what "
        "puts out maps of one size.",
        "ours",
    )
    images: int | None = setting(
        None, f"Test images, evenly spaced; none: all, but at most {MOST_IMAGES:,}.", "ours", minimum=LEAST_IMAGES
    )
    training_images: int | None = setting(
        None,
        "Training images, evenly spaced, on which components, upper bounds and probes are fitted; none: all, but at "
        f"most {MOST_TRAINING_IMAGES:,}.",
        "ours",
        minimum=LEAST_IMAGES,
    )
    front: str | None = setting(
        None,
        "Layer whose information about the label stands on the report's front page; none: it has no column.",
        "ours",
    )
    draws: int = setting(
        10,
        "How often the images are mixed anew for affinity and diversity, which are means over it.",
        minimum=1,
        most=10_000,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if not self.noise or len(set(self.noise)) != len(self.noise):
            raise InputError(f"noise must list different standard deviations, got {list(self.noise)}.")
        if len(set(self.layers)) != len(self.layers):
            raise InputError(f"layers lists a name twice: {list(self.layers)}.")


SECTION = Section(
    name="representations",
    summary="What the classifiers' layers know of image and label, how alike they are, and affinity and diversity.",
    config=RepresentationsConfig,
    run="mixlens.representations.run",
    figures="mixlens.representations.figures",
    uses=("classifier",),
)
