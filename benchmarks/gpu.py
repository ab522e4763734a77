"""What a GPU makes of it: training steps by engine and by how many go at once, and how much of the time it is busy.

    python benchmarks/gpu.py [--quick] [--json FILE] [--device cuda]

Of the VAE and of PreAct-ResNet18 (width 64, 128 images, FMix, bf16 where the device has it) it times training steps run
one by one, captured as a CUDA graph, and captured with a compiled network, with 1, 2, 4, 8 and 16 trainings that take
turns, each on a stream of its own; the kernels of a step and the share of the time in which the device works, from
PyTorch's profiler; and the memory that a training takes. Each case has a limit of a few seconds, the whole about 90.
With ``--device cpu`` it shows that it runs; steps are not captured there. Masks, estimators, sweeps and heatmaps on a
GPU: the other benchmarks with ``--device cuda``.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import torch
from harness import arguments, write
from torch.profiler import ProfilerActivity, profile

from mixlens import FMix
from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.data.sources import photos
from mixlens.analysis.training.backend import Backend, environment
from mixlens.analysis.training.engine import Captured, Eager, make_engine
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.train import make_recipe
from mixlens.classifier.train import make_step as classifier_step
from mixlens.vae.config import VAEConfig
from mixlens.vae.model import VAE
from mixlens.vae.train import make_batches, make_optimizer
from mixlens.vae.train import make_step as vae_step

AT_ONCE = (1, 2, 4, 8, 16)
REPEATS = 5
Steps = tuple[Iterator[Any], Backend]


def vae(dataset: Dataset, backend: Backend, number: int, captured: bool) -> Steps:
    config = VAEConfig()
    model = VAE(config.latents)
    model.initialise(torch.Generator().manual_seed(number))
    model = backend.prepare(model).train()
    generators = {name: backend.generator("benchmark", name, number) for name in ("images", "mixing", "latents")}
    batches = make_batches(config, dataset, generators["images"], backend)
    step = vae_step(config, model, FMix(num_classes=10, mode="batch"), generators, backend)
    return endless(make_optimizer(config, model, backend), step, batches, generators, backend, captured), backend


def classifier(dataset: Dataset, backend: Backend, number: int, captured: bool) -> Steps:
    config = ClassifierConfig()
    generators = {name: backend.generator("benchmark", name, number) for name in ("images", "mixing")}
    recipe = make_recipe(config, dataset, generators["images"], backend)
    recipe.network.train()
    step = classifier_step(recipe, FMix(num_classes=10, mode="batch"), generators, backend)
    return endless(recipe.optimizer, step, recipe.batches, generators, backend, captured), backend


def endless(
    optimizer: Any, step: Any, batches: Any, generators: Any, backend: Backend, captured: bool
) -> Iterator[Any]:
    rate = float(optimizer.param_groups[0]["lr"])
    if captured:
        engine = make_engine(
            backend, optimizer, step, batches, lambda epoch: [rate], period=1, generators=generators, say=print
        )
        assert isinstance(engine, Captured)
    else:
        engine = Eager(optimizer, step, batches, lambda epoch: [rate])
    epoch = 0
    while True:
        yield from engine.epoch(epoch)
        epoch += 1


def turn(steps: Iterator[Any], session: AbstractContextManager[Any]) -> None:
    with session:
        next(steps)


def timed(trainings: list[Steps], seconds: float, device: torch.device) -> tuple[list[float], int]:
    """Seconds per step and training, of `REPEATS` stretches in turn; steps of each stretch."""
    count = 1
    while True:  # as many steps as last a fifth of the time
        took = stretch(trainings, count, device)
        if took * REPEATS > seconds / 2:
            break
        count = max(count + 1, min(4 * count, int(count * seconds / REPEATS / max(took, 1e-6))))
    return [stretch(trainings, count, device) / count / len(trainings) for _ in range(REPEATS)], count


def stretch(trainings: list[Steps], count: int, device: torch.device) -> float:
    wait(device)
    began = time.perf_counter()
    for _ in range(count):
        for steps, backend in trainings:
            turn(steps, backend.session())
    wait(device)
    return time.perf_counter() - began


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def busy(trainings: list[Steps], count: int, device: torch.device) -> tuple[float, float]:
    """Kernels per step, and the share of the time in which any of them runs."""
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        took = stretch(trainings, count, device)
    spans = sorted((e.time_range.start, e.time_range.end) for e in found.events() if e.device_type.name == "CUDA")
    covered, end = 0.0, 0.0
    for start, stop in spans:
        covered += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return len(spans) / count / len(trainings), covered / 1e6 / took


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], precision="auto")
    dataset, device = photos.load(), given.backend.device
    seconds, on_cuda = (0.5 if given.quick else 2.0), device.type == "cuda"
    networks: dict[str, Callable[[Dataset, Backend, int, bool], Steps]] = {"vae": vae, "classifier": classifier}
    engines = {"eager": (False, False), "captured": (True, False), "captured, compiled": (True, True)}
    records = []
    where = environment(given.backend)
    versions = {key: where[key] for key in ("mixlens", "commit", "torch")}
    print(f"{where['hardware']}, {device.type}, torch {where['torch']}, {given.backend.precision}, batches of 128")
    print("ms per step and training, median ± range over the median; the device's busy share; MB at most")
    for name, make in networks.items():
        for engine, (captured, compiled) in engines.items():
            if captured and not on_cuda:
                print(f"{name}, {engine}: not measured, there is no CUDA device")
                continue
            for at_once in AT_ONCE if captured and not compiled else AT_ONCE[:1]:
                if given.quick and at_once not in (1, 8):
                    continue
                if on_cuda:
                    torch.cuda.empty_cache()
                    torch.cuda.reset_peak_memory_stats(device)
                backend = replace(given.backend, compile=compiled)
                trainings = [make(dataset, backend.apart(), number, captured) for number in range(at_once)]
                for _ in range(6 if on_cuda else 1):  # warmed, captured and compiled
                    stretch(trainings, 1, device)
                taken, count = timed(trainings, seconds, device)
                middle = statistics.median(taken)
                facts = {"ours": middle, "spread": (max(taken) - min(taken)) / middle, "n": REPEATS, "steps": count}
                text = f"{1e3 * middle:.3f} ms ±{facts['spread']:.0%}, n = {REPEATS} × {count} steps"
                if on_cuda:
                    kernels, share = busy(trainings, 10, device)
                    memory = torch.cuda.max_memory_allocated(device) / 1e6
                    facts |= {"kernels": kernels, "busy": share, "memory_mb": memory}
                    text += f"; {kernels:.0f} kernels, busy {share:.0%}, {memory:,.0f} MB"
                case = f"{name}, {engine}, {at_once} at once"
                print(f"{case}: {text}")
                records.append({"case": case, **facts, "hardware": where["hardware"], "versions": versions})
    write(given.json, records)


if __name__ == "__main__":
    main()
