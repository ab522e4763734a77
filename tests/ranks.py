"""Processes that share trainings, as torchrun starts them, but from a server that has imported everything once."""

import os
import pickle
import socket
import sys
from multiprocessing import get_context
from pathlib import Path

from torch import nn

SERVER = get_context("forkserver")
SERVER.set_forkserver_preload(["mixlens.cli.main", "mixlens.classifier.run", "mixlens.analysis.study.conduct"])
SECONDS = 60  # that any of it may take


def start(folder, job, *arguments, world=2):
    """The processes, in which ``job(*arguments)`` runs; what they print and return is left in the folder."""
    folder.mkdir(exist_ok=True)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    processes = [
        SERVER.Process(target=_enter, args=(folder, rank, world, port, job, arguments)) for rank in range(world)
    ]
    for process in processes:
        process.start()
    return processes


def ended(folder, processes):
    """Wait for them: exit statuses, what each wrote to standard error, and what each returned."""
    for process in processes:
        process.join(SECONDS)
        if process.exitcode is None:
            for hanging in processes:
                hanging.kill()
            raise AssertionError("it hangs")
    errors = [(folder / f"{rank}.err").read_text() for rank in range(len(processes))]
    values = [folder / f"{rank}.pickle" for rank in range(len(processes))]
    returned = [pickle.loads(path.read_bytes()) if path.exists() else None for path in values]
    return [process.exitcode for process in processes], errors, returned


def _enter(folder, rank, world, port, job, arguments):
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in names.items()} | {"OMP_NUM_THREADS": "1"}
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    sys.stdout, sys.stderr = (os.fdopen(number, "w", buffering=1) for number in (1, 2))
    sys.__stderr__ = sys.stderr
    import torch

    from mixlens.analysis.training import ranks

    torch.set_num_threads(1)
    ranks.PATIENCE = 1.0
    value = job(*arguments)
    (folder / f"{rank}.pickle").write_bytes(pickle.dumps(value))
    sys.exit(value if isinstance(value, int) else 0)


# Networks


def smooth(num_classes):
    """Small, with a batch norm, and no kinks in which rounding grows."""
    return nn.Sequential(nn.LazyConv2d(4, 3, 2), nn.BatchNorm2d(4), nn.Tanh(), nn.Flatten(), nn.LazyLinear(num_classes))


def apart(num_classes):
    """One that each process makes otherwise, with dropout."""
    network = nn.Sequential(smooth(num_classes), nn.Dropout(0.2))
    nn.init.constant_(network[0][1].weight, 1 + float(os.environ["RANK"]))
    return network


# Jobs


def trainings(folder, cases, dataset):
    """Train each case (name, config, augmentation); the first process's runs are in the folder. How they failed."""
    from dataclasses import replace

    from mixlens.analysis.masks.policies import parse_policy
    from mixlens.analysis.store.runs import Run
    from mixlens.analysis.training.backend import make_backend
    from mixlens.analysis.training.progress import Reporter
    from mixlens.analysis.training.ranks import join
    from mixlens.analysis.training.turns import whole
    from mixlens.classifier.train import train_classifier

    ranks = join()
    backend = replace(make_backend("cpu", "fp32"), ranks=ranks)
    failed = {}
    for name, config, augmentation in cases:
        path = Path(folder) / (f"{name}-{ranks.rank}" if ranks else name)
        path.mkdir()
        work = train_classifier(
            config, dataset, parse_policy(augmentation), 0, run=Run(path), backend=backend,
            reporter=Reporter(quiet=True), label=name,
        )  # fmt: skip
        try:
            whole(ranks.together(work) if ranks else work)
        except Exception as error:
            failed[name] = str(error)
    if ranks:  # the first process holds what they speak through until all are done
        ranks.next_training(Path(folder) / "none") if ranks.rank else ranks.end()
    return failed


def command(arguments, folder):
    """The command line in this folder, without its reports."""
    from mixlens.cli import main, studies

    studies.write_reports = lambda *arguments, **options: None
    os.chdir(folder)
    return main.main(arguments)
