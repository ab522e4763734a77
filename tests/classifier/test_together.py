"""A training that several processes share is that of one, up to rounding."""

import json
from dataclasses import replace

import pytest
import ranks
import torch
from helpers import checkerboards, tiny_dataset
from safetensors.torch import load_file

from mixlens.analysis.store.runs import HISTORY, MODEL
from mixlens.classifier.config import ClassifierConfig

# Batches of 16, 16 and 11; a rate at which rounding does not grow within the few steps there are.
CONFIG = ClassifierConfig(model="preact-resnet18(width=2)", epochs=2, batch_size=16, learning_rate=0.005, crop=1)
DATA = tiny_dataset(checkerboards(43, 0), checkerboards(20, 1))
CASES = [
    ("baseline", CONFIG, "baseline"),
    *((f"{name}-published", CONFIG, name) for name in ("mixup", "cutmix", "fmix", "fmix+mixup")),
    *((f"{name}-elem", replace(CONFIG, mix_mode="elem"), name) for name in ("mixup", "cutmix", "fmix")),
    ("reformulated", CONFIG, "mixup(reformulate=True,p=0.5)"),
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The folders of the same trainings in one process and in two."""
    alone, together = tmp_path_factory.mktemp("alone"), tmp_path_factory.mktemp("together")
    assert ranks.trainings(alone, CASES, DATA) == {}
    statuses, errors, returned = ranks.ended(together, ranks.start(together, ranks.trainings, together, CASES, DATA))
    assert (statuses, returned) == ([0, 0], [{}, {}]), errors
    return alone, together


def history(folder):
    return [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]


@pytest.mark.parametrize("name", [name for name, *_ in CASES])
def test_two_processes_train_as_one_does(shared, name):
    alone, together = (load_file(folder / MODEL) for folder in (shared[0] / name, shared[1] / f"{name}-0"))
    for key, value in alone.items():
        torch.testing.assert_close(
            together[key], value, rtol=1e-3, atol=1e-4, msg=lambda text, key=key: f"{key} {text}"
        )
    for one, two in zip(history(shared[0] / name), history(shared[1] / f"{name}-0"), strict=True):
        assert one.keys() == two.keys()
        assert [two[key] for key in one if key != "seconds"] == pytest.approx(
            [one[key] for key in one if key != "seconds"], rel=1e-3
        )


@pytest.mark.parametrize("name", [name for name, *_ in CASES])
def test_all_processes_end_with_the_same_weights_to_the_bit(shared, name):
    first, second = (load_file(shared[1] / f"{name}-{rank}" / MODEL) for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
