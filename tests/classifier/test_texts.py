"""Classifiers of texts, from a study to its report: every augmentation, resuming, what is refused."""

import re
from dataclasses import replace

import pytest
import torch
from helpers import BACKEND, record_of, rows_of, sections_of, tasks_of, text_of, tiny_study, work
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from terms import in_family
from texts import WORDS, labelled_texts, text_dataset
from torch import nn

from mixlens.analysis.data.dataset import Vocabulary
from mixlens.analysis.data.modalities import text
from mixlens.analysis.errors import InputError
from mixlens.analysis.models.text_networks import TextNetwork
from mixlens.analysis.store.runs import MODEL
from mixlens.analysis.study.plan import plan
from mixlens.analysis.training.progress import Reporter
from mixlens.analysis.training.recipe import Recipe
from mixlens.classifier import figures
from mixlens.classifier.train import make_step
from mixlens.reports.facts import facts
from mixlens.reports.paper import Setup, values
from mixlens.reports.report import write_report

TOXIC = Setup("toxic", "text-cnn")
EVERY = [
    "baseline",
    "mixup",
    "cutmix",
    "fmix",
    "fmix(variant='official')",
    "fmix+mixup",
    "fmix(alpha=0.2)",
]
SMALL = {
    "model": "text-cnn(channels=8,width=8)",
    "optimizer": "adam",
    "learning_rate": 0.01,
    "weight_decay": 0,
    "batch_size": 16,
    "epochs": 2,
    "precision": "fp32",
}
MINE = f"""
import torch
from torch import nn


class NoHalves(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding({WORDS + 1}, 8, padding_idx=0)
        self.out = nn.Linear(8, 2)

    def forward(self, ids):
        return self.out(self.table(ids).sum(1))


class Embed(nn.Module):
    def __init__(self, padding_idx=0):
        super().__init__()
        self.table = nn.Embedding({WORDS + 1}, 8, padding_idx=padding_idx)

    def forward(self, ids):
        return self.table(ids).mT


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(8, 2)

    def forward(self, x):
        return self.out(x.mean(2))


class Sum(Mean):
    def forward(self, x):
        return self.out(x.sum(2))


class Own(nn.Module):
    def __init__(self, embed, body):
        super().__init__()
        self.embed, self.body = embed, body

    def forward(self, ids):
        return self.body(self.embed(ids))


def padded_mean():
    return Own(Embed(), Mean())


def coloured_padding():
    return Own(Embed(padding_idx=None), Sum())


def good():
    return Own(Embed(), Sum())


def words_of_mine(num_classes, num_words):
    assert num_words == {WORDS}
    return good()


class Detached(Sum):
    def forward(self, x):
        return super().forward(x.detach()).detach() if self.training else super().forward(x)


def detached():
    return Own(Embed(), Detached())


def turned():
    return lambda x, y, *, generator=None: (x.flip(2), y)
"""


@pytest.fixture(scope="module")
def dataset():
    return text_dataset()


def study(section="classifier", **values):
    return tiny_study(section, classifier={**SMALL, **values.pop("classifier", {})}, **values)


@pytest.mark.parametrize("model", ["text-cnn(channels=8,width=8)", "text-lstm(channels=8,width=4)"])
@pytest.mark.parametrize("mode", ["published", "elem"])
def test_every_augmentation_trains_on_embeddings(dataset, tmp_path, model, mode):
    own = study(augmentations=EVERY, classifier={"model": model, "epochs": 1, "mix_mode": mode})
    tasks, outcome = work(tmp_path, own, dataset)
    assert not outcome.failed
    rows = rows_of(tasks, outcome)
    assert {row.augmentation for row in rows} >= {"baseline", "mixup", "cutmix", "fmix"}
    losses = {(row.augmentation, row.value) for row in rows if row.quantity == "nll"}
    assert len({value for _, value in losses}) == len(EVERY), "each trains another network"


def test_it_learns(dataset, tmp_path):
    tasks, outcome = work(tmp_path, study(classifier={"epochs": 8}, augmentations=["baseline", "fmix"]), dataset)
    accuracies = [row.value for row in rows_of(tasks, outcome) if row.quantity == "accuracy"]
    assert min(accuracies) > 0.8, accuracies


