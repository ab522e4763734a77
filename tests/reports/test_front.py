"""The front page: cells and sentences by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from terms import front_of as page
from terms import measured

from mixlens.analysis.interface import Arm
from mixlens.analysis.presentation.numbers import change, level
from mixlens.analysis.statistics.effect import Measured
from mixlens.analysis.statistics.family import family_of
from mixlens.analysis.statistics.proportion import proportion
from mixlens.analysis.statistics.seeds import student_mean
from mixlens.analysis.store.record import StudyRecord, TaskRecord
from mixlens.reports.front import front_page
from mixlens.reports.paper import CIFAR10


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
        "Robustness: higher with MixUp (by 1); nothing else can be told from the baseline after correction.",
        "After correction no difference to the baseline can be told in evidence spread.",
    ]


def test_the_papers_differences_stand_beside_ours_on_its_data_alone():
    own = measured("rate", {"baseline": 50.0, "mixup": 40.0, "mine": 1.0}, front="Bound")
    settings = {"augmentations": ("baseline", "mixup", "mine")}
    record = StudyRecord(Path(), "s", "", settings, "", Path(), ())
    (column,) = front_page(record, {"vae": [own]}, {"s": CIFAR10}).columns
    assert column.printed == (None, pytest.approx(70.38 - 78.05), None)
    assert front_page(record, {"vae": [own]}).columns[0].printed == (None, None, None)


def test_a_study_without_a_baseline_has_values_and_no_changes():
    (column,) = page({"vae": [measured("rate", {"mixup": 1.0}, front="Information kept")]}, "mixup").columns
    assert [(bool(cell.value), cell.change) for cell in column.cells] == [(True, None)]


# what is said of the differences, by what they are of


def few(quantity, values, seeds, **options):
    """`measured`, of so many seeds."""
    whole = measured(quantity, values, spread=1.0, **options)
    return replace(whole, terms={key: terms for key, terms in whole.terms.items() if key[1] < seeds})


def test_how_differences_are_judged_is_said_once_with_their_number():
    answers = {
        "vae": [measured("rate", {"baseline": 5.0, "mixup": 4.0, "fmix": 4.5}, front="Bound")],
        "gradcam": [measured("sum", {"baseline": 1.0, "mixup": 1.0, "fmix": 1.0}, spread=1.0, front="Spread")],
    }
    caption = page(answers, "baseline", "mixup", "fmix").caption
    assert "These 4 are one family: p is corrected for their number (Holm), and ↑ or ↓ stands where p" in caption
    assert "stands where p\u00a0<\u00a0.05" in caption
    assert "with its 95% interval over both" in caption
    assert "Over images" not in caption


def test_of_one_seed_there_are_intervals_over_images_and_no_judgement():
    right = np.arange(200) < 150
    other = np.arange(200) < 160
    terms = {(Arm("s", "baseline"), 0): right, (Arm("s", "mixup"), 0): other}
    one = Measured("accuracy", "Test accuracy", "%", terms, 100, "Accuracy")
    front = page({"classifier": [one]}, "baseline", "mixup")
    (column,) = front.columns
    low, high = (100 * end for end in proportion(150, 200).interval[:2])
    assert column.cells[0].value == f"75.0 [{low:.1f}, {high:.1f}]", "Wilson's"
    assert change(column.cells[1].change) == "+5.0 [+2.0, +8.0] (these networks)"
    assert front.sentences == [front.sentences[0]]
    assert front.sentences[0].startswith("One cannot tell what augmentations do: that takes 3 seeds or more.")
    assert "over images alone: with fewer than 3 seeds one cannot tell about trainings" in front.caption
    assert "family" not in front.caption


def test_what_is_no_share_has_students_interval_over_images():
    own = few("rate", {"baseline": 5.0}, 1, front="Bound")
    ((cell,),) = (column.cells for column in page({"vae": [own]}, "baseline").columns)
    mean = student_mean(own.terms[Arm("s", "baseline"), 0])
    assert cell.value == level(*mean)


def test_networks_as_given_are_the_question_themselves():
    """Two checkpoints: what differs on images is judged, and no word of trainings."""
    answers = {"classifier": [few("accuracy", {"baseline": 0.0, "mine": 1.0}, 1, front="Accuracy")]}
    varied = {
        key: terms + np.random.default_rng(1).random(200) * (key[0].augmentation == "mine")
        for key, terms in answers["classifier"][0].terms.items()
    }
    answers = {"classifier": [replace(answers["classifier"][0], terms=varied)]}
    loaded = TaskRecord("load-0", "classifier-load", "classifier", "", (), "pending")
    settings = {"augmentations": ("baseline", "mine")}
    family = family_of(answers, as_given=True)
    front = front_page(StudyRecord(Path(), "s", "", settings, "", Path(), (loaded,), family=family), answers)
    assert front.as_given
    assert change(front.columns[0].cells[1].change).endswith("↑ p < .001")
    assert "the question is how these networks differ, not what other trainings would give" in front.caption
    assert front.sentences == ["Accuracy: higher with mine (by 1.508)."]


def test_without_a_baseline_nothing_is_compared_and_the_page_says_so():
    front = page({"vae": [measured("rate", {"mixup": 1.0}, front="Bound")]}, "mixup")
    assert front.caption.endswith("No baseline was measured, so nothing is compared.")
    assert front.sentences == []
