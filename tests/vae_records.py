"""Finished VAE studies with made-up rows, for tests of what is written about them."""

from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest

from mixlens.analysis.interface import Row
from mixlens.analysis.store.record import TaskRecord, read_record, write_record
from mixlens.analysis.store.results import read_rows, write_rows
from mixlens.analysis.store.runs import ENVIRONMENT, Run

RATES = {  # (augmentation, pair) → rate of each seed
    ("baseline", "self"): [70.0, 71.0, 72.0],
    ("baseline", "independent"): [70.5, 71.5, 72.5],
    ("mixup", "independent"): [60.5, 61.4, 62.6],
    ("fmix", "independent"): [70.0, 73.0, 71.0],
}

INFORMATION = {
    "latents_upper": 0.95,
    "rate_gaussian": 0.9,
    "rate_mixture": 0.8,
    "infonce": 0.1,
    "leave_one_out": 4.0,
    "marginal_gap_lower": 0.05,
}


@pytest.fixture
def rates():
    """(augmentation, pair) → rate of each seed of the study ``record``."""
    return RATES


@pytest.fixture
def record(make_record, tmp_path):
    return make_record(tmp_path, RATES)


@pytest.fixture(scope="session")
def make_record():
    """Makes a finished study in a folder from rates."""
    return _make_record


@pytest.fixture(scope="session")
def with_information():
    """The record as after a measurement of today: bounds in every pair, and the estimators' oracle."""
    return _with_information


def _make_record(folder, values, name="a study", *, mark=""):
    """A finished study with made-up rows: three quantities, a training history and pictures for every pair.

    ``mark`` stands in its runs' names, where studies that stand side by side are to have runs of their own.
    """
    runs, tasks = folder / "runs", []
    rng = np.random.default_rng(0)
    noise = rng.standard_normal(1000)  # over images, shared by all networks

    def run(task_name, kind, inputs=(), rows=()):
        made = Run(runs / task_name)
        made.path.mkdir(parents=True)
        made.write_json(ENVIRONMENT, {"torch": "2.0", "commit": None, "device": "cpu"})
        write_rows(made, list(rows), 12.0)
        tasks.append(TaskRecord(task_name, kind, "vae", task_name, tuple(inputs), "done"))
        return made

    for (augmentation, pair), by_seed in values.items():
        for seed, value in enumerate(by_seed):
            folder_name = quote(augmentation, safe="")[:60]
            trained = f"train-{mark}{folder_name}-{pair}-{seed}"
            history = [
                {"epoch": e, "train_loss": 9.0 - e, "test_rate": 50.0 + e, "test_mse": 0.5 / e, "seconds": 1.0}
                for e in (1, 2)
            ]
            run(trained, "vae-train").write_history(history)
            measured = f"measure-{mark}{folder_name}-{pair}-{seed}"
            facts = (measured, "other", "vae", "cifar10", "test", augmentation, "vae", seed)
            row = Row(*facts, "rate", value, "nats", 1000, {"pair": pair}, 0.1, bound="upper")
            rows = [
                row,
                replace(row, quantity="rate_reconstruction", value=value - 3),
                replace(row, quantity="mse", value=value / 200),
            ]
            pictures = rng.integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
            run(measured, "vae-measure", (trained, trained), rows).write_arrays(
                {"images": pictures, "reconstructions": pictures}
                | {each.quantity: (each.value + noise).astype(np.float32) for each in rows}
            )
    study = folder / "study"
    settings = {
        "data": "cifar10",
        "seeds": [0, 1, 2],
        "augmentations": ["baseline", "mixup", "fmix"],
        "sections": ["vae"],
        "train_size": None,
    }
    write_record(
        study, name=name, command="mixlens run <x>", settings=settings, started="2026-01-01", runs=runs, tasks=tasks
    )
    return read_record(study)


def _with_information(record):
    for task in record.tasks:
        run = record.run(task.name)
        rows = read_rows(run)
        if task.kind == "vae-measure":
            first = rows[0]
            for quantity, share in INFORMATION.items():
                full = quantity in ("infonce", "leave_one_out")
                rows.append(
                    replace(
                        first,
                        quantity=quantity,
                        value=first.value * share,
                        saturated=full,
                        ceiling=9.21 if quantity == "infonce" else None,
                    )
                )
            arrays = run.read_arrays()
            terms = {name: INFORMATION[name] * arrays["rate"] for name in ("rate_gaussian", "rate_mixture")}
            run.write_arrays({**arrays, **terms})
            write_rows(run, rows, 12.0)
    made = Run(record.runs / "vae-oracle-0")
    made.path.mkdir()
    made.write_json(ENVIRONMENT, {"torch": "2.0", "commit": None, "device": "cpu"})
    base = Row("vae-oracle-0", "other", "vae", "", "", "", "", None, quantity="", value=0, unit="nats", n=500)
    rows = [
        replace(
            base,
            quantity=quantity,
            value=value,
            bound=bound,
            saturated=value > 50,
            stderr=None if value > 50 else 0.1,
            params={"estimator": name, "information": nats, "dimensions": 4, "truth": truth},
        )
        for quantity in ("I(Z_A;X)", "I(Z_A;Z_X)", "I(Z_A;X̂) paired", "I(Z′_A;X̂) re-encoded")
        for nats, truth in ((1, 1.0), (40, 40.0))
        for name, bound, value in (("rate", "upper", 1.1 * truth), ("leave-one-out", "upper", 2 * truth))
    ]
    write_rows(made, rows, 3.0)
    return replace(record, tasks=(*record.tasks, TaskRecord("vae-oracle-0", "vae-oracle", "vae", "oracle", (), "done")))
