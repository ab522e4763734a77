"""FMix masks per second: 128 masks, each with its own λ, against a NumPy loop and the PyPI package `mixup`.

    python benchmarks/masks.py [--quick] [--json FILE] [--threads N] [--device cpu] [--masks 128]

The floor is the random draws and the real inverse FFT alone, in one batch. Aim on a CPU: within 1.5× of it at every
size; at least 5× the NumPy loop at 32×32 and 2.5× at 224×224, on two idle cores. Aim on a GPU: within 5× of it, and
within 2× from 1,024 masks a call on. Below the table stand, as multiples of the floor, the same in the chunks that ours
uses to stay in a core's cache, which is the harder mark on large masks; and in chunks with each image's median, without
which, or another order statistic, no exact mask is known to be made.

The peers:

* ``numpy loop``: the same equation one mask at a time, half a spectrum with the right weights (rfft), argsort. It makes
  its weights once per size, as ours does, and runs on the CPU.
* ``mixup``: its FMix has no mask function of its own and draws one mask per batch, so it is called on 128 batches of
  one one-channel image each; the mixing of that image is in its time. Two dimensions only; its zero frequency is
  dropped and its threshold is a quantile, so the count of ones is not exact.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from harness import arguments, installed, interleave, record, show, write

from mixlens.analysis.masks import fmix

SIZES: dict[str, tuple[int, ...]] = {
    "32x32": (32, 32),
    "224x224": (224, 224),
    "32x32x32": (32, 32, 32),
    "16000": (16_000,),
}
DECAY_POWER = 3.0
PEER_VERSION = "0.2.2"


def ours(lam: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
    return fmix.fmix_mask(lam, size, DECAY_POWER)


def floor(n: int, size: tuple[int, ...], step: int, device: torch.device, select: bool = False) -> None:
    """The draws and the inverse FFT of n images, ``step`` at a time, and perhaps each image's median."""
    dims = tuple(range(1, len(size) + 1))
    for start in range(0, n, step):
        rows = min(step, n - start)
        noise = torch.randn(rows, *size[:-1], size[-1] // 2 + 1, 2, device=device)
        torch.rand(rows, device=device)
        images = torch.fft.irfftn(torch.view_as_complex(noise), s=size, dim=dims)
        if select and device.type == "cpu":
            np.partition(images.flatten(1).numpy(), math.prod(size) // 2, axis=1)
        elif select:
            images.flatten(1).kthvalue(math.prod(size) // 2, dim=1)


def loop_weights(size: tuple[int, ...]) -> np.ndarray:
    """Amplitudes of the half-spectrum: 1/f^δ, with √½ on the columns whose mirror images are left out."""
    axes = [*(np.fft.fftfreq(side) for side in size[:-1]), np.fft.rfftfreq(size[-1])]
    squared = sum(np.square(grid) for grid in np.meshgrid(*axes, indexing="ij"))
    weights = 1 / np.maximum(np.sqrt(squared), 1 / max(size)) ** DECAY_POWER
    mirrored = slice(1, -1 if size[-1] % 2 == 0 else None)
    weights[..., mirrored] *= math.sqrt(0.5)
    return weights


def numpy_loop(lam: np.ndarray, size: tuple[int, ...], weights: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    pixels = math.prod(size)
    masks = np.zeros((len(lam), pixels), np.float32)
    for mask, share in zip(masks, lam, strict=True):
        noise = rng.standard_normal(weights.shape) + 1j * rng.standard_normal(weights.shape)
        image = np.fft.irfftn(noise * weights, s=size, axes=range(len(size)))
        count = math.floor(share * pixels + rng.random())
        mask[image.reshape(-1).argsort()[pixels - count :]] = 1
    return masks.reshape(len(lam), 1, *size)


def mixup_package(n: int, size: tuple[int, ...], device: torch.device) -> Callable[[], object]:
    from mixup import FMix

    mix = FMix(alpha=1.0, probability=1.0, decay_power=DECAY_POWER)
    image, label = torch.zeros(1, 1, *size, device=device), torch.ones(1, 1, device=device)

    def call() -> None:
        for _ in range(n):
            mix(image, label)

    return call


def check(size: tuple[int, ...]) -> None:
    """The loop makes what ours makes: on a small sample, the same mean of each mask to a pixel."""
    lam = torch.rand(4, dtype=torch.double)
    loop = numpy_loop(lam.numpy(), size, loop_weights(size), np.random.default_rng(0))
    difference = torch.from_numpy(loop).flatten(1).mean(1) - ours(lam, size).flatten(1).mean(1)
    assert difference.abs().max() <= 1.01 / math.prod(size)


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0], masks=128)
    device, masks = given.backend.device, given.masks
    peer = installed("mixup")
    if peer is None:
        print(f"peer mixup {PEER_VERSION}: left out, not installed (pip install mixup=={PEER_VERSION})")
    torch.manual_seed(0)
    lam = torch.rand(masks, device=device)
    records = []
    for case, size in SIZES.items():
        check(size)
        repeats = given.repeats or (5 if given.quick else 15)
        chunk = max(1, fmix.CPU_CHUNK_ELEMENTS // math.prod(size)) if device.type == "cpu" else masks
        weights, rng, host_lam = loop_weights(size), np.random.default_rng(0), lam.double().cpu().numpy()
        functions: dict[str, Callable[[], object]] = {
            "ours": partial(ours, lam, size),
            "floor, one batch": partial(floor, masks, size, masks, device),
            "floor, in chunks": partial(floor, masks, size, chunk, device),
            "floor with a selection": partial(floor, masks, size, chunk, device, select=True),
            "numpy loop": partial(numpy_loop, host_lam, size, weights, rng),
        }
        peers = ["numpy loop"]
        if peer is not None and len(size) == 2:
            peers.append(f"mixup {peer}")
            functions[peers[-1]] = mixup_package(masks, size, device)
        elif peer is not None:
            print(f"{case}: peer mixup {peer} left out, it makes masks of two dimensions only")
        timings = interleave(functions, repeats)
        floors = {
            "floor_in_chunks": statistics.median(timings["floor, in chunks"]),
            "floor_with_selection": statistics.median(timings["floor with a selection"]),
        }
        records += [
            record(
                f"{masks} masks {case}",
                name,
                given.backend,
                timings["ours"],
                timings[name],
                timings["floor, one batch"],
            )
            | floors
            for name in peers
        ]
    show(records)
    for name in ("floor_in_chunks", "floor_with_selection"):
        multiples = {row["case"]: f"{row[name] / row['floor']:.2f}" for row in records}
        print(name.replace("_", " "), ", ".join(f"{case} {shown}" for case, shown in multiples.items()), sep=": ")
    write(given.json, records)


if __name__ == "__main__":
    main()
