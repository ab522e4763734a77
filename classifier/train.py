"""Train a classifier, with or without an augmentation of its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from ..analysis.data.dataset import Dataset, evenly_spaced
from ..analysis.data.loader import Batched
from ..analysis.data.modality import Changes, Modality
from ..analysis.errors import InputError, first_line, own_line
from ..analysis.interface import Augmentation, Mixed
from ..analysis.masks.policies import Alternate, Policy, period_of
from ..analysis.masks.transform import Mix
from ..analysis.spec import read_spec
from ..analysis.store.runs import Run
from ..analysis.training.backend import CPU, Backend, images_at_once, stream_seed
from ..analysis.training.engine import Step, take_step, training_forward
from ..analysis.training.loop import blaming, fit
from ..analysis.training.progress import Reporter
from ..analysis.training.ranks import Ranks
from ..analysis.training.recipe import (
    KIND,
    Recipe,
    accuracy,
    changed,
    cross_entropy,
    joint_accuracy,
    joint_cross_entropy,
    mixed_loss,
    try_outputs,
    try_parts,
)
from ..analysis.training.schedules import Cosine, OneCycle, StepDecay, WarmUp
from ..analysis.training.turns import Turns, within
from .config import TrainingSettings
from .model import PROBES, few_inputs, make_network, resize, scaling

EVALUATED_IMAGES = 2000  # of the test split after each epoch, for the training curves
TRIED_WORDS, TRIED_STEPS = 512, 8  # of texts that augmentations are tried on, where they may not blend


def train_classifier(
    settings: TrainingSettings,
    dataset: Dataset,
    policy: Policy,
    seed: int,
    *,
    run: Run,
    backend: Backend,
    reporter: Reporter,
    label: str,
) -> Turns[None]:
    """Train into ``run``; resumes from its checkpoint. ``seed`` fixes every random draw.

    Trainings with the same seed share their initial weights and the order, crops and flips of their images whatever the
    augmentation, so that differences between augmentations are paired.
    """
    check_batches(settings, dataset, backend.ranks)
    mix = policy.build(max(dataset.sizes), settings.mix_mode)
    generators = {purpose: backend.generator("classifier", purpose, seed) for purpose in ("images", "mixing")}
    with backend.global_draws("classifier", "weights", seed):
        recipe = make_recipe(settings, dataset, generators["images"], backend)
    if backend.ranks is not None:  # a network of one's own may be made otherwise in each process
        for value in recipe.network.state_dict().values():
            backend.ranks.send(value)
    held_out = _held_out(settings, dataset, backend)

    def evaluate() -> dict[str, float]:
        losses, scores = [], []
        for x, y in held_out:
            outputs = in_full(recipe.network(resize(x, settings.size)))
            losses.append(recipe.loss(outputs, y))
            scores.append(recipe.score(outputs, y).float())
        return {"accuracy": torch.cat(scores).mean().item(), "loss": torch.cat(losses).mean().item()}

    dropout = backend.global_draws("classifier", "network", seed)
    training = fit(
        recipe.network,
        recipe.optimizer,
        make_step(recipe, mix, generators, backend, settings.size, dataset.modality),
        recipe.batches,
        backend=backend,
        epochs=recipe.epochs,
        schedule=recipe.schedule,
        generators=generators | dropout.generators,
        evaluate=evaluate,
        run=run,
        reporter=reporter,
        label=label,
        period=period_of(mix),
    )
    with blaming(mix):
        yield from within(training, lambda: dropout)


def _held_out(settings: TrainingSettings, dataset: Dataset, backend: Backend) -> Batched:
    """Test images for the curves, evenly spaced, since some data sets are sorted; in memory."""
    test = dataset.test
    rows = evenly_spaced(len(test), min(EVALUATED_IMAGES, len(test)), "")
    few = test.in_memory(rows)
    return dataset.modality.batches(
        few,
        *scaling(settings, dataset),
        min(images_at_once(backend.device), len(few)),
        device=backend.device,
        channels_last=backend.channels_last,
    )


def make_recipe(settings: TrainingSettings, dataset: Dataset, generator: Generator, backend: Backend) -> Recipe:
    """The paper's: SGD on the cross entropy, of several heads on its sum; or what the settings' ``recipe`` makes of it.

    Args:
        generator: of the order of the images and their transforms.

    Raises:
        InputError: what `recipe.changed` refuses.
    """
    network = backend.prepare(make_network(settings, dataset), few_inputs(settings, dataset))
    standard = Recipe(
        network,
        joint_cross_entropy if dataset.heads else cross_entropy,
        joint_accuracy if dataset.heads else accuracy,
        make_optimizer(settings, network),
        make_schedule(settings),
        make_batches(settings, dataset, generator, backend),
        settings.epochs,
    )
    if not settings.recipe:
        return standard
    recipe = changed(standard, settings.recipe)
    longer = type(recipe.epochs) is int and recipe.epochs > 0 and recipe.epochs != standard.epochs
    if longer and recipe.schedule is standard.schedule:  # the same, stretched
        recipe = replace(recipe, schedule=make_schedule(replace(settings, epochs=recipe.epochs)))
    return recipe


def recipe_named(settings: TrainingSettings, dataset: Dataset, network: nn.Module) -> str:
    """The recipe that was asked for, else the network's, else the data set's, as it is written; empty: the standard.

    Raises:
        InputError: it is not of the form package.module:function(key=value, …).
    """
    of_network = getattr(network, "recipe", "")
    text = settings.recipe or (of_network if isinstance(of_network, str) else "") or dataset.recipe
    if not text:
        return ""
    spec = read_spec(text, KIND)
    if not spec.is_own:
        raise InputError(f"{KIND} {text!r} is not of the form package.module:function, such as my_code.training:adam.")
    return spec.text


def try_recipe(
    settings: TrainingSettings, dataset: Dataset, backend: Backend = CPU, policies: Sequence[Policy] = ()
) -> int:
    """Train on next to nothing, a step on a few images, so that a mistake is known before hours of it: → its epochs.

    The step is the training's, in its mode, on its device, in its precision and memory format; and one more with each
    of ``policies`` that is the user's own.

    Raises:
        InputError: what `recipe.changed`, `recipe.try_parts` and `recipe.try_outputs` refuse; nothing to train; a step
            that fails, that no gradient comes from, or whose loss is not finite.
    """
    few = dataset.train.in_memory(torch.arange(min(PROBES, len(dataset.train))))
    backend = replace(backend, compile=False)
    with backend.session(), backend.global_draws("classifier", "try"):
        small = replace(settings, batch_size=len(few))
        recipe = make_recipe(small, replace(dataset, train=few), backend.generator("classifier", "try"), backend)
        try_parts(recipe, make_network(settings, dataset))
        x, y = next(iter(recipe.batches))
        recipe.network.eval()
        with torch.no_grad():
            try_outputs(recipe, in_full(recipe.network(resize(x, settings.size))), y)
        recipe.network.train()
        where = f" by the {KIND}" if settings.recipe else ""
        for policy in (None, *(policy for policy in policies if policy.spec.is_own)):
            mix = policy.build(max(dataset.sizes), settings.mix_mode) if policy else None
            mixing = {"mixing": backend.generator("classifier", "try", "mixing")}
            step = make_step(recipe, mix, mixing, backend, settings.size, dataset.modality)
            _try_step(recipe, step, dataset.modality.halves(recipe.network)[1], x, y, where)
        return recipe.epochs


def try_mixing(settings: TrainingSettings, dataset: Dataset, network: nn.Module, policies: Sequence[Policy]) -> None:
    """Refuse an augmentation that blends where a network's first half gives what may only be chosen, as word numbers.

    Raises:
        InputError: it gives a value that is neither of two texts' at its place.
    """
    if not getattr(dataset.modality.halves(network)[0], "chooses", False):
        return
    y = dataset.train.labels[:PROBES].cpu()
    x = torch.rand(len(y), 1, TRIED_WORDS, generator=Generator().manual_seed(0))
    for policy in policies:
        if (mix := policy.build(max(dataset.sizes), settings.mix_mode)) is None:
            continue
        mix, generator = _always(mix), Generator().manual_seed(0)
        for number in range(TRIED_STEPS):
            mixed = mix.pairs(x, y, generator=generator, step=number)[0]
            if not (mixed.unsqueeze(1) == x).any(1).all():
                raise InputError(
                    f"augmentation {policy.text!r} blends what it mixes, and the model {settings.model!r} mixes the "
                    "numbers of words, between which lie other words. Leave it out, or mix their embeddings: "
                    "bert(path=…,mix='embeddings')."
                )


def _always(mix: Augmentation) -> Augmentation:
    """The augmentation, at every step of those where it is one of the package's own."""
    if isinstance(mix, Alternate):
        return replace(mix, first=replace(mix.first, p=1.0), second=replace(mix.second, p=1.0))
    return replace(mix, p=1.0) if isinstance(mix, Mix) else mix


