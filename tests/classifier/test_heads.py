"""Classifiers of several heads: their loss, what is measured of them, and a study from start to report."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from graphemes import write_all
from helpers import BACKEND, record_of, rows_of, sections_of, text_of, tiny_study, work
from safetensors.torch import load_file
from sklearn.metrics import balanced_accuracy_score

from mixlens.analysis.data.dataset import Dataset, Head, Split
from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import MixedBatch
from mixlens.analysis.store.record import read_record
from mixlens.analysis.store.runs import MODEL
from mixlens.analysis.study.plan import plan
from mixlens.analysis.training.recipe import joint_accuracy, joint_cross_entropy, mixed_loss
from mixlens.classifier import figures
from mixlens.classifier.measures import recall
from mixlens.cli.main import main
from mixlens.reports.paper import Setup, values
from mixlens.reports.report import write_report

HEADS = (Head("shape", ("a", "b", "c", "d"), 2.0), Head("tone", ("dark", "light")), Head("edge", ("x", "y", "z")))
MINE = """
from torch import nn


class Two(nn.Module):
    def __init__(self, in_channels):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(in_channels * 256, size) for size in SIZES)

    def forward(self, x):
        return tuple(head(x.flatten(1)) for head in self.heads)


SIZES = (4, 2, 3)


class Wrong(Two):
    def forward(self, x):
        return super().forward(x)[:2]


class Sure(Two):
    def forward(self, x):
        first, *others = super().forward(x)
        return (first, *(other.softmax(1) for other in others))


def soft():
    return lambda x, y, *, generator=None: (x, nn.functional.one_hot(y[:, 0], 4).float())


def swapped():
    return lambda x, y, *, generator=None: (x.flip(0), y.flip(0))
