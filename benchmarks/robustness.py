"""Attack sweeps: mixlens' three protocols against a plain Foolbox loop, on one trained network and the same images.

    python benchmarks/robustness.py [--quick] [--json FILE] [--threads N] [--device cpu] [--images N] [--model SPEC]
                                    [--data cifar10 --weights FILE] [--compile 1]

The peer is what a Foolbox user writes: each of the five attacks called with the list of the published script's 14 ε, on
a `PyTorchModel` in eval mode, in the same batches. Ours is `mixlens.robustness.sweep`. The floor of a protocol is the
passes that no exact method can avoid, counted from the result, at the speed of bare passes of whole batches through the
network with frozen weights: every attack's steps and its test at every ε for the images that it has to meet; the first
gradient shared by FGSM and BIM; nothing at ε = 0 or on images that are wrong as they are; of DeepFool one forward pass
a step with a backward pass for each of the nine other classes. In `nested-worst`, an image that breaks at ε has to meet
only the attack that breaks it there. Aims: floor ratio at most 1.11 and ratio at least 1.4 in `paper`, at least 3 in
`nested`, at least 5 in `nested-worst`. With `--compile 1` ours is timed a second time with the network compiled, as
`mixlens robustness --compile` does; Foolbox and the floor stay as they are. On a CUDA device everything is measured
without TF32, and ours once more with it; how many bits that changes is printed.

Under `paper` the broken images of the deterministic attacks (FGSM, BIM, DeepFool) are compared with Foolbox's, images
that are wrong as they are counted as broken on both sides. How many images break, and when, depends on the network:
without --weights one is trained here for a few steps on the built-in photographs, which is less robust than most.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, get_args

import foolbox.attacks
import numpy as np
import torch
from foolbox.models import PyTorchModel
from harness import arguments, interleave, record, show, write
from torch import Tensor, nn

from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.training.backend import Backend
from mixlens.analysis.training.checkpoint import load_weights
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.measures import to_unit
from mixlens.classifier.model import Classifier
from mixlens.classifier.train import make_recipe, make_step
from mixlens.robustness.attacks import SHORT
from mixlens.robustness.config import ATTACKS, EPSILONS, ProtocolName
from mixlens.robustness.sweep import BROKEN, Swept, compile_for_attacks, sweep

DETERMINISTIC = ("fgsm", "bim", "deepfool")
BATCH = 250
STEPS = 150  # of training
NARROW = "preact-resnet18(width=16)"
# Gradient steps of each attack at each ε beside the first gradient, which FGSM and BIM share.
STEPS_OF = {"fgsm": 0, "pgd": 40, "bim": 9, "uniform-noise": 0, "deepfool": 0}


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], images=100, model=NARROW, data="photos", weights="", compile=0)
    backend: Backend = given.backend
    dataset = load_dataset(given.data)
    config = ClassifierConfig(model=given.model, batch_size=64, learning_rate=0.05)
    model = classifier(config, dataset, backend, Path(given.weights) if given.weights else None)
    count = 16 if given.quick else given.images
    with backend.session():
        compare(given, dataset, model, count)


def compare(given: argparse.Namespace, dataset: Dataset, model: Classifier, count: int) -> None:
    backend: Backend = given.backend
    epsilons = EPSILONS[::6] if given.quick else EPSILONS
    chosen = torch.linspace(0, len(dataset.test) - 1, count).long()  # the photographs are sorted by class
    images, labels = dataset.test.images[chosen], dataset.test.labels[chosen]
    x = to_unit(images, backend)
    foolbox_model = PyTorchModel(model, bounds=(0, 1), device=backend.device)

    def theirs() -> np.ndarray[Any, Any]:
        model.requires_grad_(True)  # as a user's model is
        found = []
        for name in ATTACKS:
            attack = getattr(foolbox.attacks, SHORT[name])()
            parts = [
                attack(foolbox_model, part, labels_part, epsilons=list(epsilons))[2]
                for part, labels_part in zip(x.split(BATCH), labels.to(backend.device).split(BATCH), strict=True)
            ]
            found.append(torch.cat(parts, 1).cpu().numpy())
        model.requires_grad_(False)
        return np.stack(found)

    def ours(protocol: ProtocolName, network: nn.Module = model) -> Swept:
        return sweep(network, images, labels, epsilons=epsilons, protocol=protocol, batch_size=BATCH)

    results = {name: ours(name) for name in get_args(ProtocolName)}
    ways = {name: partial(ours, name) for name in results}
    if given.compile:
        compiled = compile_for_attacks(model)
        ways |= {f"{name}, compiled": partial(ours, name, compiled) for name in results}
    if backend.device.type == "cuda":

        def rounded(protocol: ProtocolName) -> Swept:
            with backend.tf32():
                return ours(protocol)

        for name, exact in results.items():
            differ = rounded(name).bits != exact.bits
            print(f"{name}: {int(differ.sum())} of {differ.size} bits are others with tf32")
        ways |= {f"{name}, tf32": partial(rounded, name) for name in results}
    compare_bits(results["paper"], theirs())
    steps = deepfool_steps(model, images, labels)
    repeats = given.repeats or 5
    timings = interleave({"foolbox": theirs, **ways}, repeats)
    bare = interleave(bare_passes(model, x[: min(BATCH, count)]), 9)
    speed = {name: statistics.median(seconds) / min(BATCH, count) for name, seconds in bare.items()}
    made = {name: count_passes(model, partial(ours, name), count) for name in results}
    made["Foolbox"] = count_passes(model, theirs, count)
    records = []
    for name in ways:
        protocol = name.partition(",")[0]
        plain, graph, more = passes(results[protocol], protocol, steps)
        least = plain * speed["forward"] + graph * speed["both"] + more * (speed["both"] - speed["forward"])
        case = f"{name}, {count} images, {len(epsilons)} ε, {given.model}"
        records.append(
            record(case, "Foolbox", backend, timings[name], timings["foolbox"], [least] * repeats)
            | {
                "forward_per_image": made[protocol][0],
                "backward_per_image": made[protocol][1],
                "least_forward_per_image": (plain + graph) / count,
                "least_backward_per_image": (graph + more) / count,
                "foolbox_forward_per_image": made["Foolbox"][0],
                "foolbox_backward_per_image": made["Foolbox"][1],
            }
        )
    show(records)
    print(f"Foolbox makes {made['Foolbox'][0]:.0f} forward and {made['Foolbox'][1]:.0f} backward passes an image")
    for row in records[: len(results)]:
        print(
            f"{row['case']}: {row['forward_per_image']:.0f} forward (least {row['least_forward_per_image']:.0f}), "
            f"{row['backward_per_image']:.0f} backward (least {row['least_backward_per_image']:.0f})"
        )
    write(given.json, records)


def classifier(config: ClassifierConfig, dataset: Dataset, backend: Backend, weights: Path | None) -> Classifier:
    """The network with the given weights, or trained for a few steps."""
    recipe = make_recipe(config, dataset, backend.generator("benchmark", "images"), backend)
    if weights is not None:
        load_weights(weights, recipe.network)
    else:
        step = make_step(recipe, None, {}, backend)
        batches = (batch for _ in range(STEPS) for batch in recipe.batches)
        for number, (x, y) in zip(range(STEPS), batches, strict=False):
            recipe.optimizer.zero_grad(set_to_none=True)
            step(x, y, number)["loss"].backward()
            recipe.optimizer.step()
    return Classifier(recipe.network, dataset.mean, dataset.std).to(backend.device)


def compare_bits(found: Swept, theirs: np.ndarray[Any, Any]) -> None:
    """Print on how many of the (ε, image) pairs each deterministic attack differs from Foolbox's."""
    theirs = theirs | ~found.correct
    for name in DETERMINISTIC:
        index = found.attacks.index(name)
        differ = int(((found.bits[index] == BROKEN) != theirs[index]).sum())
        print(f"{name}: {differ} of {theirs[index].size} bits differ from Foolbox's")


