from dataclasses import dataclass, replace

import jobs
import pytest
import torch

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.schema import setting
from mixlens.analysis.study.plan import in_order, plan
from mixlens.analysis.study.study import read_study
from mixlens.analysis.training.backend import make_backend
from mixlens.vae.config import SECTION, VAEConfig


@pytest.fixture(scope="module")
def dataset():
    source = torch.Generator().manual_seed(0)

    def split(count):
        images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=source)
        return Split(images, torch.arange(count) % 2)

    return Dataset("tiny", split(128), split(4), ("a", "b"), (0.5,) * 3, (0.25,) * 3)


def tasks_of(dataset, *, backend=None, section=SECTION, **values):
    base = {"augmentations": ["fmix"], "seeds": [0], "vae": {"precision": "fp32", "oracle_samples": 0}}
    vae = {**base["vae"], **values.pop("vae", {})}
    sections = {"vae": section}
    study = read_study(None, sections, {**base, **values, "vae": vae})
    tasks = plan(study, sections, dataset, backend or make_backend("cpu", "fp32"))
    return [task for task in tasks if task.kind != "vae-linear"]  # which depends on data and latents alone


def names(dataset, **values):
    return [task.name for task in tasks_of(dataset, **values)]


def test_a_config_holds_what_matters_and_no_default(dataset):
    reference, trained, measured = tasks_of(dataset)
    own = {"seed": 0, "data": dataset.checksum, "precision": "fp32"}
    assert reference.settings == {
        "kind": "vae-train",
        "version": 1,
        "config": {**own, "replicate": 0},
        "inputs": [],
    }
    assert trained.settings["config"] == {**own, "replicate": 1, "augmentation": {"use": "fmix"}}
    assert measured.settings == {
        "kind": "vae-measure",
        "version": 8,
        "config": {"seed": 0, "data": dataset.checksum},
        "inputs": [reference.name, trained.name],
    }
    assert reference.name.startswith("vae-train-")
    assert len(reference.name) == len("vae-train-") + 16


@pytest.mark.parametrize(
    "values",
    [
        {"name": "other"},
        {"vae": {"epochs": 100}},
        {"vae": {"learning_rate": "3e-3", "milestones": [0.4, 0.8], "flip": True}},
        {"vae": {"mix_mode": "published"}},
        {"augmentations": ["fmix(alpha=1.0)"]},
        {"augmentations": ["fmix(decay_power=3, alpha=1)"]},
        {"augmentations": [" fmix "]},
        {"backend": make_backend("cpu", "bf16", compile=True, deterministic=True)},  # precision is the config's
    ],
    ids=str,
)
def test_what_does_not_matter_renames_nothing(dataset, values):
    assert names(dataset, **values) == names(dataset)


@pytest.mark.parametrize(
    "values",
    [
        {"vae": {"epochs": 99}},
        {"vae": {"learning_rate": 1e-3}},
        {"vae": {"milestones": [0.4]}},
        {"vae": {"flip": False}},
        {"vae": {"latents": 8}},
        {"vae": {"precision": "bf16"}},
        {"seeds": [1]},
    ],
    ids=str,
)
def test_what_matters_renames_everything(dataset, values):
    assert not set(names(dataset, **values)) & set(names(dataset))


@pytest.mark.parametrize(
    "values",
    [{"augmentations": ["fmix(alpha=0.5)"]}, {"augmentations": ["fmix-official"]}, {"vae": {"mix_mode": "elem"}}],
    ids=str,
)
def test_what_matters_to_mixing_keeps_the_reference(dataset, values):
    before, after = names(dataset), names(dataset, **values)
    assert before[0] == after[0]
    assert not set(before[1:]) & set(after[1:])


def test_measuring_differently_trains_nothing_anew(dataset):
    before, after = names(dataset), names(dataset, vae={"reconstruction_noise": 0.1})
    assert before[:2] == after[:2]
    assert before[2] != after[2]


def test_other_data_are_other_runs(dataset):
    changed = Dataset(dataset.name, dataset.train, dataset.test, ("a", "b"), (0.5,) * 3, (0.2,) * 3)
    renamed = Dataset("renamed", dataset.train, dataset.test, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    assert not set(names(changed)) & set(names(dataset))
    assert names(renamed) == names(dataset)


def test_a_setting_that_is_added_renames_nothing(dataset):
    @dataclass(frozen=True)
    class Later(VAEConfig):
        added: int = setting(7, "New.")

    assert names(dataset, section=replace(SECTION, config=Later)) == names(dataset)


def test_neither_device_nor_paths_nor_threads_are_in_a_config(dataset):
    texts = [str(task.settings) for task in tasks_of(dataset)]
    assert not any(word in text for text in texts for word in ("cpu", "cuda", "thread", "/", "device", "workers"))


# in_order


def test_inputs_come_first_and_everything_once():
    root = jobs.task("root")
    left, right = jobs.task("left", root), jobs.task("right", root)
    top = jobs.task("top", left, right)
    assert [t.kind for t in in_order([top, right, jobs.task("root"), top])] == ["root", "left", "right", "top"]
    assert [t.kind for t in in_order([right, top])] == ["root", "right", "left", "top"]
    assert in_order([]) == []


def test_a_tasks_name_depends_on_all_it_builds_on():
    assert jobs.task("a", jobs.task("b")).name == jobs.task("a", jobs.task("b")).name
    assert jobs.task("a", jobs.task("b")).name != jobs.task("a", jobs.task("c")).name
    assert jobs.task("a", jobs.task("b", jobs.task("c"))).name != jobs.task("a", jobs.task("b")).name