@pytest.mark.parametrize("model", [SMALL["model"], "text-cnn(width=4,frozen=True)"])
def test_a_stopped_training_goes_on_bit_for_bit(model, tmp_path, monkeypatch):
    """Stopped after its first epoch's checkpoint, as a kill would; of what is not trained it holds no moments."""
    dataset = text_dataset(vectors=torch.randn(WORDS, 8, generator=torch.Generator().manual_seed(0)))
    own = study(augmentations=["fmix"], classifier={"epochs": 3, "model": model})
    (whole,), outcome = work(tmp_path / "whole", own, dataset)
    (trained,) = whole.inputs
    expected = load_file(outcome.done[trained.name] / MODEL)

    seen = []

    def stop(reporter, text, history):
        seen.append(text)
        if len(seen) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Reporter, "epoch", stop)
    with pytest.raises(KeyboardInterrupt):
        work(tmp_path / "stopped", own, dataset)
    _, outcome = work(tmp_path / "stopped", own, dataset)
    found = load_file(outcome.done[trained.name] / MODEL)
    assert [text.split(",")[0] for text in seen] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_vectors_are_where_its_embedding_begins(tmp_path):
    vectors = torch.randn(WORDS, 5, generator=torch.Generator().manual_seed(0))
    own = study(classifier={"model": "text-cnn(width=4)", "learning_rate": 1e-9}, augmentations=["baseline"])
    (task,), outcome = work(tmp_path, own, text_dataset(vectors=vectors))
    weights = load_file(outcome.done[task.inputs[0].name] / MODEL)["embed.table.weight"]
    torch.testing.assert_close(weights[1:], vectors, atol=1e-5, rtol=0)
    assert not weights[0].any()


def test_frozen_vectors_stay_and_the_rest_learns(tmp_path):
    vectors = torch.randn(WORDS, 5, generator=torch.Generator().manual_seed(0))
    own = study(classifier={"model": "text-cnn(width=4,frozen=True)", "weight_decay": 0.1}, augmentations=["fmix"])
    (task,), outcome = work(tmp_path, own, text_dataset(vectors=vectors))
    weights = load_file(outcome.done[task.inputs[0].name] / MODEL)
    assert torch.equal(weights["embed.table.weight"][1:], vectors)
    losses = [epoch["train_loss"] for epoch in outcome.done[task.inputs[0].name].read_history("train_loss")]
    assert losses[-1] < losses[0]


def test_what_is_frozen_without_vectors_is_refused(dataset):
    with pytest.raises(InputError, match=r"frozen=True keeps the data's vectors, of which there are none; name a file"):
        tasks_of(study(classifier={"model": "text-lstm(frozen=True)"}), dataset)


def test_its_calibration_is_measured(dataset, tmp_path):
    tasks, outcome = work(tmp_path, study("calibration", augmentations=["baseline", "mixup"]), dataset)
    assert not outcome.failed
    assert "ece" in {row.quantity for row in rows_of(tasks, outcome)}


# what is refused before anything is trained


@pytest.mark.parametrize(
    ("section", "settings", "told"),
    [
        ("robustness", {}, "the section 'robustness' is of .*, and data set 'few-texts' has texts. Leave"),
        ("gradcam", {}, "the section 'gradcam' is of .* has texts"),
        ("representations", {}, "the section 'representations' is of .* has texts"),
        ("classifier", {"model": "preact-resnet18"}, "'preact-resnet18' takes no texts. Give one of .*text-cnn"),
        ("classifier", {"model": "torchvision:resnet18"}, "takes no texts"),
        ("classifier", {"model": "{mine}:NoHalves"}, "NoHalves does not say what is mixed of a text.*`embed`"),
        ("classifier", {"model": "{mine}:padded_mean"}, "other logits when more padding follows it"),
        ("classifier", {"model": "{mine}:coloured_padding"}, "other logits when more padding follows it"),
        ("classifier", {"model": "{mine}:detached"}, "no gradient comes from what the network returns"),
        ("classifier", {"transforms": "randaugment"}, "--transforms 'randaugment' are of images or recordings"),
        ("classifier", {"size": 32}, "classifier.size resizes images, and these are texts"),
        ("classifier", {"mean": [0.5], "std": [0.5]}, "classifier.mean is of images, and these are texts"),
        ("classifier", {"model": "text-cnn(channels=0)"}, "channels"),
    ],
)  # fmt: skip
def test_what_is_no_way_with_texts(mine, dataset, section, settings, told):
    settings = {name: value.format(mine=mine) if name == "model" else value for name, value in settings.items()}
    own = study(section, classifier=settings)
    with pytest.raises(InputError, match=told):
        plan(own, sections_of(section), dataset, BACKEND)