def count_passes(model: nn.Module, run: Callable[[], object], images: int) -> tuple[float, float]:
    """Forward and backward passes for each image that a run really makes."""
    forward = backward = 0

    def note(gradient: Tensor) -> None:
        nonlocal backward
        backward += len(gradient)

    def count(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal forward
        forward += len(output)
        if output.requires_grad:
            output.register_hook(note)

    handle = model.register_forward_hook(count)
    run()
    handle.remove()
    return forward / images, backward / images


def deepfool_steps(model: nn.Module, images: Tensor, labels: Tensor) -> int:
    """DeepFool's steps, added up over the images: its forward passes that build a graph."""
    steps = 0

    def count(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal steps
        steps += len(output) if output.requires_grad else 0

    handle = model.register_forward_hook(count)
    sweep(model, images, labels, attacks=("deepfool",), epsilons=(EPSILONS[-1],), batch_size=BATCH)
    handle.remove()
    return steps


def passes(found: Swept, protocol: str, deepfool: int) -> tuple[int, int, int]:
    """The passes that the result needs: forward alone, forward and backward, further backward ones (see the top)."""
    correct = found.correct
    plain, graph = len(correct), int(correct.sum())  # predictions; the first gradient
    if protocol == "nested-worst":
        broken_before = np.zeros_like(correct)
    for k, epsilon in enumerate(found.epsilons):
        if epsilon == 0:
            continue
        for index, name in enumerate(found.attacks):
            bits = found.bits[index]
            if protocol == "paper":
                met = correct
            elif protocol == "nested":
                met = correct & (bits[k - 1] != BROKEN if k else True)
                met &= ~(found.distance[index] <= epsilon)  # its own perturbation is that small: no test
            else:
                held = (found.bits[:, k] != BROKEN).all(0)
                met = correct & (held | ((bits[k] == BROKEN) & ~broken_before))
            plain += int(met.sum())
            graph += int(met.sum()) * STEPS_OF[name]
        if protocol == "nested-worst":
            broken_before = (found.bits[:, k] == BROKEN).any(0)
    return plain, graph + deepfool, 8 * deepfool


def bare_passes(model: nn.Module, x: Tensor) -> dict[str, Callable[[], object]]:
    def forward() -> None:
        with torch.no_grad():
            model(x)

    def both() -> None:
        inputs = x.clone().requires_grad_()
        torch.autograd.grad(model(inputs).sum(), inputs)

    return {"forward": forward, "both": both}


if __name__ == "__main__":
    main()
