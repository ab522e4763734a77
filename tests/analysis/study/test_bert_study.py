"""BERT's row of Table 5: its recipe is Table 8's, its cost as counted; it plans with a model and data where it says."""

import re
from pathlib import Path

import pytest
import torch
from encoders import save_bert
from torch.utils.flop_counter import FlopCounterMode

from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.sources import toxic
from mixlens.analysis.errors import InputError
from mixlens.analysis.study.plan import plan
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_study
from mixlens.analysis.training.backend import make_backend
from mixlens.classifier.train import make_schedule
from mixlens.reports.paper import Setup, values

STUDY = Path(__file__).parents[3] / "studies" / "table5-toxic-bert.yaml"
SECTIONS = installed_sections()
TEXT = " ".join(line[2:] for line in STUDY.read_text(encoding="utf-8").splitlines() if line.startswith("# "))
COMMENTS = 159_571  # to train on


def write_toxic(root, count):
    """The three files of the data, with so many comments in each."""
    folder = root / toxic.FOLDER
    folder.mkdir()
    heads = ",".join(toxic.HEADS)
    train, test, labels = [f"id,comment_text,{heads}"], ["id,comment_text"], [f"id,{heads}"]
    for number in range(count):
        text, label = f"this film is {('bad', 'good')[number % 2]} [SEP]", ",".join(str(number % 2) * len(toxic.HEADS))
        train.append(f"a{number},{text},{label}")
        test.append(f"b{number},{text}")
        labels.append(f"b{number},{label}")
    for name, lines in zip(toxic.FILES, (train, test, labels), strict=True):
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_its_recipe_is_table_8s():
    study = read_study(str(STUDY), SECTIONS)
    settings = study.settings["classifier"]
    assert (settings.epochs, settings.batch_size, settings.learning_rate) == (5, 32, 1e-5)
    assert (settings.optimizer, settings.weight_decay) == ("adam", 0)
    schedule = make_schedule(settings)
    assert [schedule(epoch) for epoch in (0, 2.99, 3, 4.99)] == pytest.approx([1, 1, 0.1, 0.1])
    assert len(study.seeds) == 5
    assert study.augmentations == ("baseline", "fmix(alpha=0.1)", "fmix-official(alpha=0.1)")
    printed = values("classifier", Setup.of({"data": study.data, "classifier": {"model": settings.model}}))
    numbers = [printed[name]["roc_auc"] for name in ("baseline", "fmix(alpha=0.1)")]
    assert re.findall(r"\d+\.\d+ ± \d+\.\d+", TEXT) == [f"{one.value:.2f} ± {one.sd:.2f}" for one in numbers]


def test_its_cost_is_as_counted():
    from transformers import BertConfig, BertModel

    with torch.device("meta"):
        encoder = BertModel(BertConfig(vocab_size=28_996, attn_implementation="eager"), add_pooling_layer=False).train()
        with FlopCounterMode(display=False) as counter:
            encoder(torch.ones(1, 128, dtype=torch.long)).last_hidden_state.sum().backward()
    each, parameters = counter.get_total_flops() / 2, sum(one.numel() for one in encoder.parameters())
    trainings, texts, millions, billions, digits = re.search(
        r"Cost: (\d+) trainings of ([\d.]+) million comments each. The network has ([\d.]+) million parameters and "
        r"takes up to ([\d.]+) billion multiply-adds a comment, forward and backward: ([\d.]+)·10¹⁶ a training\.",
        TEXT,
    ).groups()
    study = read_study(str(STUDY), SECTIONS)
    assert int(trainings) == len(study.seeds) * len(study.augmentations)
    assert float(texts) == pytest.approx(COMMENTS * 5 / 1e6, abs=0.01)
    assert parameters / 1e6 == pytest.approx(float(millions), abs=0.05)
    assert each / 1e9 == pytest.approx(float(billions), abs=0.05)
    assert float(digits) * 1e16 == pytest.approx(COMMENTS * 5 * each, rel=0.02)


def test_it_plans_with_a_model_and_data_where_it_says(here):
    """A tiny model of that name; what is no number of a word there is unknown to it."""
    study = read_study(str(STUDY), SECTIONS)
    write_toxic(here, 40)
    with pytest.raises(InputError, match="'bert-base-cased' is no folder"):
        load_dataset(study.data, here)
    save_bert(here / "bert-base-cased")
    dataset = load_dataset(study.data, here)
    assert dataset.train.images[0].tolist() == [2, 11, 6, 1, 9, 12, 1, 13, 3], "a [SEP] that somebody wrote is text"
    tasks = plan(study, SECTIONS, dataset, make_backend("cpu", "fp32"))
    trained = [task for task in tasks if task.kind == "classifier-train"]
    assert len({task.name for task in trained}) == len(trained) == 15
