"""The information estimators: time against a plain version and against the bare arithmetic, memory, and bias.

    python benchmarks/information.py [--quick] [--json FILE] [--threads N]

* Pairs: the sandwich of a Gaussian encoder, all N × N pairs in float64. Theirs is what one would write with
  `torch.distributions`: Normal.log_prob of every latent under every encoding, a row chunk at a time, summed and
  logsumexp-ed. The floor is the two matrix products of the scores and one exponential per pair, in our chunks. Aim:
  within 2× of the floor, at most 500 MB at N = 10,000, d = 64. The growth table shows time going as N², memory as N.
* Mixtures: the fit of `rate_mixture`, 20 steps of EM with 12 components. Theirs is scikit-learn's on one draw of the
  latents, as many steps from like starts. The floor is each step's draws, the two products of the densities and of the
  covariances, and nothing else. Aim: 50,000 encodings, d = 64, the choice of components included, in half a minute.
* Nearest neighbours: KSG against scikit-learn's (1-D) and, if installed, infomeasure's; bias over fixed seeds beside
  the time. The floor is the k-d tree query alone.
* Critics: the bias of each neural estimate at 5 nats in 20 dimensions, beside the bounds of the exact encoder.

Peak memory is the process's largest resident size (Linux: VmHWM), making the inputs included, less that after imports.
"""

from __future__ import annotations

import math
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from harness import arguments, installed, interleave, record, show, write
from scipy.spatial import cKDTree
from torch import Tensor
from torch.distributions import Normal

from mixlens.analysis.information import GaussianWorld, ksg, neural, rate, rate_gaussian, rate_mixture, sandwich
from mixlens.analysis.information.critics import Estimator
from mixlens.analysis.information.mixtures import STEPS, Latents, fit_mixture
from mixlens.analysis.information.pairs import MEMORY, rows_within
from mixlens.analysis.training.backend import Backend

DIMENSIONS, NATS = 64, 50.0  # about what a VAE of CIFAR-10 has
Encodings = tuple[Tensor, Tensor, Tensor]


def encodings(n: int, seed: int = 0) -> Encodings:
    world = GaussianWorld.with_information(NATS, DIMENSIONS)
    sample = world.sample(n, generator=torch.Generator().manual_seed(seed))
    return *world.encoder_a(sample.x), sample.z_a


def plain(mean: Tensor, log_scale: Tensor, z: Tensor, rows: int = 16) -> tuple[Tensor, Tensor]:
    """Leave-one-out and InfoNCE with torch.distributions, a chunk of rows at a time."""
    n = len(z)
    encoder = Normal(mean, log_scale.exp())
    others, everyone = [], []
    for start in range(0, n, rows):
        scores = encoder.log_prob(z[start : start + rows, None]).sum(-1)
        everyone.append(scores.diagonal(start) - scores.logsumexp(1) + math.log(n))
        own = scores.diagonal(start).clone()
        scores.diagonal(start).fill_(-math.inf)
        others.append(own - scores.logsumexp(1) + math.log(n - 1))
    return torch.cat(others).mean(), torch.cat(everyone).mean()


def arithmetic(mean: Tensor, log_scale: Tensor, z: Tensor) -> None:
    """Two products of (rows, d) with (d, N) and one exponential per pair, in our chunks.

    Scaled so that no exponential underflows: denormal results are several times as slow, and ours has none either.
    """
    n = len(z)
    step = rows_within(MEMORY, n)
    precision = (-2 * log_scale).exp().T.contiguous() * 1e-3
    weighted = (mean * (-2 * log_scale).exp()).T.contiguous() * 1e-3
    square, chunk = z.square(), z.new_empty(step, n)
    for start in range(0, n, step):
        part = slice(start, min(start + step, n))
        block = chunk[: part.stop - start]
        torch.mm(z[part], weighted, out=block)
        block.addmm_(square[part], precision, alpha=-0.5).exp_()


