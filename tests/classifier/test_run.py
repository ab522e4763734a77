import hashlib
import math
import re
import sys
from dataclasses import replace

import pytest
import torch
from helpers import BACKEND, context_of, tasks_of, tiny_study, work
from safetensors.torch import load_file, save_file
from scipy.stats import t as student

from mixlens.analysis.data.dataset import Dataset, Evaluation, Split
from mixlens.analysis.data.loader import normalise
from mixlens.analysis.errors import InputError
from mixlens.analysis.models.preact_resnet import PreActResNet18
from mixlens.analysis.store.results import read_rows
from mixlens.analysis.store.runs import MODEL, Store
from mixlens.analysis.study.executors.local import execute
from mixlens.analysis.study.plan import in_order
from mixlens.analysis.training.backend import make_backend
from mixlens.classifier.run import right_on

TEST_IMAGES = 30
MINE = """
from dataclasses import replace

import torch
from torch import nn


def head(num_classes, pretrained=False):
    '''Its published weights are of seven classes.'''
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 7 if pretrained else num_classes))


def published(num_classes, pretrained=False):
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, num_classes))
    if pretrained:
        nn.init.constant_(net[1].weight, 0.5)
    return net


def adam(recipe, lr=0.01, epochs=None):
    optimizer = torch.optim.Adam(recipe.network.parameters(), lr)
    return replace(recipe, optimizer=optimizer, epochs=epochs or recipe.epochs)


def mirror():
    return lambda x, y, *, generator=None: (x.flip(3), y)


def two_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 2))
"""


@pytest.fixture(scope="module")
def dataset():
    source = torch.Generator().manual_seed(0)

    def split(count):
        labels = torch.arange(count) % 4
        images = torch.randint(128, (count, 3, 8, 8), dtype=torch.uint8, generator=source)
        return Split(images + 30 * labels.byte()[:, None, None, None], labels)

    return Dataset("tiny", split(48), split(TEST_IMAGES), ("a", "b", "c", "d"), (0.4,) * 3, (0.2,) * 3)


def study(**values):
    own = {
        "model": "preact-resnet18(width=2)",
        "epochs": 1,
        "batch_size": 16,
        "crop": 1,
        "precision": "fp32",
        **values.pop("classifier", {}),
    }
    return tiny_study("classifier", classifier=own, **values)


def planned(dataset, *, backend=BACKEND, **values):
    return tasks_of(study(**values), dataset, backend=backend)


def networks(dataset, **values):
    """The tasks that train or load the study's networks."""
    return [task.inputs[0] for task in planned(dataset, **values)]


def names(dataset, **values):
    return [task.name for task in in_order(planned(dataset, **values))]


def ran(root, dataset, **values):
    return work(root / "out", study(**values), dataset)


# keys


def test_the_papers_settings_leave_a_key_that_holds_no_default(dataset):
    classifier = {"batch_size": 48, "precision": "fp32"}  # of 48 training images
    papers = tiny_study("classifier", augmentations=["baseline", "fmix"], seeds=[3], classifier=classifier)
    own = {"seed": 3, "data": dataset.checksum, "precision": "fp32", "batch_size": 48}
    trained, measured, mixed, _ = in_order(tasks_of(papers, dataset))
    assert trained.settings == {"kind": "classifier-train", "version": 2, "config": own, "inputs": []}
    assert mixed.settings["config"] == {**own, "augmentation": {"use": "fmix"}}
    assert measured.settings == {
        "kind": "classifier-measure",
        "version": 2,
        "config": {"data": dataset.checksum},
        "inputs": [trained.name],
    }


def test_a_file_of_transforms_is_keyed_by_what_it_holds(tmp_path, dataset):
    text = '[[["Invert", 0.5, 0.5], ["Rotate", 0.5, 0.5]]]'
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(text, encoding="utf-8")
    here, there = (
        names(dataset, classifier={"transforms": f"fast-autoaugment(path='{tmp_path}/{name}.json')"})
        for name in ("a", "b")
    )
    assert here == there
    (tmp_path / "b.json").write_text(text.replace("0.5]]", "0.6]]"), encoding="utf-8")
    assert names(dataset, classifier={"transforms": f"fast-autoaugment(path='{tmp_path}/b.json')"}) != here
    plain = names(dataset)
    assert names(dataset, classifier={"transforms": "none"}) == plain
    assert names(dataset, classifier={"transforms": "randaugment(n=2)"}) == names(
        dataset, classifier={"transforms": "randaugment"}
    )
    assert not set(names(dataset, classifier={"transforms": "randaugment"})) & set(plain)


