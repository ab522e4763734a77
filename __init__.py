"""mixlens: what mixed-sample data augmentation does to what a network learns.

Importing this package imports nothing else; each public name loads its module on first use (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from .analysis.interface import Machine, MixedBatch, Study
    from .analysis.masks.cutmix import CutMix, cutmix_mask
    from .analysis.masks.fmix import FMix, fmix_mask, low_frequency_image
    from .analysis.masks.mixup import MixUp
    from .analysis.masks.policies import Alternate
    from .analysis.masks.transform import sample_lam
    from .analysis.study.conduct import conduct

_HOMES = {
    "Alternate": "analysis.masks.policies",
    "CutMix": "analysis.masks.cutmix",
    "FMix": "analysis.masks.fmix",
    "Machine": "analysis.interface",
    "MixUp": "analysis.masks.mixup",
    "MixedBatch": "analysis.interface",
    "Study": "analysis.interface",
    "conduct": "analysis.study.conduct",
    "cutmix_mask": "analysis.masks.cutmix",
    "fmix_mask": "analysis.masks.fmix",
    "low_frequency_image": "analysis.masks.fmix",
    "sample_lam": "analysis.masks.transform",
}
__all__ = [
    "Alternate",
    "CutMix",
    "FMix",
    "Machine",
    "MixUp",
    "MixedBatch",
    "Study",
    "conduct",
    "cutmix_mask",
    "fmix_mask",
    "low_frequency_image",
    "sample_lam",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
