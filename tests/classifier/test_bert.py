"""Classifiers of texts from a model's folder: trained, mixed, killed, measured; what may not be mixed is refused."""

import shutil
from dataclasses import replace

import pytest
import torch
from encoders import SIZES, review_dataset, save_bert
from helpers import BACKEND, rows_of, tasks_of, tiny_study, work
from safetensors.torch import load_file

from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.store.runs import MODEL, Run
from mixlens.analysis.training.progress import Reporter
from mixlens.analysis.training.turns import whole
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.model import load_classifier
from mixlens.classifier.train import train_classifier

MINE = """
import torch

def choosing():
    return lambda x, y, generator: cut(x, y, torch.arange(x.shape[2]) < x.shape[2] // 2)

def blending():
    return lambda x, y, generator: cut(x, y, torch.arange(x.shape[2]) / x.shape[2])

def cut(x, y, mask):
    from mixlens import MixedBatch
    mask = mask.to(x.dtype).expand(len(x), 1, -1)
    index = torch.arange(len(x)).roll(1)
    return MixedBatch(mask * x + (1 - mask) * x[index], y, y[index], mask.mean((1, 2)), index, mask)
"""
TRAINED = {"epochs": 4, "optimizer": "adam", "learning_rate": 3e-3, "batch_size": 16, "weight_decay": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("models") / "bert")


@pytest.fixture(scope="module")
def dataset(folder):
    return review_dataset(folder)


@pytest.fixture
def train(tmp_path, folder, dataset):
    def run(augmentation="baseline", name=None, reporter=None, mix="ids"):
        path = tmp_path / (name or f"run-{len(list(tmp_path.glob('run-*')))}")
        path.mkdir(exist_ok=True)
        config = ClassifierConfig(model=f"bert(path={folder!r},mix={mix!r})", **TRAINED)
        policy, reporter = parse_policy(augmentation), reporter or Reporter(quiet=True)
        whole(train_classifier(config, dataset, policy, 0, run=Run(path), backend=BACKEND, reporter=reporter, label=""))
        return Run(path)

    return run


def study(folder, augmentations=("baseline",), mix="ids", section="classifier", **values):
    settings = {"model": f"bert(path={str(folder)!r},mix={mix!r})", "precision": "fp32", **TRAINED, **values}
    return tiny_study(section, augmentations=list(augmentations), classifier=settings)


# what is trained


def test_it_learns_on_numbers_with_every_augmentation_that_chooses(tmp_path, folder, dataset):
    augmentations = ("baseline", "cutmix", "fmix", "fmix-official", "fmix(alpha=0.1)")
    tasks, outcome = work(tmp_path, study(folder, augmentations, epochs=10), dataset)
    accuracy = {row.augmentation: row.value for row in rows_of(tasks, outcome) if row.quantity == "accuracy"}
    assert accuracy.keys() == {*augmentations}
    assert accuracy["baseline"] > 0.9
    assert accuracy["fmix(alpha=0.1)"] > 0.9


def test_embeddings_learn_with_mixup(tmp_path, folder, dataset):
    augmentations = ("mixup(alpha=0.1)", "fmix(max_soft=0.3)", "fmix+mixup")
    tasks, outcome = work(tmp_path, study(folder, augmentations, mix="embeddings", epochs=10), dataset)
    accuracy = {row.augmentation: row.value for row in rows_of(tasks, outcome) if row.quantity == "accuracy"}
    assert accuracy.keys() == {*augmentations}
    assert accuracy["mixup(alpha=0.1)"] > 0.9


