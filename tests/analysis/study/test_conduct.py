"""A study from Python: what a notebook does, what it leaves, what it refuses."""

from dataclasses import replace

import pandas as pd
import pytest
from safetensors.torch import load_file

from mixlens import Machine, Study, conduct
from mixlens.analysis.errors import InputError
from mixlens.analysis.store.parts import read_records
from mixlens.analysis.store.record import read_record
from mixlens.analysis.store.runs import HISTORY, MODEL, Run
from mixlens.analysis.study.conduct import prepare
from mixlens.classifier.config import ClassifierConfig
from mixlens.vae.config import VAEConfig

SMALL = ClassifierConfig(model="preact-resnet18(width=2)", epochs=1, batch_size=32)


def small(**values):
    base = {"name": "small", "data": "photos", "train_size": 64, "augmentations": ["baseline", "mixup"], "seeds": [0]}
    return Study(**{**base, "sections": ["classifier"], "settings": {"classifier": SMALL}, **values})


@pytest.fixture
def machine(tmp_path):
    return Machine(out=tmp_path, quiet=True, threads=1)


def test_a_study_gives_its_rows_as_a_table_and_goes_on_where_it_stopped(machine, tmp_path, monkeypatch):
    record = conduct(small(), machine)
    rows = record.table("classifier")
    assert isinstance(rows, pd.DataFrame)
    assert set(rows["quantity"]) == {"accuracy", "nll"}
    assert set(rows["augmentation"]) == {"baseline", "mixup"}
    assert set(rows["study"]) == {"small"}
    assert record.rows() == read_record(tmp_path / "small").rows()
    monkeypatch.setattr("mixlens.classifier.run.train_classifier", None)  # nothing is trained again
    assert conduct(small(), machine).rows() == record.rows()


def test_several_values_of_a_setting_stand_in_one_record(machine, tmp_path):
    record = conduct(small(sections=["gallery"], settings={}, train_size=[64, 48]), machine)
    assert (record.name, record.study) == ("small", "small (train_size=48)")
    assert [part.name for part in record.parts] == ["small (train_size=48)", "small (train_size=64)"]
    assert [part.train_images for part in record.parts] == [48, 64]
    assert [each.name for each in read_records(tmp_path / "small")] == [part.name for part in record.parts]
    alone = conduct(small(sections=["gallery"], settings={}, train_size=48, name="alone"), machine)
    assert [task.name for task in alone.tasks] == [task.name for task in record.parts[0].tasks]


def test_what_is_wrong_with_any_point_is_known_before_the_first_has_run(machine, tmp_path):
    with pytest.raises(InputError, match="10000000"):
        conduct(small(sections=["gallery"], settings={}, train_size=[64, 10000000]), machine)
    assert not list(tmp_path.glob("runs/*-*"))


def test_an_interrupted_study_has_its_record(machine, tmp_path, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("mixlens.classifier.run.train_classifier", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(small(), machine).run("mixlens run small.yaml")
    record = read_record(tmp_path / "small")
    assert record.command == "mixlens run small.yaml"
    states = {(task.section, task.state) for task in record.tasks}
    assert states == {("gallery", "done"), ("classifier", "pending")}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sections": ["robustnes"]}, "unknown section 'robustnes'. Did you mean 'robustness'"),
        ({"augmentations": ["mixpu"]}, "Did you mean 'mixup'"),
        ({"data": "phtoos"}, "Did you mean 'photos'"),
        ({"settings": {"classifer": {}}}, "unknown setting in the study: 'classifer'. Did you mean 'classifier'"),
        ({"settings": {"classifier": {"epoch": 1}}}, "unknown setting in classifier: 'epoch'"),
    ],
)
def test_what_cannot_be_run_is_named_and_leaves_nothing(values, words, machine, tmp_path):
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        conduct(small(**values), machine)
    assert not list(tmp_path.glob("runs/*-*"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": 3}, "a study's name must be text, got 3"),
        ({"seeds": ("a",)}, "seeds must be different whole numbers"),
        ({"seeds": ([0],)}, "seeds must be different whole numbers"),
        ({"seeds": (True,)}, "seeds must be different whole numbers"),
        ({"augmentations": (1,)}, "augmentations must be texts"),
        ({"settings": None}, "settings must map sections to their settings"),
        ({"settings": {"vae": 3}}, "settings must map sections to their settings"),
    ],
)
def test_a_study_that_cannot_be_is_named_when_it_is_made(values, words):
    with pytest.raises(InputError, match=words):
        small(**values)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"threads": 2.5}, "Machine.threads must be a whole number"),
        ({"device": 0}, "Machine.device must be text"),
        ({"out": None}, "Machine.out must be a path"),
        ({"data_root": 3}, "Machine.data_root must be a path"),
    ],
)
def test_a_machine_that_cannot_be_is_named(values, words):
    with pytest.raises(InputError, match=words):
        prepare(small(), Machine(**values))


@pytest.mark.parametrize(("study", "machine"), [("demo", None), ({"name": "x"}, None), (small(), {"threads": 1})])
def test_what_is_no_study_or_machine_is_named(study, machine):
    with pytest.raises(InputError, match=r"expected a mixlens\.Study and perhaps a mixlens\.Machine"):
        prepare(study, machine)


# several tasks that take turns

MINE = """
from torch import nn


def forgetful(num_classes):
    \"\"\"A network that draws from PyTorch's own generator in training.\"\"\"
    layers = [nn.Conv2d(3, 4, 3, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(256, num_classes))


def broken():
    # Whole on the few images of a trial.
    return lambda x, y, generator=None: (x * float("nan") if len(x) > 8 else x, y)
"""