def _try_step(recipe: Recipe, step: Step, last: nn.Module, x: Tensor, y: Tensor, where: str) -> None:
    """Take it; ``last``: the part of the network whose outputs the loss is of. Raises InputError, as `try_recipe`."""
    if not any(parameter.requires_grad for parameter in recipe.network.parameters()):
        raise InputError("all parameters of the network are frozen (requires_grad=False): there is nothing to train.")
    outputs: list[Any] = []
    hook = last.register_forward_hook(lambda network, inputs, returned: outputs.append(returned))
    try:
        loss = take_step(recipe.optimizer, step, x, y, 0)["loss"]
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the user's network, loss or optimiser raises
        kind = type(outputs[-1]).__name__ if outputs else "Tensor"
        if recipe.loss is cross_entropy and kind != "Tensor":
            raise InputError(
                f"the network returns {kind} in training mode; expected one tensor of logits (B, classes). Leave out "
                "its auxiliary heads, as torchvision:googlenet(aux_logits=False) does, or give a loss that takes them "
                "(--classifier.recipe)."
            ) from error
        if outputs and isinstance(outputs[-1], Tensor) and not outputs[-1].requires_grad:
            raise InputError(
                "no gradient comes from what the network returns in training mode: it detaches it (no_grad, detach, "
                "argmax), and cannot be trained."
            ) from error
        raise InputError(
            f"a training step{where} failed with {type(error).__name__}: {first_line(error)}{own_line(error)}"
        ) from error
    finally:
        hook.remove()
    if not loss.isfinite():
        raise InputError(
            f"the loss of the first training step{where} is {loss.item()}: what the network returns in training mode "
            "is not finite in this precision, or the loss of it is not."
        )