def test_trainings_with_transforms_start_alike_and_see_the_same_images(tmp_path, dataset, monkeypatch):
    """The augmentation moves none of the images' draws; and the file is looked at again when the training begins."""
    seen = []
    monkeypatch.setattr(
        "mixlens.analysis.data.sub_policies._applied",
        lambda images, number, *rest: seen.append(number.tolist()) or images,
    )
    for augmentations in (["baseline"], ["mixup"]):
        asked = {"augmentations": augmentations, "seeds": [1], "classifier": {"transforms": "autoaugment"}}
        ran(tmp_path / augmentations[0], dataset, **asked)
    planning = 2  # operations of the one batch that planning tries
    half = len(seen) // 2
    assert seen[planning:half] == seen[half + planning :]
    assert len(seen[planning:half]) == 2 * 48 // 16


def test_of_more_than_ten_classes_the_top_5_accuracy_is_measured(tmp_path, dataset):
    classes = tuple(f"c{number}" for number in range(12))
    many = replace(dataset, classes=classes)
    tasks = planned(many)
    assert {task.settings["version"] for task in tasks} == {3}
    _, outcome = ran(tmp_path, many)
    for task in tasks:
        run = outcome.done[task.name]
        accuracy, _, top = read_rows(run)
        logits = torch.from_numpy(run.read_arrays("logits")["logits"])
        largest = logits.argsort(1, descending=True)[:, :5]
        right = (largest == dataset.test.labels[:, None]).any(1).float().mean().item()
        assert (top.quantity, top.unit, top.n) == ("accuracy_top5", accuracy.unit, TEST_IMAGES)
        assert top.value == pytest.approx(right)
        assert top.value >= accuracy.value


def test_one_training_and_one_measurement_a_seed_and_augmentation(dataset):
    asked = {"seeds": [0, 4], "augmentations": ["baseline", "fmix", "fmix(alpha=0.2)"]}
    expected = [(name, seed, "preact-resnet18(width=2)") for seed in asked["seeds"] for name in asked["augmentations"]]
    assert [task.network for task in networks(dataset, **asked)] == expected
    assert [task.network for task in planned(dataset, **asked)] == expected
    assert [task.label for task in networks(dataset, **asked)[:2]] == [
        "train classifier, baseline, seed 0",
        "train classifier, fmix, seed 0",
    ]


def test_seeds_and_augmentations_share_no_run(dataset):
    together = names(dataset, seeds=[0, 1, 2])
    assert len(set(together)) == 2 * 3 * 2
    assert set(names(dataset, seeds=[1])) < set(together)
    assert not set(names(dataset, seeds=[0])) & set(names(dataset, seeds=[1]))


@pytest.mark.parametrize(
    "values",
    [
        {"name": "other"},
        {"classifier": {"learning_rate": "0.1", "milestones": [0.5, 0.75], "schedule": "step"}},
        {"classifier": {"mix_mode": "published", "model": " preact-resnet18( width = 2 )", "size": None}},
        {"augmentations": ["baseline()", "mixup(alpha=1)"]},
        {"backend": make_backend("cpu", "bf16", compile=True, deterministic=True)},  # precision is the config's
    ],
    ids=str,
)
def test_what_does_not_matter_renames_nothing(dataset, values):
    assert names(dataset, **values) == names(dataset)


@pytest.mark.parametrize(
    "classifier",
    [
        {"model": "preact-resnet18(width=3)"},
        {"epochs": 2},
        {"batch_size": 8},
        {"learning_rate": 0.2},
        {"schedule": "one-cycle"},
        {"milestones": [0.5]},
        {"momentum": 0.8},
        {"weight_decay": 0.0},
        {"flip": False},
        {"crop": 0},
        {"model": "preact-resnet18-official"},
        {"size": 16},
        {"mean": [0.1, 0.1, 0.1]},
        {"std": [0.1, 0.1, 0.1]},
        {"precision": "bf16"},
    ],
    ids=str,
)
def test_what_matters_renames_everything(dataset, classifier):
    assert not set(names(dataset, classifier=classifier)) & set(names(dataset))


