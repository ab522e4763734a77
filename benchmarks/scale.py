"""Many tasks, many workers, a large store: what the machinery around the work costs.

    python benchmarks/scale.py --quick

Tasks: 16 equal ones by two worker processes (ours), by the plain loop (theirs) and by nobody's overhead, the plain
loop's time halved (floor): the efficiency is 1 / floor ratio. Once they compute, which takes two free cores, and once
they only wait, which shows the overhead on a machine that is busy as well.

Plans: tasks that do nothing, by the plain loop, by 256 taking turns in it, and by 256 workers of dask.distributed in
two other processes: milliseconds a task, and of this process those of the processor, those in which the disk is waited
for (fsync, five times a run), and memory; they grow as the plan does and not faster. Dask's own: the same number of
calls of a function that does nothing, sent and awaited alike. The disk is that of the temporary files:
``TMPDIR=/dev/shm`` measures without one.

Store: what `--dry-run` looks up, and what a report of its study reads, in a store of many runs.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
from harness import arguments, interleave, record, show, write

from mixlens.analysis.interface import Estimate, Machine, Measurement, Network, Study, Task
from mixlens.analysis.store.record import read_record, write_record
from mixlens.analysis.store.results import write_rows
from mixlens.analysis.store.runs import CONFIG, Run, Store
from mixlens.analysis.study.executors import local
from mixlens.analysis.study.executors.clusters import Workers, started
from mixlens.analysis.study.executors.local import Outcome, task_records
from mixlens.analysis.study.forecast import forecast
from mixlens.analysis.study.worker import Context, make_context
from mixlens.analysis.training.progress import Reporter

STUDY = Study(name="scale", data="scale:data")
QUIET = Machine(device="cpu", threads=1, quiet=True)


@dataclass(frozen=True)
class Settings:
    number: int
    seconds: float = 0.0  # of waiting
    rounds: int = 0  # of computing


def data() -> dict[str, Any]:
    images, labels = np.zeros((8, 1, 4, 4), np.uint8), np.arange(8) % 2
    about = {"classes": ("a", "b"), "mean": (0.5,), "std": (0.5,)}
    return about | {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels}


def work(config: Settings, run: Run, inputs: object, context: Context) -> list[Measurement]:
    time.sleep(config.seconds)
    matrix = np.eye(256)
    for _ in range(config.rounds):
        matrix = matrix @ matrix
    return [Measurement("number", Estimate(float(config.number), None, 1, "none"))]


def turns(config: Settings, run: Run, inputs: object, context: Context) -> Iterator[None]:
    yield
    return work(config, run, inputs, context)  # type: ignore[return-value]


def task(kind: str, settings: Settings, what: str = "work") -> Task:
    return Task(kind, 1, f"scale:{what}", settings, "vae", f"{kind} {settings.number}", network=Network("baseline", 0))


def main() -> None:
    given = arguments(__doc__.splitlines()[0], tasks=0, runs=0)
    if find_spec("distributed") is None:
        sys.exit('benchmarks/scale.py needs pip install "mixlens[cluster]"')
    records = efficiency(given)
    show(records)
    for row in records:
        print(f"{row['case']}: efficiency {row['efficiency']:.2f}")
    facts = {key: records[0][key] for key in ("hardware", "versions")}
    more = plans(given.tasks or (200 if given.quick else 10_000), 32 if given.quick else 256)
    more.append(stored(given.runs or (1_000 if given.quick else 100_000)))
    write(given.json, [*records, *(row | facts for row in more)])


def efficiency(given: Any) -> list[dict[str, Any]]:
    """16 equal tasks by one process and by two."""
    records, context = [], make_context(STUDY, QUIET, Reporter(quiet=True))
    wait = 0.1 if given.quick else 0.5
    rounds = round(wait / _seconds(lambda: work(Settings(0, rounds=100), None, None, None)) * 100)  # type: ignore[arg-type]
    with tempfile.TemporaryDirectory() as folder, started(QUIET, 2) as two:
        for case, settings in (("compute", {"rounds": rounds}), ("wait", {"seconds": wait})):
            tasks = [task(case, Settings(number, **settings)) for number in range(16)]

            def plain(tasks: list[Task] = tasks) -> None:
                local.execute(tasks, _fresh(folder), context)

            def several(tasks: list[Task] = tasks) -> None:
                by_dask(tasks, _fresh(folder), two)

            timings = interleave({"ours": several, "theirs": plain}, given.repeats or 5)
            floor = [seconds / 2 for seconds in timings["theirs"]]
            row = record(f"16 tasks that {case}", "plain loop", given.backend, **timings, floor=floor)
            records.append(row | {"efficiency": row["floor"] / row["ours"]})
    return records


def plans(most: int, width: int) -> list[dict[str, Any]]:
    """Plans of two sizes of tasks that do nothing; each executor by itself, so that memory is its own."""
    from distributed import Client, LocalCluster

    records = []
    context = make_context(STUDY, QUIET, Reporter(quiet=True))
    print(f"\n{'tasks that do nothing':24}{'tasks':>8}{'ms a task':>11}{'of CPU':>8}{'of fsync':>10}{'more MB':>9}")

    def measured(case: str, execute: Callable[[list[Task], Store], object], what: str) -> None:
        for count in (most // 4, most):
            with tempfile.TemporaryDirectory() as folder, _synced() as syncs:
                tasks = [task("none", Settings(number), what) for number in range(count)]
                before, cpu = _megabytes(), time.process_time()
                seconds = _seconds(lambda tasks=tasks, folder=folder: execute(tasks, Store(Path(folder))))
                grown, cpu = _megabytes() - before, time.process_time() - cpu
            row = {"per_task": seconds / count, "cpu": cpu / count, "fsync": sum(syncs) / count}
            records.append({"case": case, "tasks": count, **row, "MB": grown})
            each, computing, synced = (1e3 * part for part in row.values())
            print(f"{case:24}{count:8,}{each:11.2f}{computing:8.2f}{synced:10.2f}{grown:9.1f}", flush=True)

    measured("plain loop", lambda tasks, store: local.execute(tasks, store, context), "work")
    measured(f"{width} in turns", lambda tasks, store: local.execute(tasks, store, context, at_once=width), "turns")
    with (
        LocalCluster(n_workers=0, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
        _workers(cluster.scheduler_address, width),
    ):
        client.wait_for_workers(width)
        several = f"dask, {width} workers"
        measured(several, lambda tasks, store: by_dask(tasks, store, Workers(client, QUIET)), "work")
        measured(f"{several}, its own", lambda tasks, store: _bare(client, len(tasks), width), "work")
    return records


@contextmanager
def _workers(scheduler: str, count: int) -> Iterator[None]:
    """So many workers, half of them in each of two processes, until the end."""
    halves = [get_context("spawn").Process(target=_half, args=(scheduler, count // 2), daemon=True) for _ in range(2)]
    for half in halves:
        half.start()
    try:
        yield
    finally:
        for half in halves:
            half.terminate()
            half.join()


def _half(scheduler: str, count: int) -> None:
    import dask
    from distributed import Worker

    async def serve() -> None:
        workers = [await Worker(scheduler, nthreads=1, memory_limit=0, dashboard=False) for _ in range(count)]
        await asyncio.gather(*(worker.finished() for worker in workers))

    # What each worker watches in its own process, many would watch in one.
    alone = {"distributed.worker.profile.enabled": False}
    alone |= {f"distributed.admin.{what}.interval": "1h" for what in ("system-monitor", "tick")}
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with dask.config.set(alone):
        asyncio.run(serve())


def _bare(client: Any, count: int, width: int) -> None:
    """So many calls of a function that does nothing, ``width`` at a time."""
    landed: SimpleQueue[Any] = SimpleQueue()
    for number in range(count):
        if number >= width:
            landed.get().result()
        client.submit(_nothing, number, key=f"bare-{number}-{count}", pure=False).add_done_callback(landed.put)
    for _ in range(min(count, width)):
        landed.get().result()


def _nothing(number: int) -> None:
    pass


def stored(count: int) -> dict[str, Any]:
    """A plan and a report in a store of so many runs, of which the plan and the report have a hundredth."""
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name) / "runs")
        tasks = [task("stored", Settings(number)) for number in range(count)]
        seconds_made = _seconds(lambda: [_make(each, store) for each in tasks])
        part = tasks[:: count // min(count, 1000)]
        folder = Path(name) / "scale"
        outcome = Outcome()
        write_record(
            folder,
            name="scale",
            command="",
            settings=STUDY.describe(),
            started="",
            runs=store.root,
            tasks=task_records(part, store, outcome),
            train_images=8,
        )
        planned = _seconds(lambda: forecast(part, store))
        read = _seconds(lambda: read_record(folder).rows())
        print(
            f"\nstore of {count:,} runs (made in {seconds_made:.0f} s): --dry-run of {len(part):,} tasks looks them up "
            f"in {planned:.2f} s, a report reads their rows in {read:.2f} s"
        )
        return {"case": "store", "runs": count, "tasks": len(part), "forecast": planned, "rows": read}


def _make(each: Task, store: Store) -> None:
    """A whole run, as a worker leaves one, without the leases and the syncs that say it is there."""
    run = Run(store.root / each.name)
    run.path.mkdir()
    run.write_json(CONFIG, each.settings)
    write_rows(run, [], 1.0)


def by_dask(tasks: list[Task], store: Store, workers: Workers) -> Outcome:
    from mixlens.analysis.study.executors import dask

    return dask.execute(tasks, store, STUDY, lambda: workers, Reporter(quiet=True))


def _fresh(folder: str) -> Store:
    return Store(Path(tempfile.mkdtemp(dir=folder)))


@contextmanager
def _synced() -> Iterator[list[float]]:
    """How long each fsync meanwhile took, in seconds."""
    fsync, taken = os.fsync, []

    def timed(handle: int) -> None:
        taken.append(_seconds(lambda: fsync(handle)))

    os.fsync = timed  # type: ignore[assignment]
    try:
        yield taken
    finally:
        os.fsync = fsync


def _seconds(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def _megabytes() -> float:
    """The most memory that this process has had."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