def make_batches(settings: TrainingSettings, dataset: Dataset, generator: Generator, backend: Backend) -> Batched:
    """The training images as the data's modality batches and changes them, on the device.

    Raises:
        InputError: transforms that are none of these images.
    """
    return dataset.modality.batches(
        dataset.train,
        *scaling(settings, dataset),
        settings.batch_size,
        changes=Changes(settings.flip, settings.crop, settings.transforms),
        device=backend.device,
        generator=generator,
        shuffle=True,
        channels_last=backend.channels_last,
    )


def make_step(
    recipe: Recipe,
    mix: Augmentation | None,
    generators: Mapping[str, Generator],
    backend: Backend,
    size: int | None = None,
    modality: Modality | None = None,
) -> Step:
    """One training step's forward pass: mix the images, and the mean of the recipe's loss, weighted as they are.

    Of another ``modality`` what is mixed may be what the network's first half makes of them.
    """
    before, after = modality.halves(recipe.network) if modality else ((lambda x: x), recipe.network)
    batches = recipe.batches
    full, one_shape = getattr(batches, "batch_size", None), getattr(batches, "one_shape", True)
    forward = training_forward(after, backend, full, one_shape=one_shape)

    def means(mixed: Mixed, y: Tensor) -> dict[str, Tensor]:
        with backend.autocast():
            outputs = in_full(forward(resize(mixed[0], size)))
        return {
            "loss": mixed_loss(recipe.loss, outputs, mixed).mean(),
            "accuracy": recipe.score(outputs, y).float().mean(),
        }

    def step(x: Tensor, y: Tensor, number: int) -> dict[str, Tensor]:
        seed = stream_seed(generators["mixing"].initial_seed(), number) if backend.ranks is not None else 0
        if backend.ranks is not None and isinstance(before, nn.Module):
            torch.manual_seed(seed)  # it may draw, as dropout does, for the whole batch: all processes alike
        x = before(x)
        mixed: Mixed = (x, y)
        if mix is not None:
            mixed = mix.pairs(x, y, generator=generators["mixing"], step=number)
        if backend.ranks is None:
            return means(mixed, y)
        return backend.ranks.divided(means, mixed, y, seed)

    return step


def in_full(outputs: Any) -> Any:
    """A network's outputs in full precision; of several heads, a tuple, those of each."""
    if isinstance(outputs, tuple):
        return tuple(map(in_full, outputs))
    return outputs.float() if isinstance(outputs, Tensor) else outputs


def make_optimizer(settings: TrainingSettings, network: nn.Module) -> torch.optim.Optimizer:
    first = next(network.parameters(), None)
    if first is None:
        raise InputError(f"model {settings.model!r} has no parameters: there is nothing to train.")
    on_cuda = first.device.type == "cuda"
    if settings.optimizer == "adam":
        rate, decay = settings.learning_rate, settings.weight_decay
        return torch.optim.Adam(network.parameters(), lr=rate, weight_decay=decay, fused=first.device.type != "mps")
    return torch.optim.SGD(
        network.parameters(),
        lr=settings.learning_rate,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        fused=on_cuda or None,  # a captured graph takes its rate from the device
    )


def make_schedule(settings: TrainingSettings) -> Callable[[float], float]:
    """The factor on the learning rate by the epoch, as the settings describe it."""
    if settings.schedule == "one-cycle":
        return OneCycle(settings.epochs)
    schedule: Callable[[float], float] = Cosine(settings.epochs)
    if settings.schedule == "step":
        schedule = StepDecay(tuple(max(1, round(fraction * settings.epochs)) for fraction in settings.milestones))
    if not settings.warm_up:
        return schedule
    return WarmUp(schedule, settings.warm_up, settings.warm_up_rate / settings.learning_rate)


def check_batches(settings: TrainingSettings, dataset: Dataset, ranks: Ranks | None = None) -> None:
    """Raises InputError when there are too few training images for a batch, or in one for as many processes."""
    if settings.batch_size > len(dataset.train):
        raise InputError(
            f"classifier.batch_size is {settings.batch_size}, but there are {len(dataset.train)} training images. "
            f"Give at most that, such as --classifier.batch-size {max(2, len(dataset.train) // 8)}."
        )
    last = len(dataset.train) % settings.batch_size
    smallest = last if last > 1 else settings.batch_size  # one image over makes no batch
    if ranks is not None and smallest < ranks.world:
        raise InputError(
            f"a batch of {smallest} images cannot be divided among {ranks.world} processes: of {len(dataset.train)} "
            f"training images in batches of {settings.batch_size} that is the smallest. Give another "
            "--classifier.batch-size, or start fewer processes."
        )
