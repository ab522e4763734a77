"""A study from Python: what a notebook does, what it leaves, what it refuses."""

import pandas as pd
import pytest

from mixlens import Machine, Study, conduct
from mixlens.analysis.errors import InputError
from mixlens.analysis.store.record import read_record
from mixlens.analysis.study.conduct import prepare
from mixlens.classifier.config import ClassifierConfig

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