def test_masks_that_choose_train_the_same_on_numbers_and_embeddings(tmp_path, dataset):
    """Dropout is left out: of a mixed text the two draw alike, but round differently."""
    folder = save_bert(tmp_path / "bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
    values = []
    for mix in ("ids", "embeddings"):
        tasks, outcome = work(tmp_path / mix, study(folder, ("fmix",), mix=mix, epochs=2, learning_rate=1e-3), dataset)
        values.append([row.value for row in rows_of(tasks, outcome) if row.quantity == "nll"])
    assert values[0] == pytest.approx(values[1], abs=1e-4)


def test_dropout_is_fixed_by_the_seed(train, same):
    first = train("fmix")
    torch.manual_seed(1)
    assert same(first, train("fmix"))
    assert not same(first, train("baseline"))


@pytest.mark.parametrize("mix", ["ids", "embeddings"])
def test_a_killed_training_ends_bit_identical(train, same, timeless, mortal, mix):
    one = train("fmix", mix=mix)
    with pytest.raises(KeyboardInterrupt):
        train("fmix", "killed", mortal(6), mix=mix)
    other = train("fmix", "killed", mix=mix)
    assert same(one, other)
    assert timeless(one) == timeless(other)


@pytest.mark.parametrize("mix", ["ids", "embeddings"])
def test_saved_weights_are_those_that_are_measured(train, folder, dataset, mix):
    run = train(mix=mix)
    config = ClassifierConfig(model=f"bert(path={folder!r},mix={mix!r})")
    model = load_classifier(run, config, dataset, BACKEND)
    state = load_file(run / MODEL)
    assert state.keys() == model.network.state_dict().keys()
    assert all(value.equal(state[name]) for name, value in model.network.state_dict().items())
    assert not model.training
    right = (model(dataset.test.images[:32]).argmax(1) == dataset.test.labels).float().mean().item()
    assert right == pytest.approx(run.read_history()[-1]["test_accuracy"])


@pytest.mark.slow
def test_its_calibration_is_measured(tmp_path, folder, dataset):
    tasks, outcome = work(tmp_path, study(folder, section="calibration", epochs=1), dataset)
    found = {row.quantity for row in rows_of(tasks, outcome)}
    assert "ece" in found


# what it is known by


def test_a_training_is_known_by_what_the_folder_holds_wherever_it_lies(tmp_path, folder, dataset):
    (here,) = tasks_of(study(folder), dataset)
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)
    (there,) = tasks_of(study(moved), dataset)
    assert here.inputs[0].name == there.inputs[0].name
    assert here.network.model != there.network.model
    (other,) = tasks_of(study(save_bert(tmp_path / "other", num_hidden_layers=1)), dataset)
    (mixed,) = tasks_of(study(moved, mix="embeddings"), dataset)
    assert len({here.inputs[0].name, other.inputs[0].name, mixed.inputs[0].name}) == 3


# what is refused


@pytest.mark.parametrize(
    "augmentation", ["mixup", "mixup(p=0.001)", "fmix(max_soft=0.01)", "fmix+mixup", "fmix-official(max_soft=0.3)"]
)
def test_numbers_are_not_blended(folder, dataset, augmentation):
    with pytest.raises(InputError, match=r"blends what it mixes, and the model .* the numbers of words") as caught:
        tasks_of(study(folder, ("baseline", augmentation)), dataset)
    assert "mix='embeddings'" in str(caught.value)


def test_an_augmentation_of_ones_own_is_tried(mine, folder, dataset):
    tasks_of(study(folder, (f"{mine}:choosing",)), dataset)
    with pytest.raises(InputError, match=rf"augmentation '{mine}:blending' blends what it mixes"):
        tasks_of(study(folder, (f"{mine}:blending",)), dataset)
    tasks_of(study(folder, (f"{mine}:blending",), mix="embeddings"), dataset)


def test_texts_that_are_too_long_for_it(tmp_path, dataset):
    folder = save_bert(tmp_path / "short", max_position_embeddings=8)
    longest = int(dataset.train.images.lengths.max())
    with pytest.raises(InputError, match=f"texts of {longest} tokens, and the model takes 8: give the data length=8"):
        tasks_of(study(folder), dataset)


def test_data_by_words_are_refused(folder, dataset):
    words = replace(dataset.vocabulary, words=("<unk>", *dataset.vocabulary.words[1:]))
    with pytest.raises(InputError, match="that are not the 15 tokens of"):
        tasks_of(study(folder), replace(dataset, vocabulary=words))


def test_weights_of_it_can_be_brought(tmp_path, train, folder, dataset):
    run = train()
    brought = study(folder, weights=[f"mine={run / MODEL}"])
    tasks, outcome = work(tmp_path / "brought", brought, dataset)
    assert [row.value for row in rows_of(tasks, outcome) if row.quantity == "accuracy"] == [
        pytest.approx(run.read_history()[-1]["test_accuracy"])
    ]
    assert SIZES["hidden_size"] in load_file(run / MODEL)["body.output.weight"].shape
