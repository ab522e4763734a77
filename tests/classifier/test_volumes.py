"""Classifiers of volumes: every augmentation over three axes, what is measured, and what is refused at planning."""

import numpy as np
import pytest
import torch
from helpers import BACKEND, record_of, rows_of, sections_of, text_of, tiny_study, work
from safetensors.torch import load_file

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.errors import InputError
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.store.runs import MODEL
from mixlens.analysis.study.plan import plan
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.model import make_classifier, make_network, try_network
from mixlens.reports.report import write_report

NETWORK = {"model": "voxnet(width=4)", "epochs": 3, "batch_size": 16, "learning_rate": 0.003, "precision": "fp32"}
ADAM = {**NETWORK, "optimizer": "adam", "weight_decay": 0.0}


def shapes(count, seed=0, side=12):
    """Boxes along one of three axes, somewhere in the cube."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    volumes = torch.zeros(count, 1, side, side, side, dtype=torch.uint8)
    for volume, label in zip(volumes, labels, strict=True):
        start = torch.randint(0, side - 3, (3,), generator=generator).tolist()
        size = [side if axis == label else 3 for axis in range(3)]
        cut = tuple(slice(0 if n == side else at, at + n) for at, n in zip(start, size, strict=True))
        volume[(0, *cut)] = 255
    return Split(volumes, labels)


@pytest.fixture(scope="module")
def data():
    return Dataset("boxes", shapes(96), shapes(60, 1), ("deep", "high", "wide"), (0.05,), (0.2,))


def study(section="classifier", **values):
    settings = {"classifier": ADAM} | ({} if section == "classifier" else {section: {}})
    return tiny_study(section, **{**settings, **values})


AUGMENTATIONS = ["baseline", "mixup", "cutmix", "fmix", "fmix-official"]


@pytest.mark.parametrize("model", ["voxnet(width=4)", "pointnet(points=16)"])
def test_every_augmentation_trains_and_is_measured(data, tmp_path, model):
    asked = study(augmentations=AUGMENTATIONS, classifier={**ADAM, "model": model, "epochs": 1, "last_epochs": 1})
    tasks, outcome = work(tmp_path, asked, data)
    assert not outcome.failed
    rows = rows_of(tasks, outcome)
    assert {row.augmentation for row in rows} == set(AUGMENTATIONS)
    assert {row.quantity for row in rows} == {"accuracy", "nll", "accuracy_median"}
    trained = [outcome.done[task.inputs[0].name] for task in tasks]
    weights = [torch.cat([one.flatten() for one in load_file(run / MODEL).values()]) for run in trained]
    assert all(one.isfinite().all() for one in weights)
    assert len({one.numpy().tobytes() for one in weights}) == len(weights)


@pytest.mark.parametrize(
    "model", ["voxnet(width=8)", pytest.param("pointnet-official(points=100)", marks=pytest.mark.slow)]
)
def test_what_is_easy_is_learnt(data, tmp_path, model):
    asked = study(
        augmentations=["baseline"],
        classifier={**ADAM, "model": model, "epochs": 12, "learning_rate": 0.01, "last_epochs": 5},
    )
    tasks, outcome = work(tmp_path, asked, data)
    rows = {row.quantity: row for row in rows_of(tasks, outcome)}
    accuracy, median = rows["accuracy"], rows["accuracy_median"]
    assert accuracy.value > 0.8
    (run,) = [outcome.done[task.inputs[0].name] for task in tasks]
    last = [line["test_accuracy"] for line in run.read_history("test_accuracy")[-5:]]
    assert median.value == pytest.approx(np.median(last))
    assert median.note == "median of the last 5 epochs"
    assert (median.n, median.stderr) == (60, None)


@pytest.mark.parametrize("name", ["cutmix", "fmix"])
def test_masks_are_of_all_three_axes(name):
    """Of an empty volume and a full one: what came from the other is no slab along any pair of axes."""
    x = torch.zeros(64, 1, 12, 12, 12)
    x[32:] = 1
    mix = parse_policy(name).build(2, "elem")
    mixed = mix.pairs(x, torch.arange(64) // 32, generator=torch.Generator().manual_seed(1), step=0)[0]
    changed = (mixed != x).float().squeeze(1)
    share = changed.mean((1, 2, 3))
    changed = changed[(share > 0.05) & (share < 0.3)]
    assert len(changed) > 5
    for axes in ((1, 2), (1, 3), (2, 3)):
        profile = changed.mean(axes)
        assert (profile.amax(1) > profile.amin(1)).all()


def test_an_augmentation_of_ones_own(data, tmp_path, monkeypatch):
    (tmp_path / "volume_halves.py").write_text(
        "def make(axis=2):\n"
        "    def halves(x, y, *, generator=None):\n"
        "        first, mixed = x.shape[axis] // 2, x.clone()\n"
        "        mixed.narrow(axis, 0, first).copy_(x.flip(0).narrow(axis, 0, first))\n"
        "        labels = y.new_zeros(len(y), 3).float().scatter_(1, y[:, None], 1)\n"
        "        return mixed, (labels + labels.flip(0)) / 2\n"
        "    return halves\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = study(augmentations=["baseline", "volume_halves:make(axis=4)"], classifier={**ADAM, "epochs": 1})
    _, outcome = work(tmp_path / "store", asked, data)
    assert not outcome.failed


def test_calibration_is_measured(data, tmp_path):
    tasks, outcome = work(tmp_path, study("calibration", calibration={"resamples": 100}), data)
    assert not outcome.failed
    assert {"ece", "nll"} <= {row.quantity for row in rows_of(tasks, outcome)}


def test_the_same_seed_gives_the_same_points(data, tmp_path):
    asked = study(augmentations=["fmix"], classifier={**ADAM, "model": "pointnet-official(points=40,train_points=16)"})
    runs = []
    for name in ("one", "two"):
        tasks, outcome = work(tmp_path / name, asked, data)
        runs.append(load_file(outcome.done[tasks[0].inputs[0].name] / MODEL))
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])


@pytest.mark.parametrize("model", ["voxnet(width=2)", "pointnet(points=50)", "pointnet-official(points=50)"])
def test_a_network_of_volumes_is_tried_before_training(data, model):
    """Also where one of the few is empty: logits that do not depend on the batch, nor on chance."""
    empty = Split(torch.cat([torch.zeros(2, 1, 12, 12, 12, dtype=torch.uint8), data.test.images]), torch.arange(62) % 3)
    settings = ClassifierConfig(model=model)
    whole = Dataset("boxes", data.train, empty, data.classes, data.mean, data.std)
    network = make_network(settings, whole)
    try_network(settings, whole, network)
    model = make_classifier(settings, whole, network)
    assert model(torch.rand(2, 1, 12, 12, 12)).shape == (2, 3)


# refusals


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"classifier": {**ADAM, "size": 16}}, r"classifier\.size resizes images, and these are volumes: leave it out"),
        ({"classifier": {**ADAM, "transforms": "randaugment"}}, "'randaugment' are of images or recordings"),
        ({"classifier": {**ADAM, "model": "preact-resnet18"}}, "'preact-resnet18' takes no volumes. Give one of"),
        ({"classifier": {**ADAM, "model": "torchvision:resnet18"}}, "'torchvision:resnet18' takes no volumes"),
        ({"classifier": {**ADAM, "mean": (0.1, 0.2)}}, r"classifier\.mean has 2 values for 1 channels"),
        ({"classifier": {**ADAM, "batch_size": 500}}, "there are 96 training images"),
        ({"sections": ["robustness"]}, r"'robustness' is of images .*has volumes\. Leave the section out"),
        ({"sections": ["gradcam"]}, r"'gradcam' is of images .*has volumes\. Leave the section out"),
    ],
)
def test_what_does_not_apply_is_refused_at_planning(data, values, said):
    section = values.pop("sections", ["classifier"])[0]
    with pytest.raises(InputError, match=said):
        plan(study(section, **values), sections_of(section), data, BACKEND)


def test_images_are_refused_by_networks_of_volumes():
    flat = Split(torch.zeros(32, 1, 32, 32, dtype=torch.uint8), torch.arange(32) % 2)
    images = Dataset("flat", flat, flat, ("a", "b"), (0.5,), (0.5,))
    for model in ("voxnet", "pointnet"):
        with pytest.raises(InputError, match=f"model '{model}' takes no images"):
            plan(study(classifier={**ADAM, "model": model}), sections_of("classifier"), images, BACKEND)


def test_a_report_of_volumes(data, tmp_path):
    asked = study(
        augmentations=["baseline", "fmix"], seeds=[0, 1, 2], classifier={**ADAM, "epochs": 1, "last_epochs": 1}
    )
    record = record_of(tmp_path, asked, data)
    page = text_of(write_report(record, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "median (%)" in page
