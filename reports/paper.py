"""The paper's own numbers, each with the place it is printed. Reports show them beside ours; nothing else uses them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..analysis.interface import Arm, PaperValues, Printed
from ..analysis.spec import read_spec
from ..analysis.store.record import StudyRecord

CITATION = (
    "E. Harris, A. Marcu, M. Painter, M. Niranjan, A. Prügel-Bennett and J. Hare, FMix: Enhancing Mixed Sample Data "
    "Augmentation, arXiv:2002.12047, 2020"
)


class Setup(NamedTuple):
    """What a study trains its classifiers on, and what they are, by the names that a study has; without arguments."""

    data: str = "cifar10"
    model: str = "preact-resnet18"
    head: str = ""  # the one that is learnt, of data that have several

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Setup:
        """That of a study's settings. A network that differs in nothing but its width, say, is the paper's here."""
        model = settings.get("classifier", {}).get("model", cls().model)
        data, use = read_spec(str(settings["data"]), "data set"), read_spec(str(model), "model").use
        name = data.text if data.arguments.get("stars") else data.use  # another question about the same texts
        return cls(name, use.removesuffix("-official"), str(data.arguments.get("head", "")))


CIFAR10 = Setup()  # of all sections but the classifiers
# Images that the paper's networks are trained on.
TRAIN_IMAGES = {
    "cifar10": 50_000,
    "cifar100": 50_000,
    "fashion_mnist": 60_000,
    "tiny_imagenet": 100_000,
    "imagenet": 1_281_167,
    "bengali": 160_672,  # four fifths
    "toxic": 159_571,
    "imdb": 25_000,
    "yelp_polarity": 560_000,
    "yelp_full": 650_000,
    "modelnet10": 3_991,
}
_TABLE_1 = "Table 1"
_SECTION_3 = "section 3"
_SECTION_4 = "section 4"
_TABLE_6 = "Table 6"


Row = tuple[float, float]


def _printed(source: str, baseline: Row, fmix: Row, mixup: Row, cutmix: Row) -> dict[str, dict[str, Printed]]:
    """A line of Table 2, in its order: accuracies in percent and their deviations, NaN where none is printed."""
    rows = {"baseline": baseline, "mixup": mixup, "cutmix": cutmix, "fmix": fmix, "fmix-official": fmix}
    return {name: {"accuracy": Printed(*row, 2, None, source)} for name, row in rows.items()}


def _combined(source: str, **rows: Row) -> dict[str, dict[str, Printed]]:
    return {name.replace("_", "+"): {"accuracy": Printed(*row, 2, None, source)} for name, row in rows.items()}


def _table_3(alpha: str, **columns: tuple[float, float, float, float]) -> dict[str, dict[str, Printed]]:
    """Table 3 at an α: of each augmentation top-1 and top-5 on ImageNet, then the same on ImageNet-a."""
    source = "Table 3 (ResNet-101, 90 epochs)"
    names = ("accuracy", "accuracy_top5", "other_accuracy:imagenet-a", "other_accuracy_top5:imagenet-a")
    return {
        f"{augmentation}{alpha}": {
            quantity: Printed(value, math.nan, 2, None, source) for quantity, value in zip(names, values, strict=True)
        }
        for augmentation, values in columns.items()
    }


def _table_4() -> dict[str, dict[str, Printed]]:
    """Graphemes as whole labels, and each head."""
    source = "Table 4 (SE-ResNeXt-50, a network for each head; Table 8 has PreAct-ResNet18, 100 epochs)"
    lines = {  # baseline, FMix, MixUp, CutMix
        "accuracy": ((87.60, 0.45), (91.87, 0.30), (89.23, 1.04), (91.08, 0.49)),
        "accuracy:root": ((92.86, 0.20), (96.13, 0.14), (94.80, 0.10), (95.74, 0.20)),
        "accuracy:consonant": ((96.23, 0.35), (97.05, 0.23), (96.42, 0.42), (96.96, 0.21)),
        "accuracy:vowel": ((96.91, 0.19), (97.77, 0.30), (96.74, 0.95), (97.37, 0.60)),
    }
    found: dict[str, dict[str, Printed]] = {}
    for quantity, rows in lines.items():
        for name, row in zip(("baseline", "fmix", "mixup", "cutmix"), rows, strict=True):
            found.setdefault(name, {})[quantity] = Printed(*row, 2, None, source)
    return found | {"fmix-official": found["fmix"]}


def _table_5(model: str, quantity: str, alpha: str, *rows: Row) -> dict[str, dict[str, Printed]]:
    """A line of Table 5, in its order: baseline, FMix, and MixUp, which BERT has none of; ROC-AUC in percent too."""
    source = f"Table 5 ({model})"
    names = ("baseline", f"fmix{alpha}", f"mixup{alpha}")
    found = {name: {quantity: Printed(*row, 2, None, source)} for name, row in zip(names, rows, strict=False)}
    return found | {f"fmix-official{alpha}": found[f"fmix{alpha}"]}


def _commands() -> dict[str, dict[str, Printed]]:
    source = "Table 7 (PreAct-ResNet18, 90 epochs)"
    lines = {
        "": {"fmix": (98.59, 0.03), "mixup": (98.46, 0.08), "cutmix": (98.46, 0.08)},
        "(alpha=0.2)": {"fmix": (98.44, 0.06), "mixup": (98.31, 0.08), "cutmix": (98.48, 0.06)},
    }
    found = {"baseline": {"accuracy": Printed(97.69, 0.04, 2, None, source)}}
    for alpha, rows in lines.items():
        found |= {f"{name}{alpha}": {"accuracy": Printed(*row, 2, None, source)} for name, row in rows.items()}
        found[f"fmix-official{alpha}"] = found[f"fmix{alpha}"]
    return found


def _shapes() -> dict[str, dict[str, Printed]]:
    source = "Table 7 (PointNet, median of the last 5 of 50 epochs; FMix alone was trained on voxels)"
    found = {
        name: {"accuracy_median": Printed(*row, 2, None, source)}
        for name, row in (("baseline", (89.10, 0.32)), ("fmix", (98.57, 0.44)))
    }
    return found | {"fmix-official": found["fmix"]}


_ALONE = math.nan  # of a single training
_RESNET = "Table 2 (PreAct-ResNet18, 200 epochs)"
_WRN, _WRN_FASHION = "Table 2 (WideResNet-28-10, 200 epochs)", "Table 2 (WideResNet-28-10, 300 epochs)"
_DENSE = "Table 2 (DenseNet-BC-190, 300 epochs)"
_PYRAMID = "Table 2 (PyramidNet-272-200, Fast AutoAugment and ShakeDrop, 1800 epochs)"
_HYBRIDS = "section 5 (PreAct-ResNet18, 200 epochs)"
_CNN, _LSTM, _BERT = "three convolutions, 15 epochs", "BiLSTM, 15 epochs", "BERT, 5 epochs"
# Tables 2 to 5 and 7, and section 5's combinations; of Table 2 without other authors' numbers, in parentheses.
CLASSIFIERS: Mapping[Setup, PaperValues] = {
    CIFAR10: _printed(_RESNET, (94.63, 0.21), (96.14, 0.10), (95.66, 0.11), (96.00, 0.07))
    | _combined(_HYBRIDS, fmix_mixup=(96.30, 0.08), cutmix_mixup=(96.26, 0.04), fmix_cutmix=(95.85, 0.1)),
    Setup("cifar10", "wide-resnet"): _printed(_WRN, (95.25, 0.10), (96.38, 0.06), (96.60, 0.09), (96.53, 0.10)),
    Setup("cifar10", "densenet-bc"): _printed(_DENSE, (96.26, 0.08), (97.30, 0.05), (97.05, 0.05), (96.96, 0.01)),
    Setup("cifar10", "pyramidnet"): _printed(
        _PYRAMID, (98.31, _ALONE), (98.64, _ALONE), (97.92, _ALONE), (98.24, _ALONE)
    ),
    Setup("cifar100", "preact-resnet18"): _printed(_RESNET, (75.22, 0.20), (79.85, 0.27), (77.44, 0.50), (79.51, 0.38)),
    Setup("cifar100", "wide-resnet"): _printed(_WRN, (78.26, 0.25), (82.03, 0.27), (81.09, 0.33), (81.96, 0.40)),
    Setup("cifar100", "densenet-bc"): _printed(_DENSE, (81.73, 0.30), (83.95, 0.24), (83.23, 0.30), (82.79, 0.46)),
    Setup("fashion_mnist", "preact-resnet18"): _printed(
        _RESNET, (95.70, 0.09), (96.36, 0.03), (96.28, 0.08), (96.03, 0.10)
    ),
    Setup("fashion_mnist", "wide-resnet"): _printed(
        _WRN_FASHION, (95.29, 0.17), (96.00, 0.11), (95.75, 0.09), (95.64, 0.20)
    ),
    Setup("fashion_mnist", "densenet-bc"): _printed(_DENSE, (95.84, 0.10), (96.26, 0.10), (96.30, 0.04), (96.12, 0.13)),
    Setup("tiny_imagenet", "preact-resnet18"): _printed(
        _RESNET, (55.94, 0.28), (61.43, 0.37), (55.96, 0.41), (64.08, 0.32)
    ),
    Setup("imagenet", "torchvision:resnet101"): _table_3("", baseline=(77.28, 93.63, 4.08, 28.87))
    | _table_3(
        "",
        fmix=(77.42, 93.92, 7.19, 33.65),
        mixup=(75.89, 93.06, 8.69, 34.89),
        cutmix=(76.92, 93.55, 6.92, 34.03),
    )
    | _table_3(
        "(alpha=0.2)",
        fmix=(77.70, 93.97, 5.32, 31.21),
        mixup=(77.23, 93.81, 5.81, 31.43),
        cutmix=(76.72, 93.46, 6.08, 31.56),
    ),
    Setup("bengali", "timm:seresnext50_32x4d"): _table_4(),
    Setup("toxic", "text-cnn"): _table_5(_CNN, "roc_auc", "", (96.04, 0.16), (96.80, 0.06), (96.62, 0.10)),
    Setup("toxic", "text-lstm"): _table_5(_LSTM, "roc_auc", "", (96.72, 0.04), (97.35, 0.05), (97.15, 0.06)),
    Setup("toxic", "bert"): _table_5(_BERT, "roc_auc", "(alpha=0.1)", (98.22, 0.03), (98.26, 0.03)),
    Setup("imdb", "text-cnn"): _table_5(_CNN, "accuracy", "(alpha=0.2)", (86.68, 0.50), (87.31, 0.34), (88.94, 0.13)),
    Setup("imdb", "text-lstm"): _table_5(_LSTM, "accuracy", "(alpha=0.2)", (88.29, 0.17), (88.47, 0.24), (88.72, 0.17)),
    Setup("yelp_polarity", "text-cnn"): _table_5(_CNN, "accuracy", "", (95.47, 0.08), (95.80, 0.14), (95.91, 0.10)),
    Setup("yelp_polarity", "text-lstm"): _table_5(_LSTM, "accuracy", "", (96.41, 0.05), (96.68, 0.06), (96.71, 0.07)),
    Setup("yelp_full", "text-cnn"): _table_5(_CNN, "accuracy", "", (63.78, 0.18), (64.46, 0.07), (64.56, 0.12)),
    Setup("yelp_full", "text-lstm"): _table_5(_LSTM, "accuracy", "", (62.96, 0.18), (66.46, 0.13), (66.11, 0.13)),
    Setup("modelnet10", "pointnet"): _shapes(),
    Setup("speech_commands", "preact-resnet18"): _commands(),
}
_FMIX = {
    "rate": Printed(83.67, 0.89, 2, 5, _SECTION_4),
    "rate_reconstruction": Printed(80.28, 0.75, 2, 5, _SECTION_4),
    "mse": Printed(0.255, 0.003, 3, 5, _SECTION_4),
}
# section → augmentation → quantity → what is printed. The published code made the printed FMix numbers.
VALUES: Mapping[str, PaperValues] = {
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
    "classifier": CLASSIFIERS[CIFAR10],
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


def values(section: str, setup: Setup) -> PaperValues:
    """Augmentation → quantity → what the paper prints of such networks on such data; empty where it has none.

    VAEs are the same whatever the classifiers are. Where one head is learnt, its accuracy is the accuracy, and
    that of whole labels ``accuracy:whole``.
    """
    if section != "classifier":
        fits = setup.data == CIFAR10.data and (section == "vae" or setup.model == CIFAR10.model)
        return VALUES.get(section, {}) if fits else {}
    printed = CLASSIFIERS.get(setup._replace(head=""), {})
    if not setup.head:
        return printed
    quantity = f"accuracy:{setup.head}"
    return {
        name: {"accuracy": known[quantity], "accuracy:whole": known["accuracy"]}
        for name, known in printed.items()
        if quantity in known
    }


def setups_of(record: StudyRecord) -> dict[str, Setup]:
    """Of each study of a report, by the name that its arms have."""
    return {study: Setup.of(parts[0].settings) for study, parts in record.designs.items()}


def first_studies(record: StudyRecord) -> dict[Setup, str]:
    """The first study of each data set and network of a report: what the paper says of these is held against it."""
    found: dict[Setup, str] = {}
    for study, setup in setups_of(record).items():
        found.setdefault(setup, study)
    return found


def values_of(section: str, setups: Mapping[str, Setup], arms: Sequence[Arm]) -> PaperValues:
    """`values` of a report's studies: by augmentation where they are alike, else by arm, of the classifiers alone."""
    if len(set(setups.values())) == 1:
        return values(section, next(iter(setups.values())))
    if section != "classifier":
        return {}
    known = {arm: values(section, setups[arm.study]).get(arm.augmentation) for arm in arms}
    return {arm: printed for arm, printed in known.items() if printed}


def difference(section: str, quantity: str, first: str, second: str, setup: Setup = CIFAR10) -> Printed | None:
    """The first augmentation less the second, as if its trainings were independent; None where it prints not both."""
    printed = values(section, setup)
    one, other = (printed.get(name, {}).get(quantity) for name in (first, second))
    if one is None or other is None:
        return None
    places = max(one.decimals, other.decimals)
    return Printed(one.value - other.value, math.hypot(one.sd, other.sd), places, one.trials, one.source)
