"""Attack a data set at every ε: who is broken by what, from the passes that this takes and no more.

The product is an int8 array [attack, ε, image]: 0 held, 1 broken, −1 not run. Images that the model gets wrong as they
are count as broken by every attack and are not attacked. Three protocols:

- ``paper``: every attack at every ε, as published. A minimising attack (DeepFool) runs once, is clipped to each ε and
  tested again, as Foolbox does.
- ``nested``: ε ascending; each attack meets only the images that it has not broken at a smaller ε, since a smaller
  ball lies inside a larger one. DeepFool's image is broken at ε where its own ‖δ‖ ≤ ε, or clipped to ε still fools.
- ``nested-worst``: the same across attacks, cheapest first; the worst case alone is defined.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ..analysis.errors import InputError, first_line, unknown
from ..classifier.model import check_classifier
from .attacks import Attack, parse_attacks
from .config import ATTACKS, EPSILONS, TOGETHER, ProtocolName, check_epsilons, check_within_range
from .measures import BROKEN, HELD, NOT_RUN
from .passes import Passes
from .probe import Block, Probe
from .state import State, Swept, identity_of

BLOCK = {"cpu": 500, "cuda": 5000}  # images between two saves; larger ones fill a GPU when few are left to attack


def sweep(
    model: nn.Module,
    images: Tensor | np.ndarray[Any, Any],
    labels: Tensor | np.ndarray[Any, Any],
    *,
    attacks: Sequence[str] = ATTACKS,
    epsilons: Sequence[float] = EPSILONS,
    protocol: ProtocolName = "paper",
    seed: int = 0,
    batch_size: int | None = None,
    numbers: Sequence[int] | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int], None] = lambda images: None,
    say: Callable[[str], None] = lambda text: None,
) -> Swept:
    """Attack ``model`` (images in [0, 1] → logits) and say which images each attack breaks at each ε.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1]; attacked on the model's device.
        labels: (N,) integer classes.
        attacks: names as `parse_attacks` reads them.
        epsilons: ascending, in the norm of the attacks (L∞: pixel units).
        seed: of random starts and noise, which are drawn for each (attack, ε, image) by itself.
        batch_size: images attacked at once; None: as many as the device's memory holds. Results do not depend on it
            but for rounding, except those of attacks whose draws or stops are the batch's (`Attack.by_image`): with
            them None is 500. Where memory does not hold that many, fewer are taken.
        numbers: the images' numbers in their data set, which seed their draws; their positions by default.
        checkpoint: a file that keeps what is done; a sweep that finds it goes on from there.
        progress: called with the number of images of each finished (attack, block).
        say: told in one line where fewer images fit than asked for, or passes cannot be captured as CUDA graphs.

    Raises:
        InputError: what `parse_attacks`, `check_epsilons` and `check_classifier` refuse; images outside [0, 1]; labels
            that do not fit; a checkpoint of another sweep; memory that does not hold the images.
    """
    if protocol not in get_args(ProtocolName):
        raise unknown("protocol", protocol, get_args(ProtocolName))
    check_epsilons(tuple(epsilons))
    images, labels = (_tensor(values) for values in (images, labels))
    device = next((p.device for p in model.parameters()), images.device)
    _check_images(images, labels)
    with frozen(model):
        _check_labels(labels, check_classifier(model, _unit(images[:8], device)))
    known = np.arange(len(images)) if numbers is None else np.asarray(numbers)
    if known.shape != (len(images),):
        raise InputError(f"numbers must be {len(images)} integers, one for each image, got {known.shape}.")
    chosen = parse_attacks(attacks)
    if math.isinf(chosen[0].norm.p):
        check_within_range(tuple(epsilons))
    together = [attack for attack in chosen if not attack.by_image]
    if together and batch_size is None:
        batch_size = TOGETHER
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}.")
    state = State([attack.name for attack in chosen], tuple(float(value) for value in epsilons), len(images))
    if checkpoint is not None:
        state.keep_in(checkpoint, identity_of(model, images, labels, known, protocol, seed))
    size = BLOCK.get(device.type, BLOCK["cuda"])
    cuda = [device] if device.type == "cuda" else []
    with torch.inference_mode(False), frozen(model), torch.random.fork_rng(cuda):  # whatever the caller is in
        passes = Passes(model, device, say)
        at_once = batch_size or passes.most_images(_unit(images[:8], device), labels[:8].long().to(device))
        for start in range(0, len(images), size):
            rows = np.arange(start, min(start + size, len(images)))
            if resumed := int(state.done[:, rows].all(1).sum()):
                progress(len(rows) * resumed)
            while todo := [index for index in range(len(chosen)) if not state.done[index, rows].all()]:
                try:
                    block = Block(
                        passes, _unit(images[rows], device), labels[rows].long().to(device), known[rows], at_once
                    )
                    probes = {index: Probe(chosen[index], block, seed, at_once) for index in todo}
                    _attack(state, rows, probes, block, protocol, progress)
                except torch.OutOfMemoryError as error:
                    block, probes = None, {}  # what they hold goes first
                    at_once, passes = _fewer(at_once, together, error), Passes(model, device, say)
                    say(f"{at_once} images are attacked at once: memory does not hold more")
    return state.result()


def _fewer(at_once: int, together: Sequence[Attack], error: torch.OutOfMemoryError) -> int:
    """Half as many images at once. Raises InputError where that would change results, or one is too many."""
    if at_once > 1 and not together:
        return at_once // 2
    why = f"{together[0].name} draws or stops for a batch as a whole" if together else "there is no smaller batch"
    raise InputError(
        f"memory does not hold a batch of {at_once} under attack ({first_line(error)}), and {why}. Free "
        "memory, or give another batch_size."
    ) from error


def _attack(
    state: State,
    rows: np.ndarray[Any, Any],
    probes: Mapping[int, Probe],
    block: Block,
    protocol: ProtocolName,
    progress: Callable[[int], None],
) -> None:
    if protocol == "nested-worst":
        _nested_worst(state, rows, probes, block)
        state.finish(rows, probes, block)
        progress(len(rows) * len(probes))
        return
    for index, probe in probes.items():
        _each_epsilon(state, rows, index, probe, block, nested=protocol == "nested")
        state.finish(rows, {index: probe}, block)
        progress(len(rows))


def compile_for_attacks(model: nn.Module) -> nn.Module:
    """The model compiled for batches of any size. Rounding differs from the uncompiled one's."""
    # DeepFool goes backward through one graph several times, which donated buffers forbid.
    torch._functorch.config.donated_buffer = False
    return torch.compile(model, dynamic=True)  # type: ignore[return-value]


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No gradients for the parameters meanwhile: attacks do not read them, and they cost a third of the passes."""
    wanted = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in wanted:
            parameter.requires_grad_(True)


def _each_epsilon(
    state: State, rows: np.ndarray[Any, Any], index: int, probe: Probe, block: Block, *, nested: bool
) -> None:
    """One attack at every ε, on all images that are classified correctly or on those it has not broken yet."""
    bits = state.bits[index]
    bits[:, rows] = np.where(block.correct.cpu().numpy(), HELD, BROKEN)
    left = block.correct.nonzero().squeeze(1)  # positions in the block
    for k, epsilon in enumerate(state.epsilons):
        broken = probe.broken(left, epsilon, within=nested)
        hit = rows[left[broken].cpu().numpy()]
        if nested:
            bits[k:, hit] = BROKEN
            left = left[~broken]
        else:
            bits[k, hit] = BROKEN


def _nested_worst(state: State, rows: np.ndarray[Any, Any], probes: Mapping[int, Probe], block: Block) -> None:
    """All attacks, cheapest first, at each ε in turn, on the images that none has broken yet."""
    state.bits[:, :, rows] = np.where(block.correct.cpu().numpy(), NOT_RUN, BROKEN)
    left = block.correct.nonzero().squeeze(1)  # positions in the block
    cheapest_first = sorted(probes.items(), key=lambda item: item[1].attack.cost)
    for k, epsilon in enumerate(state.epsilons):
        for index, probe in cheapest_first:
            broken = probe.broken(left, epsilon, within=True)
            state.bits[index, k, rows[left.cpu().numpy()]] = HELD
            state.bits[index, k:, rows[left[broken].cpu().numpy()]] = BROKEN
            left = left[~broken]


def _check_labels(labels: Tensor, classes: int) -> None:
    if int(labels.max()) >= classes or int(labels.min()) < 0:
        raise InputError(
            f"labels run from {int(labels.min())} to {int(labels.max())}, but the model has {classes} outputs."
        )


def _check_images(images: Tensor, labels: Tensor) -> None:
    if images.ndim != 4 or not len(images):
        raise InputError(f"images must have the shape (N, C, H, W), got {tuple(images.shape)}.")
    if labels.shape != (len(images),) or labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(
            f"labels must be {len(images)} integers, one for each image, got {labels.dtype} {tuple(labels.shape)}."
        )
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise InputError(f"images must be uint8 or floats in [0, 1], got {images.dtype}.")
    low, high = images.min().item(), images.max().item()
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"images must lie in [0, 1], these reach from {low:g} to {high:g}: give them before normalisation, which "
            "belongs inside the model (mixlens.classifier.model.Classifier)."
        )


def _tensor(values: Tensor | np.ndarray[Any, Any]) -> Tensor:
    """An array as a tensor; one of inference mode as one that gradients may follow."""
    values = torch.as_tensor(values)
    return values.clone() if values.is_inference() else values


def _unit(images: Tensor, device: torch.device) -> Tensor:
    images = images.to(device)
    x = images.float().div_(255) if images.dtype == torch.uint8 else images.float()
    return x.contiguous(memory_format=torch.channels_last) if device.type != "mps" else x
