"""Settings of classifiers and their training, and the checks of any training. Imports no torch."""

from dataclasses import dataclass
from typing import Any, Literal

from ..errors import InputError
from ..interface import Section
from ..settings import setting


@dataclass(frozen=True)
class ClassifierConfig:
    """The network and its training; the defaults are the paper's (Table 8, appendix D)."""

    model: str = setting(
        "preact-resnet18",
        "preact-resnet18, preact-resnet18-official, torchvision:NAME, timm:NAME, or package.module:factory.",
        "Table 8",
    )
    width: int = setting(64, "Channels of the first stage; 64 is the paper's network.", "He et al. 2016")
    epochs: int = setting(200, "Passes over the training images.", "Table 8")
    batch_size: int = setting(128, "Images per step.", "Table 8")
    learning_rate: float = setting(0.1, "SGD's learning rate; of one-cycle, the highest.", "Table 8")
    schedule: Literal["step", "one-cycle"] = setting(
        "step", "step: times 0.1 at the milestones; one-cycle: up and down once.", "Table 8"
    )
    milestones: tuple[float, ...] = setting(
        (0.5, 0.75), "Fractions of training after which the rate drops tenfold.", "epochs 100 and 150 of 200, Table 8"
    )
    momentum: float = setting(0.9, "SGD's momentum.", "appendix D")
    weight_decay: float = setting(1e-4, "SGD's weight decay; the paper prints 1 × 10⁴.", "appendix D")
    flip: bool = setting(True, "Random horizontal flips.", "appendix D")
    crop: int = setting(4, "Random crops after padding by this many pixels.", "published code")
    mix_mode: Literal["batch", "elem"] = setting(
        "batch", "One λ and mask per batch, or one per image.", "batch: published code"
    )
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "Training precision; measuring is always fp32.")
    weights: tuple[str, ...] = setting(
        (),
        "Measure networks of your own instead of training: FILE or NAME=FILE (safetensors, or a state dict of "
        "torch.save), or 'pretrained' for the weights that torchvision or timm publish.",
    )
    size: int | None = setting(None, "Side to which the model resizes its images; none: the data's own size.")
    mean: tuple[float, ...] = setting((), "Mean per channel that the model subtracts; none: the data set's.")
    std: tuple[float, ...] = setting((), "Standard deviation that it divides by; none: the data set's.")

    def __post_init__(self) -> None:
        check_training(self, "width")
        if self.size is not None and self.size < 1:
            raise InputError(f"size must be at least 1 pixel, got {self.size}.")
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must lie in [0, 1), got {self.momentum}.")
        if self.weight_decay < 0:
            raise InputError(f"weight_decay must be at least 0, got {self.weight_decay}.")
        if self.crop < 0:
            raise InputError(f"crop must be at least 0 pixels, got {self.crop}.")
        if not all(value > 0 for value in self.std):
            raise InputError(f"std must be positive, got {list(self.std)}.")


SECTION = Section(
    name="classifier",
    summary="Train the study's classifiers and measure their test accuracy (Table 2).",
    config=ClassifierConfig,
    run="mixlens.analysis.study.classifiers",
    figures="mixlens.reports.classifiers",
    command="train",
)


def check_training(config: Any, *counts: str) -> None:
    """The checks of epochs, batch size, learning rate and milestones; ``counts`` are more settings of at least 1.

    Raises:
        InputError: a value that cannot be.
    """
    for name in (*counts, "epochs"):
        if getattr(config, name) < 1:
            raise InputError(f"{name} must be at least 1, got {getattr(config, name)}.")
    if config.batch_size < 2:
        raise InputError(f"batch_size must be at least 2 (mixing needs pairs), got {config.batch_size}.")
    if not config.learning_rate > 0:
        raise InputError(f"learning_rate must be positive, got {config.learning_rate}.")
    if not all(0 < fraction <= 1 for fraction in config.milestones):
        raise InputError(f"milestones are fractions of training in (0, 1], got {list(config.milestones)}.")