def test_auto_precision_is_the_one_it_stands_for(dataset):
    chosen = make_backend("cpu", "auto").precision
    assert names(dataset, classifier={"precision": "auto"}) == names(dataset, classifier={"precision": chosen})


def test_the_mix_mode_matters_to_what_is_mixed_alone(dataset, mine):
    augmentations = ["baseline", "mixup", f"{mine}:mirror"]
    before = names(dataset, augmentations=augmentations)
    after = names(dataset, augmentations=augmentations, classifier={"mix_mode": "elem"})
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, True, False, False, True, True]


def test_other_data_are_other_runs(dataset):
    changed = Dataset(dataset.name, dataset.train, dataset.test, dataset.classes, (0.4,) * 3, (0.3,) * 3)
    assert not set(names(changed)) & set(names(dataset))


def test_neither_device_nor_paths_nor_threads_are_in_a_key(dataset):
    texts = [str(task.settings) for task in in_order(planned(dataset))]
    assert not any(word in text for text in texts for word in ("cpu", "cuda", "thread", "/", "device"))


# As Policy.fingerprint does for a user's augmentation: "a change in that file is a new augmentation".
def test_a_change_of_the_users_network_is_another_run(dataset, mine, tmp_path):
    before = names(dataset, classifier={"model": f"{mine}:head"})
    (tmp_path / f"{mine}.py").write_text(MINE.replace("nn.Flatten()", "nn.Tanh(), nn.Flatten()"))
    sys.modules.pop(mine)
    assert not set(names(dataset, classifier={"model": f"{mine}:head"})) & set(before)


def test_a_default_that_is_written_out_is_the_same_network(dataset):
    plain, written = ({"model": f"preact-resnet18{arguments}", "batch_size": 48} for arguments in ("", "(width=64)"))
    assert names(dataset, classifier=plain) == names(dataset, classifier=written)


def test_a_recipe_is_another_training_and_so_is_a_change_of_its_file(dataset, mine, tmp_path):
    """Whoever names it: the study or the data set."""
    asked = {"classifier": {"recipe": f"{mine}:adam(lr=0.01)"}}
    before = names(dataset, **asked)
    assert not set(names(dataset)) & set(before)
    assert names(replace(dataset, recipe=f"{mine}:adam(lr=0.01)")) == before
    assert not set(names(dataset, classifier={"recipe": f"{mine}:adam(lr=0.02)"})) & set(before)
    (tmp_path / f"{mine}.py").write_text(MINE.replace("0.01", "0.03"))
    sys.modules.pop(mine)
    assert not set(names(dataset, **asked)) & set(before)


def test_a_recipe_of_fewer_epochs_than_the_last_ones_asked_for(dataset, mine):
    asked = {"recipe": f"{mine}:adam(epochs=3)", "epochs": 5, "last_epochs": 4}
    with pytest.raises(
        InputError, match=r"last_epochs is 4, of the 3 epochs of recipe .*adam\(epochs=3\); give at most"
    ):
        planned(dataset, classifier=asked)
    assert planned(dataset, classifier={**asked, "last_epochs": 3})


def test_a_recipe_that_fails_is_known_before_training(dataset, mine):
    with pytest.raises(InputError, match=f"recipe '{mine}:mirror': .*unexpected keyword argument|'recipe'"):
        planned(dataset, classifier={"recipe": f"{mine}:mirror"})


def test_settings_that_do_not_fit_the_data_are_refused(dataset):
    with pytest.raises(InputError, match=r"classifier\.batch_size is 64, but there are 48"):
        planned(dataset, classifier={"batch_size": 64})
    with pytest.raises(
        InputError, match=r"model 'preact-resnet18\(width=0\)': width must be a whole number of at least 1"
    ):
        planned(dataset, classifier={"model": "preact-resnet18(width=0)"})


# trained and measured


@pytest.fixture(scope="module")
def worked(tmp_path_factory, dataset):
    tasks, outcome = ran(tmp_path_factory.mktemp("worked"), dataset)
    return [outcome.done[task.name] for task in tasks], [outcome.done[task.inputs[0].name] for task in tasks]


