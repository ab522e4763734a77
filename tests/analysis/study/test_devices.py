"""A study on a GPU: alone and beside others, killed and gone on with, twice the same; what it leaves in memory."""

import pytest
import torch
from safetensors.torch import load_file

from mixlens import Machine, Study, conduct
from mixlens.analysis.store.record import read_record
from mixlens.analysis.store.runs import HISTORY, MODEL
from mixlens.classifier.config import ClassifierConfig

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]

VAE = {"epochs": 2, "latents": 8, "batch_size": 32, "critic_steps": 20, "oracle_samples": 0}
STUDY = Study(
    name="small",
    data="photos",
    train_size=200,  # six full batches and a short one
    augmentations=["baseline", "fmix", "fmix+mixup"],
    seeds=[0],
    sections=["vae", "classifier"],
    settings={
        "vae": VAE,
        "classifier": ClassifierConfig(model="preact-resnet18(width=8)", epochs=2, batch_size=32, precision="fp32"),
    },
)


def weights(folder):
    return {run.name: load_file(run / MODEL) for run in sorted((folder / "runs").glob("*-train-*"))}


def made(folder, at_once):
    conduct(STUDY, Machine(out=folder, quiet=True, device="cuda", at_once=at_once, deterministic=True))
    assert all(task.state == "done" for task in read_record(folder / "small").tasks)
    return weights(folder)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return made(tmp_path_factory.mktemp("alone"), 1)


def assert_same_bits(first, second):
    assert first.keys() == second.keys()
    for name, state in first.items():
        assert all(torch.equal(value, second[name][key]) for key, value in state.items()), name


@pytest.mark.parametrize("at_once", [1, 3, 8])
def test_deterministic_trainings_are_the_same_bit_for_bit_however_many_take_turns(alone, at_once, tmp_path):
    assert_same_bits(made(tmp_path, at_once), alone)


def test_killed_trainings_go_on_to_the_same_weights(alone, tmp_path, killed_after):
    with killed_after(40):
        made(tmp_path, 4)
    assert len(list((tmp_path / "runs").glob(f"*.partial/{HISTORY}"))) > 1
    found = made(tmp_path, 4)
    for name, state in alone.items():  # a graph is captured anew after warm steps, which may round otherwise
        for key, value in state.items():
            assert torch.allclose(found[name][key].float(), value.float(), rtol=1e-3, atol=1e-4), (name, key)


def test_memory_is_given_back(tmp_path):
    conduct(STUDY, Machine(out=tmp_path / "first", quiet=True, device="cuda", at_once=4))
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    conduct(STUDY, Machine(out=tmp_path / "second", quiet=True, device="cuda", at_once=4))
    torch.cuda.synchronize()
    assert torch.cuda.memory_allocated() - before < 2e6