def pairs(given: Any, n: int, peer: bool) -> dict[str, Any]:
    """The sandwich on n encodings; without a peer, whose time grows as N² d, the floor stands in its place."""
    mine = encodings(n)
    functions: dict[str, Callable[[], object]] = {
        "ours": lambda: sandwich(*mine),
        "theirs": lambda: plain(*mine) if peer else arithmetic(*mine),
        "floor": lambda: arithmetic(*mine),
    }
    if peer:
        lower, upper = sandwich(*mine)
        expected = plain(*mine)
        assert math.isclose(upper.value, expected[0].item(), rel_tol=1e-9)
        assert math.isclose(lower.value, expected[1].item(), rel_tol=1e-9)
    timings = interleave(functions, given.repeats or 7)
    name = "torch.distributions" if peer else "the floor again"
    case = f"sandwich, N = {n:,}, d = {DIMENSIONS}"
    return record(case, name, given.backend, timings["ours"], timings["theirs"], timings["floor"])


def mixtures(given: Any, n: int, components: int = 12) -> list[dict[str, Any]]:
    """The fit on n encodings; and, in seconds alone, all of `rate_mixture` with its choice of components."""
    from sklearn.mixture import GaussianMixture

    mean, log_scale, _ = encodings(n)
    unit = torch.eye(DIMENSIONS, dtype=torch.float64)
    latents = Latents(mean, log_scale.exp(), unit)  # of this world the coordinates are standard already
    draw = torch.Generator().manual_seed(0)
    one_draw = latents.draw(draw).numpy()
    theirs = GaussianMixture(components, max_iter=STEPS, tol=0, init_params="random_from_data", random_state=0)
    stacked = unit.repeat(components, 1)

    def floor() -> None:
        for _ in range(STEPS):
            for y in latents.draw(draw).split(2048):
                standard = y @ stacked.T
                standard.T @ y

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged after so many steps
        timings = interleave(
            {
                "ours": lambda: fit_mixture(latents, components, draw),
                "theirs": lambda: theirs.fit(one_draw),
                "floor": floor,
            },
            given.repeats or 3,
        )
    case = f"mixture, N = {n:,}, d = {DIMENSIONS}, K = {components}"
    made = record(case, "scikit-learn", given.backend, timings["ours"], timings["theirs"], timings["floor"])
    show([made])
    start = time.perf_counter()
    rate_mixture(*encodings(1000, 1), fit=(mean, log_scale), generator=draw)
    made["whole"] = time.perf_counter() - start
    print(f"rate_mixture as a whole, components chosen: {made['whole']:.1f} s")
    return [made]


def growth(sizes: list[int], threads: int) -> list[dict[str, Any]]:
    """Seconds and peak memory of one sandwich at each size, each in a process of its own."""
    code = """
import re, sys, time, torch
sys.path.insert(0, {path!r})
from information import encodings
from mixlens.analysis.information import sandwich

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", open("/proc/self/status").read())[1]) / 1024

torch.set_num_threads({threads})
sandwich(*encodings(100))
before = peak()
mine = encodings({n})
start = time.perf_counter()
sandwich(*mine)
print(time.perf_counter() - start, peak() - before)
"""
    found = []
    for n in sizes:
        text = code.format(path=str(sys.path[0]), n=n, threads=threads)
        done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
        seconds, megabytes = map(float, done.stdout.split())
        found.append({"case": "growth", "samples": n, "ours": seconds, "peak_mb": megabytes, "n": 1})
        pair = seconds / n**2 * 1e9
        print(f"N = {n:>7,}: {seconds:8.2f} s, {pair:.2f} ns per pair, {megabytes:.0f} MB at most, inputs and all")
    return found