def test_rows_say_what_they_are_of(worked):
    measured, _ = worked
    rows = [row for run in measured for row in read_rows(run)]
    assert [(row.augmentation, row.quantity, row.unit) for row in rows] == [
        (name, quantity, unit)
        for name in ("baseline", "mixup")
        for quantity, unit in (("accuracy", "fraction"), ("nll", "nats"))
    ]
    for row in rows:
        assert row.run in [run.path.name for run in measured]
        facts = (row.study, row.section, row.dataset, row.split, row.model, row.seed, row.n, row.bound)
        assert facts == ("tiny-study", "classifier", "tiny", "test", "preact-resnet18(width=2)", 0, TEST_IMAGES, "none")


def test_rows_are_those_of_the_stored_logits(worked, dataset):
    """Accuracy with Wilson's interval and cross entropy with Student's t, by hand."""
    labels, n, z = dataset.test.labels, TEST_IMAGES, 1.959963984540054
    for run in worked[0]:
        logits = torch.from_numpy(run.read_arrays("logits")["logits"])
        assert (logits.dtype, logits.shape) == (torch.float32, (n, 4))
        accuracy, nll = read_rows(run)
        p = (logits.argmax(1) == labels).sum().item() / n
        assert accuracy.value == p
        assert accuracy.stderr == pytest.approx(math.sqrt(p * (1 - p) / n))
        centre, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        assert accuracy.ci_low == pytest.approx((centre - half) / (1 + z**2 / n), abs=1e-9)
        assert accuracy.ci_high == pytest.approx((centre + half) / (1 + z**2 / n), abs=1e-9)
        terms = logits.double().logsumexp(1) - logits.double()[range(n), labels]
        assert nll.value == pytest.approx(terms.mean().item(), rel=1e-6)
        assert nll.stderr == pytest.approx(terms.std().item() / math.sqrt(n), rel=1e-5)
        assert nll.ci_high - nll.value == pytest.approx(student.ppf(0.975, n - 1) * nll.stderr, rel=1e-6)


def test_logits_are_those_of_the_trained_weights_on_the_test_images(worked, dataset):
    for measured, trained in zip(*worked, strict=True):
        network = PreActResNet18(4, width=2).eval()
        network.load_state_dict(load_file(trained / MODEL))
        with torch.no_grad():
            logits = network(normalise(dataset.test.images, dataset.mean, dataset.std))
        stored = torch.from_numpy(measured.read_arrays("logits")["logits"])
        torch.testing.assert_close(stored, logits, rtol=1e-4, atol=1e-5)
    last = worked[1][0].read_history("test_accuracy")[-1]
    assert last["test_accuracy"] == pytest.approx(read_rows(worked[0][0])[0].value)


def test_augmentations_are_trained_apart(worked):
    first, second = (load_file(run / MODEL) for run in worked[1])
    assert not torch.equal(first["head.weight"], second["head.weight"])


def test_a_second_study_of_the_same_trains_nothing(tmp_path, dataset):
    _, first = ran(tmp_path, dataset, augmentations=["baseline"])
    _, second = ran(tmp_path, dataset, augmentations=["baseline"], name="another")
    assert (first.fresh, second.fresh) == (2, 0)


def test_a_training_that_diverges_fails_alone(tmp_path, dataset):
    tasks, outcome = ran(tmp_path, dataset, classifier={"learning_rate": 1e30}, augmentations=["baseline"])
    assert list(outcome.failed) == [tasks[0].inputs[0].name]
    assert outcome.skipped == [tasks[0].name]


# weights that are brought


@pytest.fixture
def weights(tmp_path):
    """Files of weights of networks of width 2 by name."""

    def save(name, *, seed=0, classes=4, width=2, write=save_file):
        torch.manual_seed(seed)
        path = tmp_path / name
        write(PreActResNet18(classes, width=width).state_dict(), path)
        return str(path)

    return save


def test_several_networks_of_one_name_are_its_seeds(dataset, weights):
    files = [weights(f"{name}.pt", seed=seed, write=torch.save) for seed, name in enumerate("abcd")]
    given = [f"mixup={files[0]}", files[1], f"mixup={files[2]}", f"fmix(alpha=0.2)={files[3]}"]
    loads = networks(dataset, classifier={"weights": given})
    assert [task.network[:2] for task in loads] == [("mixup", 0), ("b", 0), ("mixup", 1), ("fmix(alpha=0.2)", 0)]
    assert [task.label for task in loads] == [f"load {text}" for text in given]
    assert len({task.name for task in loads}) == 4


