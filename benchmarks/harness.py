"""What every benchmark shares: alternating timings in one process, the table, the records."""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from mixlens.analysis.training.backend import Backend, environment, make_backend

Timings = dict[str, list[float]]
TIMED_SECONDS = 0.02


def arguments(description: str, precision: str = "fp32", **own: int | str) -> argparse.Namespace:
    """The options of every benchmark and the numbers and words it adds; ``backend`` is made from device and threads."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="smaller and fewer cases, under a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the records there")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: PyTorch's choice)")
    parser.add_argument("--repeats", type=int, help="timed runs of each function, at least 5")
    for name, default in own.items():
        parser.add_argument(f"--{name}", type=type(default), default=default, help="(default: %(default)s)")
    given = parser.parse_args()
    if given.repeats is not None and given.repeats < 5:
        parser.error("--repeats must be at least 5: fewer runs give no honest spread")
    try:
        given.backend = make_backend(given.device, precision, threads=given.threads)
    except ValueError as error:  # InputError
        parser.error(str(error))
    return given


def interleave(functions: Mapping[str, Callable[[], object]], repeats: int) -> Timings:
    """Seconds per call of each function, ``repeats`` times in turn after a warm-up.

    In turn, because a machine's clock and neighbours drift over seconds: each function sees the same drift. A timing is
    the mean of as many calls as last `TIMED_SECONDS`. Work queued on a GPU is waited for before and after.
    """
    calls = {name: _calls(function) for name, function in functions.items()}
    timings: Timings = {name: [] for name in functions}
    names = list(functions)
    for turn in range(repeats):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:  # no function always follows the same one
            _synchronise()
            start = time.perf_counter()
            for _ in range(calls[name]):
                functions[name]()
            _synchronise()
            timings[name].append((time.perf_counter() - start) / calls[name])
    return timings


def _calls(function: Callable[[], object]) -> int:
    function()
    _synchronise()
    start = time.perf_counter()
    function()
    _synchronise()
    return max(1, math.ceil(TIMED_SECONDS / (time.perf_counter() - start)))


def record(
    case: str, peer: str, backend: Backend, ours: Sequence[float], theirs: Sequence[float], floor: Sequence[float]
) -> dict[str, Any]:
    """One comparison: medians in seconds, their ratios, and the spread of each.

    ``ratio`` is theirs / ours (above 1: ours is faster), ``floor_ratio`` ours / floor. ``spread`` is the interquartile
    range over the median.
    """
    medians = [statistics.median(seconds) for seconds in (ours, theirs, floor)]
    facts = environment(backend)
    return {
        "case": case,
        "ours": medians[0],
        "theirs": medians[1],
        "floor": medians[2],
        "ratio": medians[1] / medians[0],
        "floor_ratio": medians[0] / medians[2],
        "peer": peer,
        "n": len(ours),
        "spread": {"ours": _spread(ours), "theirs": _spread(theirs), "floor": _spread(floor)},
        "hardware": {key: facts[key] for key in ("hardware", "device", "threads", "platform")},
        "versions": {key: facts[key] for key in ("mixlens", "commit", "python", "torch", "torchvision", "numpy")},
    }


def show(records: Sequence[Mapping[str, Any]]) -> None:
    """Print the records as a table, with the hardware above it."""
    if not records:
        print("nothing was measured")
        return
    hardware, versions = records[0]["hardware"], records[0]["versions"]
    print(f"{hardware['hardware']}, {hardware['device']}, {hardware['threads']} threads; ", end="")
    print(", ".join(f"{name} {value}" for name, value in versions.items() if value))
    print("medians; ± interquartile range; ratio = theirs / ours; floor ratio = ours / floor")
    heads = ("case", "peer", "ours", "theirs", "floor", "ratio", "floor ratio", "n")
    lines = [heads]
    for row in records:
        times = (f"{_time(row[name])} ±{row['spread'][name]:.0%}" for name in ("ours", "theirs", "floor"))
        lines.append((row["case"], row["peer"], *times, f"{row['ratio']:.2f}", f"{row['floor_ratio']:.2f}", row["n"]))
    widths = [max(len(str(line[i])) for line in lines) for i in range(len(heads))]
    for line in lines:
        cells = (
            str(cell).ljust(width) if i < 2 else str(cell).rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        print("  ".join(cells).rstrip())


def write(path: Path | None, records: Sequence[Mapping[str, Any]]) -> None:
    """Write the records as JSON, if a file was asked for."""
    if path is None:
        return
    try:
        path.write_text(json.dumps(records, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        sys.exit(f"cannot write {path}: {error.strerror}. The table above holds the same numbers.")
    print(f"{len(records)} records in {path}")


def installed(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _synchronise() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()


def _spread(seconds: Sequence[float]) -> float:
    low, _, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return (high - low) / statistics.median(seconds)


def _time(seconds: float) -> str:
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"
