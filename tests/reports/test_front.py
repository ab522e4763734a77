"""The front page: cells and sentences by hand."""

from pathlib import Path

import pytest
from terms import front_of as page
from terms import measured

from mixlens.analysis.store.record import StudyRecord
from mixlens.reports.front import front_page


def test_a_cell_has_the_mean_its_spread_and_the_change():
    own = measured("accuracy", {"baseline": 0.8, "mixup": 0.9}, factor=100, unit="%", front="Accuracy")
    front = page({"classifier": [own]}, "baseline", "mixup")
    (column,) = front.columns
    assert front.names == ("Baseline", "MixUp")
    assert column.question == "Accuracy"
    assert column.quantity == "Accuracy (%)"
    assert [cell.value for cell in column.cells] == ["80.20 ± 0.20", "90.20 ± 0.20"]
    assert column.cells[0].change is None
    assert column.cells[1].change.value == pytest.approx(10)
    assert column.cells[1].change.direction == 1


def test_only_front_quantities_stand_there_and_what_is_missing_is_empty():
    one = measured("rate", {"baseline": 50.0, "mixup": 40.0}, front="Information kept")
    hidden = measured("mse", {"baseline": 1.0})
    two = measured("accuracy", {"baseline": 0.8, "fmix": 0.8}, front="Accuracy")
    front = page({"vae": [one, hidden], "classifier": [two]}, "baseline", "mixup", "fmix")
    assert [column.question for column in front.columns] == ["Information kept", "Accuracy"]
    assert [cell.value == "" for cell in front.columns[0].cells] == [False, False, True]
    assert front.columns[1].cells[1].change is None


def test_a_sentence_a_question_says_what_rises_what_falls_and_what_one_cannot_tell():
    answers = {
        "vae": [measured("rate", {"baseline": 50.0, "mixup": 40.0, "fmix": 45.0}, front="Bound", unit="nats")],
        "robustness": [measured("worst case", {"baseline": 1.0, "mixup": 2.0, "fmix": 1.0}, front="Robustness")],
        "gradcam": [measured("sum", {"baseline": 1.0, "mixup": 1.0, "fmix": 1.0}, spread=1.0, front="Evidence spread")],
        "classifier": [measured("accuracy", {"mixup": 1.0}, front="Accuracy")],
    }
    front = page(answers, "baseline", "mixup", "fmix")
    assert front.sentences == [
        "Bound: lower with MixUp (by 10 nats) and FMix (by 5 nats).",
        "Robustness: higher with MixUp (by 1); nothing else can be told from the baseline.",
        "No difference to the baseline can be told in evidence spread.",
    ]


def test_the_papers_differences_stand_beside_ours_on_its_data_alone():
    own = measured("rate", {"baseline": 50.0, "mixup": 40.0, "mine": 1.0}, front="Bound")
    settings = {"augmentations": ("baseline", "mixup", "mine")}
    record = StudyRecord(Path(), "s", "", settings, "", Path(), ())
    (column,) = front_page(record, {"vae": [own]}, papers_data=True).columns
    assert column.printed == (None, pytest.approx(70.38 - 78.05), None)
    assert front_page(record, {"vae": [own]}).columns[0].printed == (None, None, None)


def test_a_study_without_a_baseline_has_values_and_no_changes():
    (column,) = page({"vae": [measured("rate", {"mixup": 1.0}, front="Information kept")]}, "mixup").columns
    assert [(bool(cell.value), cell.change) for cell in column.cells] == [(True, None)]