def test_a_brought_networks_key_is_its_weights_and_name_wherever_they_lie(dataset, weights, tmp_path):
    first = weights("a.safetensors")
    (tmp_path / "elsewhere").mkdir()
    second = weights("elsewhere/b.safetensors")

    def key(text, **own):
        (load,) = networks(dataset, classifier={"weights": [text], **own})
        return load.name

    (load,) = networks(dataset, classifier={"weights": [f"x={first}"]})
    digest = hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    expected = {"model": "preact-resnet18(width=2)", "weights": digest, "classes": 4, "name": "x", "seed": 0}
    assert load.settings["config"] == expected
    assert key(f"x={first}") == key(f"x={second}")
    assert key(f"x={first}", epochs=7, learning_rate=0.5) == key(f"x={first}"), "nothing is trained"
    assert key(f"x={first}") != key(f"y={first}")
    assert key(f"x={first}") != key(f"x={weights('c.safetensors', seed=1)}")


def test_brought_networks_are_measured(tmp_path, dataset, weights):
    first, second = weights("first.pt", write=torch.save), weights("second.safetensors", seed=1)
    tasks, outcome = ran(tmp_path, dataset, classifier={"weights": [f"mine={first}", second]}, augmentations=["mixup"])
    assert (outcome.fresh, outcome.failed) == (4, {})
    for task, name, seed in zip(tasks, ("mine", "second"), (0, 1), strict=True):
        run = outcome.done[task.name]
        torch.manual_seed(seed)
        network = PreActResNet18(4, width=2).eval()
        with torch.no_grad():
            logits = network(normalise(dataset.test.images, dataset.mean, dataset.std))
        stored = torch.from_numpy(run.read_arrays("logits")["logits"])
        torch.testing.assert_close(stored, logits, rtol=1e-4, atol=1e-5)
        assert {(row.augmentation, row.seed) for row in read_rows(run)} == {(name, 0)}


def test_networks_that_are_brought_need_no_batch_of_training_images(dataset, weights):
    assert len(planned(dataset, classifier={"weights": [weights("a.pt", write=torch.save)], "batch_size": 1000})) == 1


def test_nan_weights_are_refused_before_anything_runs(dataset, weights):
    good, bad = weights("good.safetensors"), weights("bad.safetensors", seed=1)
    state = load_file(bad)
    state["head.weight"][0, 0] = float("nan")
    save_file(state, bad)
    with pytest.raises(InputError, match=r"head\.weight holds 1 NaN"):
        planned(dataset, classifier={"weights": [good, bad]})


@pytest.mark.parametrize("how", [{"width": 3}, {"classes": 10}])
def test_unfit_weights_are_refused_before_anything_runs(dataset, weights, how):
    good, bad = weights("good.safetensors"), weights("bad.safetensors", **how)
    with pytest.raises(InputError, match=r"bad\.safetensors holds the weights of another network"):
        planned(dataset, classifier={"weights": [good, bad]})


@pytest.mark.parametrize("text", ["absent.pt", "mixup=absent.pt", "pretraned", "."])
def test_missing_weights_are_refused_before_anything_runs(dataset, tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="there are no weights at"):
        planned(dataset, classifier={"weights": [text]})


@pytest.mark.parametrize("text", ["mixup=", "", "=a.pt"])
def test_weights_that_name_no_file_are_refused(dataset, text):
    with pytest.raises(InputError, match="weights must be FILE, NAME=FILE or 'pretrained'"):
        planned(dataset, classifier={"weights": [text]})


def test_pretrained_weights_of_a_built_in_network_are_refused(dataset):
    with pytest.raises(InputError, match="no published weights for preact-resnet18"):
        planned(dataset, classifier={"weights": ["pretrained"]})


@pytest.mark.parametrize(("text", "name"), [("pretrained", "pretrained"), ("theirs=pretrained", "theirs")])
def test_pretrained_weights_come_from_the_factory(tmp_path, dataset, mine, text, name):
    tasks, outcome = ran(tmp_path, dataset, classifier={"weights": [text], "model": f"{mine}:published"})
    loaded = load_file(outcome.done[tasks[0].inputs[0].name] / MODEL)
    assert (loaded["1.weight"] == 0.5).all()
    assert {(row.augmentation, row.seed) for row in read_rows(outcome.done[tasks[0].name])} == {(name, 0)}


