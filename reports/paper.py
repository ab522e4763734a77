"""The paper's own numbers, each with the place it is printed. Reports show them beside ours; nothing else uses them."""

from __future__ import annotations

import math

from ..analysis.interface import Printed

CITATION = (
    "E. Harris, A. Marcu, M. Painter, M. Niranjan, A. Prügel-Bennett and J. Hare, FMix: Enhancing Mixed Sample Data "
    "Augmentation, arXiv:2002.12047, 2020"
)
DATA_SET = "cifar10"  # of all sections reproduced so far
TRAIN_IMAGES = 50_000
_TABLE_1 = "Table 1"
_SECTION_3 = "section 3"
_SECTION_4 = "section 4"
_TABLE_2 = "Table 2"
_SECTION_5 = "section 5"  # of combinations

_TABLE_6 = "Table 6"

_FMIX = {
    "rate": Printed(83.67, 0.89, 2, 5, _SECTION_4),
    "rate_reconstruction": Printed(80.28, 0.75, 2, 5, _SECTION_4),
    "mse": Printed(0.255, 0.003, 3, 5, _SECTION_4),
}
# section → augmentation → quantity → what is printed. The published code made the printed FMix numbers.
VALUES: dict[str, dict[str, dict[str, Printed]]] = {
    "vae": {
        "baseline": {
            "rate": Printed(78.05, 0.53, 2, 5, _TABLE_1),
            "rate_reconstruction": Printed(74.40, 0.45, 2, 5, _TABLE_1),
            "mse": Printed(0.256, 0.002, 3, 5, _TABLE_1),
        },
        "mixup": {
            "rate": Printed(70.38, 0.90, 2, 5, _TABLE_1),
            "rate_reconstruction": Printed(68.58, 1.12, 2, 5, _TABLE_1),
            "mse": Printed(0.288, 0.003, 3, 5, _TABLE_1),
        },
        "cutmix": {
            "rate": Printed(83.17, 0.72, 2, 5, _TABLE_1),
            "rate_reconstruction": Printed(79.46, 0.75, 2, 5, _TABLE_1),
            "mse": Printed(0.254, 0.003, 3, 5, _TABLE_1),
        },
        "fmix": _FMIX,
        "fmix-official": _FMIX,
    },
    "classifier": {
        "baseline": {"accuracy": Printed(94.63, 0.21, 2, None, _TABLE_2)},
        "mixup": {"accuracy": Printed(95.66, 0.11, 2, None, _TABLE_2)},
        "cutmix": {"accuracy": Printed(96.00, 0.07, 2, None, _TABLE_2)},
        "fmix": {"accuracy": Printed(96.14, 0.10, 2, None, _TABLE_2)},
        "fmix-official": {"accuracy": Printed(96.14, 0.10, 2, None, _TABLE_2)},
        "fmix+mixup": {"accuracy": Printed(96.30, 0.08, 2, None, _SECTION_5)},
        "cutmix+mixup": {"accuracy": Printed(96.26, 0.04, 2, None, _SECTION_5)},
        "fmix+cutmix": {"accuracy": Printed(95.85, 0.1, 2, None, _SECTION_5)},
    },
    "gradcam": {
        "baseline": {"heatmap_sum": Printed(146, 5, 0, 5, _SECTION_3)},
        "mixup": {"heatmap_sum": Printed(162, 3, 0, 5, _SECTION_3)},
        "cutmix": {"heatmap_sum": Printed(131, 6, 0, 5, _SECTION_3)},
    },
    # Printed as D(model‖human), which is infinite; its size fits this direction (calibration/README.md).
    "calibration": {
        "baseline": {"human_model": Printed(0.716, 0.032, 3, None, _TABLE_6)},
        "mixup": {"human_model": Printed(0.239, 0.005, 3, None, _TABLE_6)},
        "cutmix": {"human_model": Printed(0.211, 0.005, 3, None, _TABLE_6)},
        "fmix": {"human_model": Printed(0.220, 0.009, 3, None, _TABLE_6)},
        "fmix-official": {"human_model": Printed(0.220, 0.009, 3, None, _TABLE_6)},
    },
}


def difference(section: str, quantity: str, first: str, second: str) -> Printed | None:
    """The first augmentation less the second, as if its trainings were independent; None where it prints not both."""
    values = VALUES.get(section, {})
    one, other = (values.get(name, {}).get(quantity) for name in (first, second))
    if one is None or other is None:
        return None
    places = max(one.decimals, other.decimals)
    return Printed(one.value - other.value, math.hypot(one.sd, other.sd), places, one.trials, one.source)
