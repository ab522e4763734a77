"""Settings of the classifiers and their training. Imports no torch."""

from dataclasses import dataclass
from typing import Literal

from ..analysis.errors import InputError
from ..analysis.interface import Section
from ..analysis.schema import check_ranges, setting
from ..analysis.spec import Spec, read_spec


def without_path(text: str) -> str:
    """Transforms as a task's key knows them: by what their file holds, wherever it lies."""
    spec = read_spec(text, "transforms")
    return Spec(spec.use, {key: value for key, value in spec.arguments.items() if key != "path"}).text


def without_folder(text: str) -> str:
    """A network as a task's key knows it: one of a model's folder by what that holds, wherever it lies."""
    spec = read_spec(text, "model")
    if spec.is_own or "path" not in spec.arguments:
        return text
    return Spec(spec.use, {key: value for key, value in spec.arguments.items() if key != "path"}).text


@dataclass(frozen=True)
class NetworkSettings:
    """What makes a classifier, trained or not; the default is the paper's (Table 8)."""

    model: str = setting(
        "preact-resnet18",
        "preact-resnet18, wide-resnet, densenet-bc, pyramidnet, torchvision:NAME, timm:NAME or package.module:factory; "
        "of texts text-cnn, text-lstm or bert(path='FOLDER'), of volumes voxnet, pointnet or pointnet-official; each "
        "may have arguments, as preact-resnet18(width=16).",
        "Table 8",
        flag="--model",
        keyed=without_folder,
    )
    size: int | None = setting(
        None, "Side to which the model resizes its images; none: the data's own size.", minimum=1, most=4096
    )
    mean: tuple[float, ...] = setting((), "Mean per channel that the model subtracts; none: the data set's.")
    std: tuple[float, ...] = setting((), "Standard deviation that it divides by; none: the data set's.", above=0)


@dataclass(frozen=True)
class TrainingSettings(NetworkSettings):
    """And its training (Table 8, appendix E)."""

    epochs: int = setting(200, "Passes over the training images.", "Table 8", minimum=1, most=10**6)
    batch_size: int = setting(128, "Images per step.", "Table 8", minimum=2, most=10**6)
    optimizer: Literal["sgd", "adam"] = setting("sgd", "SGD with momentum, or Adam without.", "Table 8")
    learning_rate: float = setting(0.1, "Learning rate; of one-cycle, the highest.", "Table 8", above=0, most=1e30)
    schedule: Literal["step", "one-cycle", "cosine"] = setting(
        "step",
        "step: times 0.1 at the milestones; one-cycle: up and down once; cosine: down to 0 along half a cosine.",
        "Table 8",
    )
    milestones: tuple[float, ...] = setting(
        (0.5, 0.75),
        "Fractions of training after which the rate drops tenfold.",
        "epochs 100 and 150 of 200, Table 8",
        above=0,
        maximum=1,
    )
    warm_up: int = setting(
        0,
        "Epochs in which the rate first rises evenly to where its schedule is.",
        "5 on ImageNet",
        minimum=0,
        most=10**6,
    )
    warm_up_rate: float = setting(0.1, "Rate at which that rise begins.", "ImageNet", above=0, most=1e30)
    momentum: float = setting(0.9, "SGD's momentum.", "appendix E", minimum=0, below=1)
    weight_decay: float = setting(
        1e-4, "Weight decay, as a gradient; the paper prints 1 × 10⁴.", "appendix E", minimum=0, most=1000
    )
    flip: bool = setting(True, "Random horizontal flips of images.", "appendix E")
    crop: int = setting(
        4,
        "Random crops of images after padding by this many pixels; those read from files are cut at "
        "random, 8 to 100% of their area, and not padded.",
        "published code",
        minimum=0,
        most=1024,
    )
    transforms: str = setting(
        "",
        "Random operations before crop and flip: randaugment, randaugment(n=2,m=9), autoaugment (CIFAR-10's policy) or "
        "fast-autoaugment(path='archive.py'), the file of its authors' sub-policies, or those as JSON; of recordings "
        "speech: louder, faster, stretched, shifted; none: none.",
        "PyramidNet alone has Fast AutoAugment, Table 2",
        flag="--transforms",
        keyed=without_path,
    )
    mix_mode: Literal["published", "elem", "batch", "batch-mask"] = setting(
        "published",
        "elem: a λ and a mask for each image; batch: one λ a batch; batch-mask: one λ and mask a batch; published: as "
        "the paper's trainings, MixUp and CutMix by batch (its labels by the λ drawn), FMix by batch-mask.",
        "published code",
    )
    recipe: str = setting(
        "",
        "Another loss, optimiser, schedule or batches: package.module:function of the standard recipe; none: that of "
        "the data set or the model, if it has one.",
        "SGD on the cross entropy, appendix E",
    )


@dataclass(frozen=True)
class ClassifierConfig(TrainingSettings):
    precision: Literal["auto", "fp32", "bf16"] = setting("auto", "Training precision; measuring is always fp32.")
    last_epochs: int = setting(
        0,
        "Also the median of the test accuracies after each of so many last epochs; 0: not.",
        "5 on ModelNet10, Table 7",
        minimum=0,
        most=10**6,
    )
    weights: tuple[str, ...] = setting(
        (),
        "Measure networks of your own instead of training: FILE or NAME=FILE (safetensors, or a state dict of "
        "torch.save), or 'pretrained' for the weights that torchvision or timm publish.",
        flag="--weights",
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.warm_up and self.schedule == "one-cycle":
            raise InputError("one-cycle rises by itself: leave out classifier.warm_up, or choose another schedule.")
        if self.last_epochs and (self.weights or self.last_epochs > self.epochs):
            raise InputError(
                f"classifier.last_epochs is {self.last_epochs}, of "
                f"{'weights that were trained elsewhere' if self.weights else f'{self.epochs} epochs'}; give at most "
                "as many as are trained, 0 for none."
            )
        if self.warm_up >= self.epochs:
            raise InputError(
                f"classifier.warm_up is {self.warm_up} of {self.epochs} epochs; give fewer than all of them."
            )


SECTION = Section(
    name="classifier",
    summary="Train the study's classifiers and measure their test accuracy (Table 2).",
    config=ClassifierConfig,
    run="mixlens.classifier.run",
    figures="mixlens.classifier.figures",
    command="train",
    heads=True,
    modalities=("image", "sound", "text", "volume", "waveform"),
)
