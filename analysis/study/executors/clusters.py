"""Where worker processes come from: this machine, SLURM, or a Dask scheduler that runs already."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ...errors import InputError, first_line
from ...interface import Machine

if TYPE_CHECKING:
    from distributed import Client

EXTRA = 'pip install "mixlens[cluster]"'
CONNECT_SECONDS = 20.0
RETRIES = 3  # of a task whose worker died


class Workers(NamedTuple):
    client: Client  # of their scheduler
    machine: Machine  # as each of them is to see it
    awaited: Callable[[], str] = lambda: (
        "waiting for workers"
    )  # what is said while there are none; may raise InputError


class Crew:
    """Workers that the studies of one command share: started once a task needs them, ended with the context."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._workers: Workers | None = None

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *error: object) -> None:
        self._workers = None
        self._stack.close()

    def hire(self, machine: Machine, count: int | None) -> Workers:
        """Those that are there, or new ones. Raises InputError as `started`."""
        if self._workers is None:
            self._workers = self._stack.enter_context(started(machine, count))
        return self._workers


def worker_count(machine: Machine) -> int | None:
    """How many processes work on a study here; None: a running scheduler knows. One needs no cluster.

    Raises:
        InputError: what several need is not installed.
    """
    gpus = torch.cuda.device_count() if machine.device in ("auto", "cuda") else 0
    there = find_spec("distributed") is not None
    if machine.cluster is None and machine.workers is None:
        return gpus if there and gpus > 1 and machine.at_once is None else 1
    if machine.cluster is None and machine.workers == 1:
        return 1
    if not there or (machine.cluster == "slurm" and find_spec("dask_jobqueue") is None):
        given = f"--cluster {machine.cluster}" if machine.cluster else f"--workers {machine.workers}"
        raise InputError(f"{given} needs packages that are not installed: {EXTRA}.")
    if machine.cluster == "slurm" and shutil.which("sbatch") is None:
        raise InputError(
            "--cluster slurm needs the command sbatch, which is not here; run it where jobs are submitted."
        )
    return machine.workers


@contextmanager
def started(machine: Machine, count: int | None) -> Iterator[Workers]:
    """The workers; those that were started here end with the context.

    Raises:
        InputError: they cannot be had.
    """
    if machine.cluster is None:
        assert count is not None
        starting = _here(machine, count)
    else:
        starting = _slurm(machine, count or 1) if machine.cluster == "slurm" else _running(machine, machine.cluster)
    with starting as found:
        yield found