def test_a_vae_is_of_anything_else(dataset):
    with pytest.raises(
        InputError, match="'vae' is of images, recordings and volumes, and data set 'few-texts' has texts"
    ):
        plan(tiny_study("vae"), sections_of("vae"), dataset, BACKEND)


def test_networks_of_texts_take_no_images():
    from helpers import stand_in

    with pytest.raises(InputError, match=r"model 'text-cnn' takes no images. Give one of"):
        tasks_of(study(classifier={"model": "text-cnn"}), stand_in())


@pytest.mark.parametrize("model", ["good", "words_of_mine"])
def test_a_network_and_an_augmentation_of_ones_own(mine, dataset, tmp_path, model):
    own = study(classifier={"model": f"{mine}:{model}", "epochs": 1}, augmentations=["baseline", f"{mine}:turned"])
    _, outcome = work(tmp_path, own, dataset)
    assert not outcome.failed


class Rank:
    """One of several processes, as far as a step looks at one."""

    def __init__(self, rank):
        self.rank, self.seen = rank, []

    def divided(self, means, mixed, y, seed):
        self.seen.append(mixed[0].detach())
        torch.manual_seed(seed + self.rank)
        return {}


def test_processes_that_share_a_training_drop_the_same_words():
    embed = nn.Sequential(nn.Embedding(WORDS + 1, 8, padding_idx=0), nn.Dropout1d(0.5))
    embed.register_forward_hook(lambda embed, ids, x: x.mT)
    network = TextNetwork(embed, nn.Flatten())
    ids, y = torch.randint(1, WORDS, (4, 7)), torch.arange(4)
    both = Rank(0), Rank(1)
    for rank in both:
        torch.manual_seed(rank.rank)
        generators = {"mixing": torch.Generator().manual_seed(0)}
        recipe = Recipe(network, None, None, None, None, [], 1)
        step = make_step(recipe, None, generators, replace(BACKEND, ranks=rank), None, text)
        for number in range(2):
            step(ids, y, number)
    first, second = (rank.seen for rank in both)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], first[1])


# several labels at once


@pytest.fixture(scope="module")
def record(tmp_path_factory):
    own = study(classifier={"epochs": 6}, seeds=[0, 1, 2])
    return record_of(tmp_path_factory.mktemp("labels"), own, labelled_texts())


def test_the_area_of_each_head_and_their_mean(record):
    rows = record.table("classifier")
    labels = labelled_texts().test.labels.numpy()
    for run in set(rows["run"]):
        own = rows[(rows["run"] == run) & (rows["quantity"] == "roc_auc")].set_index("head", drop=False)
        arrays = record.run(run).read_arrays()
        areas = []
        for place, head in enumerate(("rude", "long_winded", "first")):
            scores = arrays[f"logits:{head}"]
            areas.append(roc_auc_score(labels[:, place], scores[:, 1] - scores[:, 0]))
            assert own.loc[head, "value"] == pytest.approx(areas[-1])
            assert arrays[f"roc_auc:{head}"].mean() == pytest.approx(areas[-1])
        mean = own[own["head"].isna()].iloc[0]
        assert mean["value"] == pytest.approx(sum(areas) / 3)
        assert mean["stderr"] == pytest.approx(arrays["roc_auc"].std(ddof=1) / 48**0.5)
        assert mean["note"] == ""


def test_the_table_of_areas_and_the_front_page(record):
    *_, table = figures.tables(in_family(record, "classifier", figures), {})
    assert table.header == ("Augmentation", "Mean (%)", "Rude (%)", "Long winded (%)", "First (%)")
    rows = record.table("classifier")
    means = rows[(rows["quantity"] == "roc_auc") & rows["head"].isna() & (rows["augmentation"] == "mixup")]
    assert table.rows[1][1].startswith(f"{100 * means['value'].mean():.0f}"[:1])
    assert "\n" in table.rows[1][1], "the difference to the baseline"
    front = [one for one in figures.measured(record) if one.front]
    assert [one.quantity for one in front] == ["roc_auc"]


