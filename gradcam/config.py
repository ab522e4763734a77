"""Settings of the Grad-CAM section. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from ..analysis.errors import InputError
from ..analysis.interface import Section
from ..analysis.schema import check_ranges, setting

NormName = Literal["max", "minmax", "none"]
PREDICTED, TRUE = "predicted", "true"  # targets; or a class's index


@dataclass(frozen=True)
class HeatmapSettings:
    """What determines the sums, beside the layers."""

    method: str = setting(
        "gradcam",
        "gradcam, gradcam++, layercam, eigencam, a CAM class of pytorch_grad_cam such as HiResCAM, or "
        "package.module:factory.",
        "section 3: Selvaraju et al. 2017",
    )
    norm: NormName = setting(
        "max", "What each map is divided by before its sum: max, minmax (least to greatest as 0 to 1) or none.", "ours"
    )
    upsample: bool = setting(False, "Bring each map to the images' size (bilinear) before its sum.", "ours")
    target: str = setting(PREDICTED, "Whose logit the map explains: predicted, true, or the index of a class.", "ours")
    images: int | None = setting(
        None, "Measure so many test images, evenly spaced; none: all.", "section 3: all", minimum=2
    )
    shown: int = setting(
        6, "Images whose maps are kept for the report, evenly spaced over those measured.", minimum=1, most=100
    )


@dataclass(frozen=True)
class GradCAMConfig(HeatmapSettings):
    layers: tuple[str, ...] = setting(
        (),
        "Layers of the network by name, e.g. stem stages.0. None: the first convolution, and the first and second "
        "stage of networks whose stages are known (ours, torchvision's and timm's ResNets).",
        "Fig. 4: the first convolution",
    )
    batch_size: int | None = setting(
        None,
        "Images of one pass; none: as the device likes. Results do not depend on it.",
        minimum=1,
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if len(set(self.layers)) != len(self.layers):
            raise InputError(f"layers lists a name twice: {list(self.layers)}.")
        check_target(self.target)


def check_target(target: str) -> None:
    """Refuse what names no class. Raises InputError."""
    index = target.isdecimal() and str(int(target)) == target
    if target not in (PREDICTED, TRUE) and not index:
        raise InputError(f"target must be {PREDICTED}, {TRUE} or the index of a class, got {target!r}.")


SECTION = Section(
    name="gradcam",
    summary="Sums of the classifiers' Grad-CAM heatmaps over the test set (section 3, Fig. 4).",
    config=GradCAMConfig,
    run="mixlens.gradcam.run",
    figures="mixlens.gradcam.figures",
    uses=("classifier",),
)
