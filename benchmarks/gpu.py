"""What a GPU makes of it: training steps by engine and by how many go at once, and measuring against bare passes.

    python benchmarks/gpu.py [--quick] [--json FILE] [--device cuda]

Of the VAE and of PreAct-ResNet18 (width 64, 128 images, FMix, bf16 where the device has it) it times training steps run
one by one, captured as a CUDA graph, and captured with a compiled network, with 1, 2, 4, 8 and 16 trainings that take
turns, each on a stream of its own; the kernels of a step and the share of the time in which the device works, from
PyTorch's profiler; and the memory that a training takes. Then masks against their draws and inverse FFT, the sandwich
of 10,000 encodings against its bare arithmetic, and a PGD sweep and heatmap sums against as many bare passes through
the same network; each with the memory it takes. Each case has a limit of a few seconds, the whole about 90. With
``--device cpu`` it shows that it runs; nothing is captured there. The other benchmarks compare with other libraries.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from harness import arguments, interleave, record, show, write
from information import arithmetic, encodings
from masks import floor as fft_floor
from torch.profiler import ProfilerActivity, profile

from mixlens import FMix
from mixlens.analysis.data.dataset import Dataset
from mixlens.analysis.data.sources import photos
from mixlens.analysis.information import sandwich
from mixlens.analysis.masks.fmix import fmix_mask
from mixlens.analysis.training.backend import Backend, environment
from mixlens.analysis.training.engine import Captured, Eager, make_engine
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.measures import predict, to_unit
from mixlens.classifier.model import make_classifier
from mixlens.classifier.train import make_recipe
from mixlens.classifier.train import make_step as classifier_step
from mixlens.gradcam.measures import heatmap_sums
from mixlens.robustness.sweep import sweep
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
    step = vae_step(config, model, FMix(num_classes=10, mode="batch-mask"), generators, backend)
    return endless(make_optimizer(config, model, backend), step, batches, generators, backend, captured), backend


def classifier(dataset: Dataset, backend: Backend, number: int, captured: bool) -> Steps:
    config = ClassifierConfig()
    generators = {name: backend.generator("benchmark", name, number) for name in ("images", "mixing")}
    recipe = make_recipe(config, dataset, generators["images"], backend)
    recipe.network.train()
    step = classifier_step(recipe, FMix(num_classes=10, mode="batch-mask"), generators, backend)
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
    measured = measuring(given.quick, dataset, given.backend)
    show(measured)
    write(given.json, records + measured)


def measuring(quick: bool, dataset: Dataset, backend: Backend) -> list[dict[str, Any]]:
    """Masks, the sandwich, a sweep and heatmap sums, each beside what it cannot do without; always in fp32."""
    device, records = backend.device, []
    images = 64 if device.type == "cpu" else 2000
    network = make_classifier(ClassifierConfig(), dataset)
    model = backend.prepare(network).requires_grad_(False)
    chosen = torch.arange(images) % len(dataset.test)
    x = to_unit(dataset.test.images[chosen], backend)
    labels = predict(model, dataset.test.images[chosen], backend).argmax(1)  # so that all are attacked
    batch = min(images, 500)
    steps = 4 if quick else 40

    def forwards(times: int) -> None:
        with torch.no_grad():
            for _ in range(times):
                for part in x.split(batch):
                    model(part)

    def both(times: int) -> None:
        for part in x.split(batch):
            for _ in range(times):
                inputs = part.clone().requires_grad_()
                torch.autograd.grad(model(inputs).sum(), inputs)

    def attacked() -> None:
        attack = f"pgd(steps={steps})"
        sweep(model, x, labels.cpu(), attacks=(attack,), epsilons=(1e-6,), batch_size=batch)

    def least() -> None:  # predictions before and after, and the gradients
        forwards(2)
        both(steps)

    def heated() -> None:
        heatmap_sums(model, x, labels, ("stem",), to_input=lambda part: part, batch_size=batch)

    n = 1000 if quick or device.type == "cpu" else 10_000
    coded = tuple(part.to(device) for part in encodings(n))
    cases: dict[str, tuple[str, Callable[[], object], Callable[[], object]]] = {
        f"PGD of {steps} steps, one ε, {images} images": ("bare passes", attacked, least),
        f"heatmap sums, {images} images": ("bare passes", heated, lambda: both(1)),
        f"sandwich, N = {n:,}, d = 64": ("arithmetic", lambda: sandwich(*coded), lambda: arithmetic(*coded)),
    }
    for count in (128, 1024):
        lam = torch.rand(count, device=device)
        draws = partial(fft_floor, count, (32, 32), count, device)
        cases[f"{count} masks, 32x32"] = ("draws and FFT", partial(fmix_mask, lam, (32, 32)), draws)
    exact = replace(backend, precision="fp32")
    for case, (peer, function, floor) in cases.items():
        with exact.session():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            timings = interleave({"ours": function, "floor": floor}, REPEATS)
            row = record(case, peer, exact, timings["ours"], timings["floor"], timings["floor"])
        memory = {"memory_mb": torch.cuda.max_memory_allocated(device) / 1e6} if device.type == "cuda" else {}
        records.append(row | memory)
    return records


if __name__ == "__main__":
    main()