"""


def split(count, seed):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.stack([torch.arange(count) % 4, torch.arange(count) // 4 % 2, torch.arange(count) // 8 % 3], 1)
    images = torch.randint(60, (count, 1, 16, 16), dtype=torch.uint8, generator=generator)
    images[:, 0, :, :8] += 40 * labels[:, 0].byte()[:, None, None]
    images[:, 0, :8, 8:] += 120 * labels[:, 1].byte()[:, None, None]
    images[:, 0, 8:, 8:] += 60 * labels[:, 2].byte()[:, None, None]
    return Split(images, labels)


@pytest.fixture(scope="module")
def dataset():
    return Dataset("tiny", split(96, 0), split(48, 1), (), (0.3,), (0.25,), heads=HEADS)


def study(section="classifier", **changes):
    settings = {"model": "conv4(width=4)", "epochs": 2, "batch_size": 16, "crop": 0, "flip": False, "precision": "fp32"}
    return tiny_study(section, classifier={**settings, **changes.pop("classifier", {})}, **changes)


# loss and score


def test_the_loss_is_of_the_whole_label_as_if_its_heads_were_independent():
    outputs = [torch.randn(6, size) for size in (4, 2, 3)]
    y = torch.stack([torch.arange(6) % size for size in (4, 2, 3)], 1)
    joint = torch.einsum("na,nb,nc->nabc", *(head.softmax(1) for head in outputs))
    expected = -joint[torch.arange(6), *y.unbind(1)].log()
    torch.testing.assert_close(joint_cross_entropy(outputs, y), expected)


def test_a_mixed_loss_is_that_of_every_heads_mixed_label():
    outputs = [torch.randn(6, size) for size in (4, 2)]
    y = torch.stack([torch.arange(6) % size for size in (4, 2)], 1)
    lam, index = torch.rand(6), torch.randperm(6)
    mixed = MixedBatch(torch.zeros(6, 1, 2, 2), y, y[index], lam, index, torch.ones(6, 1, 2, 2))
    expected = torch.zeros(6)
    for head, own in zip(outputs, y.unbind(1), strict=True):
        hot = F.one_hot(own, head.shape[1]).float()
        soft = lam[:, None] * hot + (1 - lam[:, None]) * hot[index]
        expected -= (soft * head.log_softmax(1)).sum(1)
    torch.testing.assert_close(mixed_loss(joint_cross_entropy, outputs, mixed), expected)


def test_an_image_is_right_where_every_head_is():
    outputs = [torch.tensor([[1.0, 0], [0, 1], [1, 0]]), torch.tensor([[1.0, 0, 0], [1, 0, 0], [0, 0, 1]])]
    assert joint_accuracy(outputs, torch.tensor([[0, 0], [1, 1], [0, 2]])).tolist() == [True, False, True]


# recall


def test_recall_is_scikit_learns_balanced_accuracy():
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(200, generator=generator) ** 3 * 6).long()  # unequal classes
    labels[labels == 3] = 4  # and one that does not occur
    predicted = torch.where(torch.rand(200, generator=generator) < 0.6, labels, torch.zeros(200, dtype=torch.long))
    found = recall(predicted == labels, labels)
    assert found.terms.mean().item() == pytest.approx(balanced_accuracy_score(labels, predicted))


def test_the_error_of_recall_is_that_of_a_mean_for_each_class():
    labels, right = torch.arange(400) % 4, torch.arange(400) % 7 < 4
    right[labels == 0] = True
    shares = [right[labels == one].double().mean().item() for one in range(4)]
    closed = math.sqrt(sum(share * (1 - share) / 100 for share in shares)) / 4
    error = recall(right, labels).influence.std().item() / 20
    assert error == pytest.approx(closed, rel=0.01)


# what is measured


@pytest.fixture(scope="module")
def measured(dataset, tmp_path_factory):
    tasks, outcome = work(tmp_path_factory.mktemp("heads"), study(), dataset)
    assert not outcome.failed
    return tasks, outcome


def test_rows_of_each_head_and_of_whole_labels(measured, dataset):
    rows = rows_of(*measured)
    assert len(rows) == 2 * 3 * 4
    own = {(row.quantity, row.params.get("head")): row for row in rows if row.augmentation == "mixup"}
    run = measured[1].done[measured[0][1].name]
    arrays = run.read_arrays()
    y = dataset.test.labels.numpy()
    logits = [torch.from_numpy(arrays[f"logits:{head.name}"]) for head in HEADS]
    right = np.stack([one.argmax(1).numpy() == y[:, k] for k, one in enumerate(logits)])
    nll = sum(F.cross_entropy(one, torch.from_numpy(y[:, k])).item() for k, one in enumerate(logits))
    assert own["accuracy", None].value == pytest.approx(right.all(0).mean())
    assert own["nll", None].value == pytest.approx(nll)
    recalls = [balanced_accuracy_score(y[:, k], one.argmax(1)) for k, one in enumerate(logits)]
    assert own["recall", None].value == pytest.approx((2 * recalls[0] + recalls[1] + recalls[2]) / 4)
    for k, head in enumerate(HEADS):
        assert own["accuracy", head.name].value == pytest.approx(right[k].mean())
        assert own["recall", head.name].value == pytest.approx(recalls[k])
        np.testing.assert_array_equal(arrays[f"accuracy:{head.name}"], right[k])
    np.testing.assert_allclose(arrays["recall"].mean(), own["recall", None].value, rtol=1e-6)


def test_all_heads_learn(dataset, tmp_path):
    settings = {"epochs": 12, "learning_rate": 0.05}
    tasks, outcome = work(tmp_path, study(classifier=settings, augmentations=["baseline"]), dataset)
    accuracies = {
        row.params["head"]: row.value for row in rows_of(tasks, outcome) if row.params and row.unit == "fraction"
    }
    chances = {head.name: 1 / len(head.classes) for head in HEADS}
    assert all(accuracies[name] > chances[name] + 0.25 for name in chances), accuracies


def test_weights_of_a_network_with_heads_can_be_brought(measured, dataset, tmp_path):
    (trained,) = measured[0][0].inputs
    file = measured[1].done[trained.name] / MODEL
    assert load_file(file)
    brought = study(classifier={"weights": [f"baseline={file}"]}, augmentations=["baseline"])
    tasks, outcome = work(tmp_path, brought, dataset)
    before = [row.value for row in rows_of(*measured) if row.augmentation == "baseline"]
    assert [row.value for row in rows_of(tasks, outcome)] == pytest.approx(before)


# a user's own


@pytest.mark.parametrize("augmentations", [["baseline", "fmix", "cutmix+mixup"], ["{mine}:swapped"]])
def test_a_network_of_ones_own_that_returns_its_heads(mine, dataset, tmp_path, augmentations):
    names = [name.format(mine=mine) for name in augmentations]
    own = study(classifier={"model": f"{mine}:Two"}, augmentations=names)
    tasks, outcome = work(tmp_path, own, dataset)
    assert {row.augmentation for row in rows_of(tasks, outcome)} == set(names)


@pytest.mark.parametrize(
    ("model", "augmentation", "told"),
    [
        (
            "Wrong",
            "baseline",
            r"the model returns \(\d, 4\) and \(\d, 2\); expected logits for heads of 4, 2, 3 classes",
        ),
        ("Sure", "baseline", "the model returns probabilities"),
        ("Two", "{mine}:soft", r"returned torch.float32 \(8, 4\) as labels of 8 images; expected integers \(8, 3\)"),
    ],
)
def test_what_does_not_fit_the_heads_is_refused_before_training(mine, dataset, model, augmentation, told):
    own = study(classifier={"model": f"{mine}:{model}"}, augmentations=[augmentation.format(mine=mine)])
    with pytest.raises(InputError, match=told):
        plan(own, sections_of("classifier"), dataset, BACKEND)


@pytest.mark.parametrize("section", ["robustness", "gradcam", "calibration", "representations"])
def test_sections_of_one_label_an_image_say_so(dataset, section):
    told = rf"the section '{section}' takes one label an image, and data set 'tiny' has shape, tone, edge\. Leave"
    with pytest.raises(InputError, match=rf"{told}.*give the labels of one head"):
        plan(study(section), sections_of(section), dataset, BACKEND)
    told = r"or give --data \"bengali\(fold=2,head='shape'\)\"\."
    with pytest.raises(InputError, match=told):
        plan(study(section, data="bengali(fold=2)"), sections_of(section), dataset, BACKEND)


# reports


@pytest.fixture(scope="module")
def record(dataset, tmp_path_factory):
    settings = {"epochs": 3, "learning_rate": 0.05}
    return record_of(tmp_path_factory.mktemp("report"), study(classifier=settings, seeds=[0, 1, 2]), dataset)


def test_the_table_of_heads(record):
    whole, heads = figures.tables(record, {})
    assert heads.header == ("Augmentation", "Shape (%)", "Tone (%)", "Edge (%)", "Recall (%)")
    assert [row[0] for row in heads.rows] == [row[0] for row in whole.rows] == ["Baseline", "MixUp"]
    rows = record.table("classifier")
    own = rows[(rows["head"] == "tone") & (rows["quantity"] == "accuracy") & (rows["augmentation"] == "baseline")]
    assert heads.rows[0][2].startswith(f"{100 * own['value'].mean():.0f}"[:2])
    assert "An image is right where each of its labels is" in whole.caption


def test_differences_of_each_head_are_measured_and_not_on_the_front_page(record):
    quantities = figures.measured(record)
    assert [one.quantity for one in quantities] == ["accuracy", "accuracy:shape", "accuracy:tone", "accuracy:edge"]
    assert [bool(one.front) for one in quantities] == [True, False, False, False]


def test_the_paper_stands_beside_each_head(record):
    setup = Setup("bengali", "timm:seresnext50_32x4d")
    known = {
        name: {quantity.replace("root", "shape"): printed for quantity, printed in printed.items()}
        for name, printed in values("classifier", setup).items()
    }
    whole, heads = figures.tables(record, known)
    assert heads.header[:4] == ("Augmentation", "Shape (%)", "paper, shape", "Tone (%)")
    assert heads.rows[1][2] == "94.80 ± 0.10"
    assert whole.rows[1][2] == "89.23 ± 1.04"
    assert "Table 4" in whole.caption


def test_the_page_says_both(record, tmp_path):
    text = text_of(write_report(record, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "Test accuracy of each head" in text
    assert "4.17% of 24 classes" in text or "Near chance" not in text, "of whole labels"


@pytest.mark.slow
def test_graphemes_from_their_files_to_a_report(tmp_path, monkeypatch, capsys):
    """All rows, all heads, each augmentation."""
    monkeypatch.chdir(tmp_path)
    write_all(tmp_path / "data", 48)
    command = ["train", "--data-root", "data", "--model", "timm:test_resnet", "--classifier.epochs", "1", "--quiet"]
    command += ["--classifier.batch-size", "16", "--augmentations", "baseline,fmix", "--seeds", "1"]
    main([*command, "--data", "bengali"])
    page = tmp_path / "mixlens-runs" / "study" / "report.html"
    assert "Test accuracy of each head" in text_of(page.read_text(encoding="utf-8"))
    table = read_record(page.parent).table("classifier")
    assert set(table["head"].dropna()) == {"root", "vowel", "consonant"}
    assert table.groupby("augmentation").size().to_dict() == {"baseline": 12, "fmix": 12}