# torchvision's and timm's weights are of ImageNet's 1000 classes: on any other data the load "succeeds", and the
# measurement ends the study with "… holds the weights of another network … the width that they were trained with".
def test_pretrained_weights_of_other_classes_are_refused_before_anything_runs(dataset, mine):
    with pytest.raises(InputError, match="classes"):
        planned(dataset, classifier={"weights": ["pretrained"], "model": f"{mine}:head"})


def test_a_network_of_other_classes_is_refused_before_anything_runs(dataset, mine, tmp_path):
    torch.save({"1.weight": torch.zeros(2, 192), "1.bias": torch.zeros(2)}, tmp_path / "two.pt")
    with pytest.raises(InputError, match="classes"):
        planned(dataset, classifier={"weights": ["two.pt"], "model": f"{mine}:two_classes"})


def test_weights_with_means_of_too_few_channels_are_told_of_those(dataset, weights):
    own = {"weights": [weights("a.safetensors")], "mean": [0.5], "std": [0.2]}
    with pytest.raises(InputError, match=r"classifier\.mean has 1 values for 3 channels"):
        planned(dataset, classifier=own)


# A second `mixlens train --classifier.weights FILE --classifier.mean …` takes the first one's numbers from the store:
# neither classifier-load nor classifier-measure (nor robustness-sweep) has these settings in its key.
@pytest.mark.parametrize("setting", [{"mean": [0.1] * 3}, {"std": [0.9] * 3}, {"size": 16}], ids=str)
def test_measuring_a_brought_network_otherwise_is_another_run(dataset, weights, setting):
    given = {"weights": [weights("a.safetensors")]}
    before, after = names(dataset, classifier=given), names(dataset, classifier={**given, **setting})
    assert before[-1] != after[-1]


# PyTorch Lightning's own file names, and Hydra's folders; NAME=FILE is cut at the last "=".
@pytest.mark.parametrize("prefix", ["", "mixup="])
def test_a_file_with_an_equals_sign_in_its_name_can_be_brought(dataset, weights, prefix):
    file = weights("epoch=1-step=200.ckpt", write=torch.save)
    (load,) = networks(dataset, classifier={"weights": [prefix + file]})
    assert load.network.augmentation == ("mixup" if prefix else "epoch=1-step=200")


def test_weights_that_change_while_the_study_runs_are_noticed(tmp_path, dataset, weights):
    chosen = study(classifier={"weights": [weights("a.safetensors")]})
    tasks = tasks_of(chosen, dataset)
    weights("a.safetensors", seed=1)
    (reason,) = execute(tasks, Store(tmp_path / "out"), context_of(chosen, dataset)).failed.values()
    assert re.search(r"the weights at .*a\.safetensors changed while the study ran", reason)


# other images


def test_on_other_images_the_prediction_is_taken_among_their_classes_alone():
    """Class 0 has the largest logit everywhere; among 1 and 3, the second and third image are of 3."""
    images = torch.zeros(4, 3, 8, 8, dtype=torch.uint8)
    other = Evaluation(Split(images, torch.tensor([1, 3, 1, 0])), (1, 3))
    bright = torch.tensor([0.0, 1.0, 1.0, 0.0])
    found = right_on(other, torch.stack([bright + 9, bright * 0 + 0.5, bright * 0, bright], 1))
    assert {quantity: right.tolist() for quantity, right in found.items()} == {
        "other_accuracy": [True, True, False, False]
    }


def test_on_other_images_of_many_classes_the_label_may_be_among_the_five_likeliest():
    """Of 12 of 20 classes, the even ones first: the label's rank among them decides."""
    among = (*range(0, 20, 2), 1, 3)
    logits = torch.arange(20.0).repeat(3, 1)  # the likeliest of them: 18, 16, 14, 12, 10
    other = Evaluation(Split(torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([18, 10, 8])), among)
    found = right_on(other, logits)
    assert found["other_accuracy"].tolist() == [True, False, False]
    assert found["other_accuracy_top5"].tolist() == [True, True, False]


def test_other_images_are_measured_on_anew_and_nothing_is_trained_again(dataset):
    other = Evaluation(dataset.test, (0, 1))
    with_others = replace(dataset, others={"elsewhere": other})
    before, after = names(dataset), names(with_others)
    assert [one == two for one, two in zip(before, after, strict=True)] == [
        not name.startswith("classifier-measure") for name in before
    ]
    changed = replace(dataset, others={"elsewhere": other._replace(among=(0, 2))})
    assert names(changed) != after