def test_the_page_has_them(record, tmp_path):
    text = text_of(write_report(record, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "ROC-AUC of each head" in text
    assert "Mean ROC-AUC" in text
    assert "roc-auc" not in re.sub("classifier-roc-auc|roc_auc", "", text), "it is no word to be written small"


def test_the_accuracy_at_a_reports_head_is_of_whole_labels(record):
    rows = record.table("classifier")
    own = rows[(rows["quantity"] == "accuracy") & rows["head"].isna() & (rows["augmentation"] == "baseline")]
    shown = dict(facts(record))["Baseline's accuracy"]
    assert float(shown.split()[0]) == pytest.approx(100 * own["value"].mean(), abs=1)


def test_the_papers_areas_stand_beside_their_mean_and_nowhere_else(record):
    accuracy, _, areas = figures.tables(in_family(record, "classifier", figures), values("classifier", TOXIC))
    assert areas.header[:3] == ("Augmentation", "Mean (%)", "paper")
    assert [row[2] for row in areas.rows] == ["96.04 ± 0.16", "96.62 ± 0.10"]
    assert "Table 5" in areas.caption
    assert "paper" not in accuracy.header
    assert "Table 5" not in accuracy.caption


@pytest.mark.parametrize(
    ("places", "told"), [([2], "without first: all test labels are of one class"), ([0, 1, 2], "")]
)
def test_a_head_whose_test_labels_are_all_one_class_has_no_area(tmp_path, places, told):
    data = labelled_texts()
    data.test.labels[:, places] = 1
    record = record_of(tmp_path, study(classifier={"epochs": 1}), data)
    rows = record.table("classifier")
    assert not rows["value"].isna().any()
    areas = rows[rows["quantity"] == "roc_auc"]
    tables = figures.tables(record, {})
    if told:
        assert set(areas["head"].dropna()) == {"rude", "long_winded"}
        assert set(areas.loc[areas["head"].isna(), "note"]) == {told}
        assert told in tables[-1].caption
    else:
        assert areas.empty
        assert "There is no ROC-AUC: of each head all test labels are of one class." in tables[-1].caption
    assert figures.measured(record)


def test_the_loss_of_several_labels_is_the_sum_of_theirs(tmp_path):
    (task, *_), outcome = work(tmp_path, study(classifier={"epochs": 1}), labelled_texts())
    rows = [row for row in rows_of([task], outcome) if row.quantity == "nll"]
    whole = [row.value for row in rows if not row.params]
    assert whole == pytest.approx([sum(row.value for row in rows if row.params)])


def test_weights_of_another_vocabulary_say_what_to_do(dataset, tmp_path):
    (task,), outcome = work(tmp_path / "runs", study(augmentations=["baseline"]), dataset)
    file = outcome.done[task.inputs[0].name] / MODEL
    other = text_dataset(vectors=torch.randn(WORDS, 8))
    other = replace(other, vocabulary=Vocabulary((*other.vocabulary.words, "more")))
    assert tasks_of(study(classifier={"weights": [f"mine={file}"]}), dataset)
    told = rf"embed.table.weight is \({WORDS + 1}, 8\), not \({WORDS + 2}, 8\).* has {WORDS + 1}, .* its words= too"
    with pytest.raises(InputError, match=told):
        tasks_of(study(classifier={"weights": [f"mine={file}"]}), other)


def test_weights_that_are_not_there_are_no_matter_of_words(dataset):
    with pytest.raises(InputError, match=r"there are no weights at nowhere\.pt\.$"):
        tasks_of(study(classifier={"weights": ["mine=nowhere.pt"]}), dataset)


def test_weights_of_other_words_of_the_same_number_are_told_by_the_list_beside_them(dataset, tmp_path):
    """Weights brought along keep their list; those without one are taken at their word."""
    (task,), outcome = work(tmp_path / "runs", study(augmentations=["baseline"]), dataset)
    trained = outcome.done[task.inputs[0].name]
    brought = study(classifier={"weights": [f"mine={trained / MODEL}"]})
    (task,), outcome = work(tmp_path / "runs", brought, dataset)
    loaded = outcome.done[task.inputs[0].name]
    words = dataset.vocabulary.words
    other = replace(dataset, name="others", vocabulary=replace(dataset.vocabulary, words=("the", *words[1:])))
    for folder in (trained, loaded):
        told = rf"other words than 'others' has: their word 1 is '{words[0]}' \(by words.json .*, the data's 'the'\."
        with pytest.raises(InputError, match=told):
            tasks_of(study(classifier={"weights": [f"mine={folder / MODEL}"]}), other)
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes((trained / MODEL).read_bytes())
    taken = study(classifier={"weights": [str(alone)]})
    (task,), outcome = work(tmp_path / "others", taken, other)
    assert not (outcome.done[task.inputs[0].name] / "words.json").exists(), "nobody knows its words"
    for damaged in ("{}", "[", '["\\ud800"]'):
        (tmp_path / "words.json").write_text(damaged, encoding="ascii")
        with pytest.raises(InputError, match=r"words\.json, the words that the weights beside it know, is damaged"):
            tasks_of(taken, other)
