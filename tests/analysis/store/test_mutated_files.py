"""Five hundred mutated files of each kind that is read from outside: what they hold, or one message; nothing runs."""

import random

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from mixlens.analysis.errors import InputError
from mixlens.analysis.information.files import read_arrays
from mixlens.analysis.store.runs import Run
from mixlens.analysis.training.checkpoint import Checkpoints, load_checkpoint, load_weights, save_weights
from mixlens.calibration.votes import _of_file

NUMBERS = np.random.default_rng(0).normal(size=(12, 2))


def network(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))


def write_checkpoint(path):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 4)).sum().backward()
    optimizer.step()
    writer = Checkpoints(path)
    writer.save(model=model, optimizer=optimizer, generators={"data": torch.Generator()}, history=[{"epoch": 1}])
    writer.wait()


def resume(path):
    model = network(1)
    optimizer = torch.optim.Adam(model.parameters())
    load_checkpoint(path, model=model, optimizer=optimizer, generators={"data": torch.Generator()})


def finite_weights(path):
    model = network(1)
    load_weights(path, model)
    assert all(value.isfinite().all() for value in model.state_dict().values())


TRIED = 150  # of each kind
KINDS = {
    "w.safetensors": (lambda path: save_file(network().state_dict(), path), finite_weights),
    "w.pt": (lambda path: torch.save(network().state_dict(), path), finite_weights),
    "old.pt": (
        lambda path: torch.save(network().state_dict(), path, _use_new_zipfile_serialization=False),
        finite_weights,
    ),
    "ours.safetensors": (lambda path: save_weights(path, network()), finite_weights),
    "checkpoint.safetensors": (write_checkpoint, resume),
    "a.npz": (lambda path: np.savez(path, mu=NUMBERS, log_sigma=NUMBERS), read_arrays),
    "packed.npz": (lambda path: np.savez_compressed(path, mu=NUMBERS, log_sigma=NUMBERS), read_arrays),
    "votes.npy": (lambda path: np.save(path, NUMBERS), lambda path: _of_file(path, "calibration.counts")),
}


def mutated(content, draw):
    """Bytes changed, put in, taken out, or all after one cut off; half of the time within the header."""
    changed = bytearray(content)
    for _ in range(draw.randint(1, 3)):
        at = draw.randrange(len(changed) if draw.random() < 0.5 else min(len(changed), 200))
        match draw.randrange(5):
            case 0:
                changed[at] = draw.randrange(256)
            case 1:
                changed[at] ^= 1 << draw.randrange(8)
            case 2 if at:
                del changed[at:]
            case 3:
                changed[at:at] = draw.randbytes(draw.randint(1, 9))
            case _:
                changed[at:] = changed[at + draw.randint(1, 9) :] or b"\0"
    return bytes(changed)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_mutated_files_are_read_or_refused(name, tmp_path):
    write, read = KINDS[name]
    path, draw, ends = tmp_path / name, random.Random(0), {"read": 0, "refused": 0}
    messages = []
    write(path)
    read(path)
    content = path.read_bytes()
    for _ in range(TRIED):
        path.write_bytes(mutated(content, draw))
        try:
            read(path)
            ends["read"] += 1
        except InputError as error:
            ends["refused"] += 1
            messages.append(str(error))
    assert ends["refused"] > 0.4 * TRIED, ends
    assert max(map(len, messages)) < 1000
    assert not any("\n" in message for message in messages)
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.filterwarnings("ignore")
def test_mutated_arrays_of_a_whole_run_are_never_taken(tmp_path):
    """Its checksum is kept, so that only the very same numbers are read."""
    run = Run(tmp_path)
    run.write_arrays({"mu": NUMBERS})
    run.write_result({"rows": [], "seconds": 1.0})
    content, draw = (tmp_path / "arrays.npz").read_bytes(), random.Random(0)
    for _ in range(TRIED):
        changed = mutated(content, draw)
        (tmp_path / "arrays.npz").write_bytes(changed)
        if changed != content:
            with pytest.raises(InputError, match=r"arrays\.npz is damaged or not ours \(its checksum is another\)"):
                Run(tmp_path).read_arrays("mu")