def bivariate(rho: float, n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    x = random.normal(size=n)
    return x, rho * x + math.sqrt(1 - rho**2) * random.normal(size=n)


def neighbours(given: Any, n: int, seeds: int) -> list[dict[str, Any]]:
    from sklearn.feature_selection import mutual_info_regression

    def ours(x: np.ndarray, y: np.ndarray) -> float:
        return ksg(torch.from_numpy(x), torch.from_numpy(y), workers=torch.get_num_threads()).value

    peers: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {
        "scikit-learn": lambda x, y: float(mutual_info_regression(x[:, None], y, n_neighbors=3)[0])
    }
    if installed("infomeasure"):
        import infomeasure

        peers["infomeasure"] = lambda x, y: float(
            infomeasure.mutual_information(x, y, approach="metric", k=3, base="e")
        )
    else:
        print("infomeasure is not installed: not compared")
    rho = 0.9
    truth = -0.5 * math.log(1 - rho**2)
    samples = [bivariate(rho, n, seed) for seed in range(seeds)]
    x, y = samples[0]
    joint = np.stack([x, y], 1)
    found = []
    for peer, theirs in peers.items():
        timings = interleave(
            {
                "ours": lambda: ours(x, y),
                "theirs": lambda theirs=theirs: theirs(x, y),
                "floor": lambda: cKDTree(joint).query(joint, k=4, p=np.inf, workers=torch.get_num_threads()),
            },
            given.repeats or 5,
        )
        made = record(f"KSG, N = {n:,}, 1-D", peer, given.backend, timings["ours"], timings["theirs"], timings["floor"])
        for name, function in (("ours", ours), ("theirs", theirs)):
            errors = np.array([function(*pair) - truth for pair in samples])
            made[f"bias_{name}"] = {"mean": errors.mean(), "stderr": errors.std(ddof=1) / math.sqrt(seeds), "n": seeds}
        found.append(made)
    show(found)
    for made in found:
        for name, who in (("ours", "mixlens"), ("theirs", made["peer"])):
            bias = made[f"bias_{name}"]
            print(f"bias of {who} at {truth:.3f} nats: {bias['mean']:+.4f} ± {bias['stderr']:.4f} (n = {seeds})")
    return found


def critics(n: int, seeds: int, steps: int, backend: Backend) -> list[dict[str, Any]]:
    """Value less truth of every estimate of I(Z_A;X) = 5 nats in 20 dimensions. The critics see samples alone."""
    world = GaussianWorld.with_information(5, 20)
    errors: dict[str, list[float]] = {}
    seconds: dict[str, float] = {}

    def note(name: str, value: float, taken: float = 0.0) -> None:
        errors.setdefault(name, []).append(value - world.information())
        seconds[name] = seconds.get(name, 0.0) + taken / seeds

    for seed in range(seeds):
        draw = torch.Generator().manual_seed(seed)
        fit, sample = world.sample(n, generator=draw), world.sample(n, generator=draw)
        mean, log_scale = world.encoder_a(sample.x)
        start = time.perf_counter()
        bounds = sandwich(mean, log_scale, sample.z_a)
        note("leave-one-out, exact encoder", bounds.upper.value, time.perf_counter() - start)
        note("index code, exact encoder", bounds.lower.value)
        note("rate, exact encoder", rate(mean, log_scale).value)
        others = world.encoder_a(fit.x)
        note("rate_gaussian, exact encoder", rate_gaussian(mean, log_scale, fit=others).value)
        start = time.perf_counter()
        fitted = rate_mixture(mean, log_scale, sample.z_a, fit=others, generator=draw)
        note("rate_mixture, exact encoder", fitted.value, time.perf_counter() - start)
        names: tuple[Estimator, ...] = ("infonce", "nwj", "mine", "smile")
        for name in names:
            start = time.perf_counter()
            generator = torch.Generator().manual_seed(seed)
            found = neural(sample.x, sample.z_a, name, fit=(fit.x, fit.z_a), generator=generator, steps=steps)
            note(f"critic, {name}", found.value, time.perf_counter() - start)
    print(f"\nvalue − truth at 5 nats in 20 dimensions, N = {n:,} (critics: as many to train on, {steps} steps)")
    records = []
    for name, values in errors.items():
        mean_error, spread = float(np.mean(values)), float(np.std(values, ddof=1))
        print(f"{name:30} {mean_error:+.3f} ± {spread:.3f} nats over {seeds} seeds, {seconds[name]:.1f} s")
        records.append(
            {"case": "bias at 5 nats, d = 20", "estimator": name, "samples": n, "bias": mean_error, "sd": spread}
            | {"n": seeds, "ours": seconds[name], "threads": torch.get_num_threads(), "device": str(backend.device)}
        )
    return records


def main() -> None:
    given = arguments(str(__doc__).partition("\n")[0])
    records = [pairs(given, 1000, peer=True)]
    if not given.quick:
        records += [pairs(given, 2000, peer=True), pairs(given, 10_000, peer=False)]
    show(records)
    records += mixtures(given, 5000 if given.quick else 50_000)
    growing = [2000, 4000] if given.quick else [5000, 10_000, 20_000, 50_000, 100_000]
    records += growth(growing, torch.get_num_threads())
    records += neighbours(given, 2000 if given.quick else 10_000, 5 if given.quick else 20)
    few = {"n": 1000, "seeds": 2, "steps": 100} if given.quick else {"n": 10_000, "seeds": 5, "steps": 2000}
    records += critics(backend=given.backend, **few)
    write(given.json, records)


if __name__ == "__main__":
    main()