@pytest.fixture
def several(mine):
    classifier = {"model": f"{mine}:forgetful", "epochs": 2, "batch_size": 16}
    settings = {"classifier": classifier, "vae": {"epochs": 2, "batch_size": 16, "latents": 4, "oracle_samples": 0}}
    settings["vae"]["critic_steps"] = 20

    def make(*augmentations):
        listed = augmentations or ("baseline", "mixup", "fmix+mixup")
        return small(
            data="patches:few", train_size=None, augmentations=listed, sections=["vae", "classifier"], settings=settings
        )

    return make


def left(folder):
    """What a study leaves: rows, weights and histories, these without their seconds."""
    runs = sorted((folder / "runs").glob("*-train-*"))
    histories = [[{k: v for k, v in e.items() if k != "seconds"} for e in Run(run).read_history()] for run in runs]
    weights = {run.name: load_file(run / MODEL) for run in runs}
    assert all((run / HISTORY).exists() for run in runs)
    return read_record(folder / "small").rows(), weights, histories


def assert_alike(first, second):
    assert first[0] == second[0]
    assert first[1].keys() == second[1].keys()
    for name, state in first[1].items():
        assert all(bool((value == second[1][name][key]).all()) for key, value in state.items()), name
    assert first[2] == second[2]


@pytest.fixture(scope="module")
def kept():
    return []


@pytest.fixture
def one_by_one(kept, several, tmp_path):
    """What the study leaves whose tasks follow each other; it is run for the first test that asks."""
    if not kept:
        conduct(several(), Machine(out=tmp_path / "one by one", quiet=True, threads=1))
        kept.append(left(tmp_path / "one by one"))
    return kept[0]


@pytest.mark.parametrize("at_once", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_tasks_that_take_turns_are_what_they_are_one_by_one(at_once, one_by_one, several, tmp_path):
    conduct(several(), Machine(out=tmp_path, quiet=True, threads=1, at_once=at_once))
    assert_alike(one_by_one, left(tmp_path))


def test_turns_that_are_interrupted_go_on_bit_for_bit(one_by_one, several, tmp_path, killed_after):
    machine = Machine(out=tmp_path / "killed", quiet=True, threads=1, at_once=4)
    with killed_after(22):
        conduct(several(), machine)
    assert len(list((tmp_path / "killed" / "runs").glob("*.partial"))) == 4
    assert not list((tmp_path / "killed" / "runs").glob("*.lease"))
    conduct(several(), machine)
    assert_alike(one_by_one, left(tmp_path / "killed"))


def test_a_training_that_diverges_leaves_those_beside_it_alone(several, tmp_path, mine):
    study = several("baseline", f"{mine}:broken", "mixup")
    record = conduct(study, Machine(out=tmp_path, quiet=True, threads=1, at_once=4))
    failed = [task.label for task in record.tasks if task.state == "failed"]
    assert all("broken" in label for label in failed)
    assert len(failed) == 2, "a VAE and a classifier"
    assert set(record.table("classifier")["augmentation"]) == {"baseline", "mixup"}


# several commands under one name

VAE = VAEConfig(epochs=1, latents=4, batch_size=32, critic_steps=20, oracle_samples=0)


@pytest.mark.slow
def test_sections_of_one_study_accumulate(machine):
    first = conduct(small(), machine)
    own = small(sections=["vae"], augmentations=["baseline"], settings={"vae": VAE})
    second = prepare(own, machine).run("mixlens vae")
    assert second.settings["sections"] == ["classifier", "vae"]
    assert {row.section for row in second.rows()} == {"classifier", "vae"}
    assert {row.run for row in first.rows()} <= {row.run for row in second.rows()}
    again = prepare(small(), machine).run("mixlens train")
    assert {row.section for row in again.rows()} == {"classifier", "vae"}, "whichever comes last"
    assert again.command.splitlines()[-2:] == ["mixlens vae", "mixlens train"]


def test_a_section_that_the_next_one_uses_keeps_its_own_rows(machine):
    """`mixlens train`, then `mixlens gradcam`: the classifiers are used, and their accuracy is not measured again."""
    first = conduct(small(augmentations=["baseline"]), machine)
    second = conduct(small(augmentations=["baseline"], sections=["gradcam"]), machine)
    assert {row.section for row in second.rows()} == {"classifier", "gradcam"}
    assert {row.run for row in first.rows()} <= {row.run for row in second.rows()}
    assert len({task.name for task in second.tasks}) == len(second.tasks), "each once"
    more = conduct(small(augmentations=["baseline", "mixup"], sections=["gradcam"]), machine)
    assert [task.section for task in more.tasks].count("gallery") == 1, "of what is compared now"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"train_size": 40}, "train_size is 64 there and 40 here", marks=pytest.mark.slow),
        ({"settings": {"classifier": replace(SMALL, epochs=2)}}, r"classifier\.epochs is 1 there and 2 here"),
    ],
)
def test_another_study_of_the_same_name_is_refused(changes, words, machine):
    record = conduct(small(augmentations=["baseline"]), machine)
    with pytest.raises(InputError, match=words) as caught:
        prepare(small(**changes), machine)
    assert "--name" in str(caught.value)
    assert read_record(record.folder) == record, "what was there stays"
    prepare(small(seeds=[0, 1]), machine)  # of one design