@contextmanager
def _here(machine: Machine, count: int) -> Iterator[Workers]:
    import dask
    from distributed import Client, Nanny, Scheduler, SpecCluster

    threads = machine.threads or max(1, cores() // count)
    gpus = torch.cuda.device_count() if machine.device in ("auto", "cuda") else 0
    numeric = {f"{library}_NUM_THREADS": threads for library in ("OMP", "MKL", "OPENBLAS")}
    quiet = {"silence_logs": logging.CRITICAL}
    near = {"host": "127.0.0.1", "dashboard": False}  # nobody else is to reach them
    with (
        TemporaryDirectory(prefix="mixlens-workers-", ignore_cleanup_errors=True) as folder,
        dask.config.set({"distributed.nanny.pre-spawn-environ": numeric}),
        dask.config.set({"distributed.scheduler.allowed-failures": RETRIES}),
    ):
        common = {**near, **quiet, "nthreads": 1, "memory_limit": 0, "local_directory": folder}
        workers = {
            number: {"cls": Nanny, "options": {**common, "env": variables}}
            for number, variables in enumerate(gpu_variables(count, gpus, os.environ.get("CUDA_VISIBLE_DEVICES")))
        }
        scheduler = {"cls": Scheduler, "options": {**near, "port": 0, "dashboard_address": "127.0.0.1:0"}}
        try:
            cluster = SpecCluster(workers, scheduler, **quiet)
        except (RuntimeError, OSError) as error:
            raise InputError(
                f"worker processes do not start ({first_line(error.__cause__ or error)}). Each loads the script that "
                'starts them, which must do its work under `if __name__ == "__main__":`.'
            ) from error
        with cluster, Client(cluster) as client:
            yield Workers(client, _shared(machine, threads))


def _shared(machine: Machine, threads: int) -> Machine:
    """What each worker is told: its share of the cores, for its threads and for what decodes image files."""
    return replace(machine, threads=threads, decoders=machine.decoders or max(1, threads - 1))


def gpu_variables(count: int, gpus: int, visible: str | None) -> list[dict[str, str]]:
    """What each worker's environment has more: the GPUs are dealt out in turn, each worker sees its own alone."""
    names: Sequence[Any] = visible.split(",")[:gpus] if visible else range(gpus)
    return [{"CUDA_VISIBLE_DEVICES": str(names[number % gpus])} if gpus else {} for number in range(count)]


@contextmanager
def _slurm(machine: Machine, count: int) -> Iterator[Workers]:
    import dask
    from dask_jobqueue import SLURMCluster
    from distributed import Client

    def configured(name: str) -> Any:
        return dask.config.get(f"jobqueue.slurm.{name}")

    processes = configured("processes") or 1
    # Of what is said twice the last holds. SLURM keeps a job within its memory; Dask would let workers wait for some.
    ours = ["--nthreads", "1", "--memory-limit", "0"]
    try:
        cluster = SLURMCluster(processes=processes, worker_extra_args=[*configured("worker-extra-args"), *ours])
    except (ValueError, RuntimeError, OSError) as error:
        raise InputError(
            f"SLURM's jobs cannot be described: {first_line(error)} What a job asks for stands in jobqueue.yaml "
            "(docs/how-to/cluster.md has a whole one)."
        ) from error
    threads = machine.threads or max(1, configured("cores") // processes)
    with cluster, Client(cluster) as client:
        tried = subprocess.run(
            ["sbatch", "--test-only", "/dev/stdin"], input=cluster.job_script(), capture_output=True, text=True
        )
        if tried.returncode != 0:  # or workers would be waited for in vain
            raise InputError(f"SLURM would not take a worker's job ({tried.stderr.strip()}); mend jobqueue.yaml.")
        cluster.adapt(minimum=count, maximum=count)  # jobs that end are replaced, once a worker of theirs was there
        yield Workers(client, _shared(machine, threads), partial(_queued, cluster))


def _queued(cluster: Any) -> str:
    """Where the jobs of a cluster without workers are.

    Raises:
        InputError: all have ended.
    """
    jobs = [str(job.job_id) for job in list(cluster.workers.values()) if getattr(job, "job_id", None)]
    if not jobs:
        return "waiting for workers"
    asked = ["squeue", "--noheader", "--format=%i %T %r", f"--jobs={','.join(jobs)}"]
    found = subprocess.run(asked, capture_output=True, text=True)  # it fails where none of them is known any more
    if found.returncode == 0 and (lines := found.stdout.strip().splitlines()):
        states = Counter(line.split(maxsplit=1)[1].strip() for line in lines)
        return f"waiting for workers: {', '.join(f'{count} × {state}' for state, count in states.items())}"
    raise InputError(
        f"SLURM's jobs {', '.join(jobs)} ended before a worker answered. What they said is in the log-directory of "
        "jobqueue.yaml, by default here: dask-worker-JOB.err or slurm-JOB.out."
    )


@contextmanager
def _running(machine: Machine, address: str) -> Iterator[Workers]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_SECONDS)
    except (OSError, ValueError) as error:  # its timeouts among them
        raise InputError(
            f"no Dask scheduler answers at {address} ({first_line(error)}). Start one with `dask scheduler`, its "
            f"workers with `dask worker {address} --nthreads 1`, and give its address."
        ) from error
    with client:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        if crowded := [worker["id"] for worker in workers if worker["nthreads"] > 1]:
            raise InputError(
                f"the worker {crowded[0]} of {address} takes several tasks at once, which one process cannot; start "
                "workers with --nthreads 1, as many as there are to be."
            )
        if not workers:
            raise InputError(f"{address} has no workers; start some with `dask worker {address} --nthreads 1`.")
        try:
            fewest = min(client.run(cores).values())
        except Exception as error:  # whatever keeps them from loading this package
            raise InputError(
                f"the workers of {address} cannot load this mixlens ({first_line(error)}); install the same there."
            ) from error
        beside = max(Counter(worker["host"] for worker in workers).values())
        yield Workers(client, _shared(machine, machine.threads or max(1, fewest // beside)))


def cores() -> int:
    """That this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
