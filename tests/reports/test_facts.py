"""The box of a report's front page: at which scale it was made, and when to distrust it."""

from dataclasses import replace
from pathlib import Path

import pytest

from mixlens.analysis.interface import Row
from mixlens.analysis.statistics.proportion import proportion
from mixlens.analysis.store.record import StudyRecord, TaskRecord
from mixlens.reports.facts import facts, heading, warning


class Record(StudyRecord):
    """A study whose rows are the baseline's accuracies."""

    accuracies = ()
    tested = 10_000
    other = 0.99  # of MixUp
    interval = (None, None)
    measured = ("classifier", "accuracy")

    @property
    def _rows(self):
        section, quantity = self.measured
        base = Row("r", "s", section, "cifar10", "test", "baseline", "net", 0, quantity, 0.0, "", self.tested)
        low, high = self.interval
        other = replace(base, augmentation="mixup", value=self.other, ci_low=low, ci_high=high)
        return [other, *(replace(base, seed=seed, value=value) for seed, value in enumerate(self.accuracies))]

    def environments(self):
        return [{"hardware": "Some CPU", "torch": "2.0"}] * 3


def study(*accuracies, **settings):
    classifier = {"model": "preact-resnet18(width=16)", "epochs": 10, "schedule": "one-cycle", "weights": []}
    known = {"data": "cifar10", "train_size": None, "augmentations": ["baseline", "mixup"], "seeds": [0, 1]}
    record = Record(Path(), "s", "", known | {"classifier": classifier} | settings, "", Path(), (), classes=10)
    object.__setattr__(record, "accuracies", accuracies)
    return record


def near(record, **values):
    for name, value in values.items():
        object.__setattr__(record, name, value)
    return warning(record)


def test_the_box_says_data_network_schedule_and_what_it_reached():
    found = dict(facts(study(0.86, 0.88, train_size=2500)))
    assert found["Data"] == "cifar10, 2,500 training images"
    assert found["Classifier"] == "preact-resnet18(width=16), 10 epochs, one-cycle"
    assert found["Baseline's accuracy"] == "87.0 ± 1.4 %"
    assert found["Hardware"] == "Some CPU, torch 2.0"
    assert found["Test images"] == "10,000"
    assert "VAE" not in found


def test_of_several_data_sets_each_says_its_own_test_images():
    few = study(0.9, data="few")
    object.__setattr__(few, "tested", 30)
    both = replace(study(0.9), parts=(study(0.9), few))
    assert dict(facts(both))["Test images"] == "10,000; 30"


def test_a_brought_network_has_no_schedule():
    own = {"model": "my:net", "epochs": 200, "schedule": "step", "weights": ["a.pt", "b.pt"]}
    assert dict(facts(study(0.9, classifier=own)))["Classifier"] == "my:net, 2 as given"


@pytest.mark.parametrize(
    ("accuracies", "data", "warned"),
    [
        ((0.86, 0.87), "cifar10", True),
        ((0.9164,), "cifar10", False),  # the paper's 94.63, less 3 points, is 91.63
        ((0.9162,), "cifar10", True),
        ((0.5,), "photos", False),  # the paper's values are of its own data
        ((), "cifar10", False),
    ],
)
def test_networks_far_below_the_papers_are_warned_of(accuracies, data, warned):
    text = warning(study(*accuracies, data=data))
    assert bool(text) == warned
    if warned:
        assert f"{100 * sum(accuracies) / len(accuracies):.2f}% where the paper's has 94.63%" in text


@pytest.mark.parametrize(
    ("accuracy", "classes", "warned"),
    [(0.149, 10, True), (0.151, 10, False), (0.05, 10, True), (0.059, 100, True), (0.061, 100, False), (0.54, 2, True)],
)
def test_networks_within_five_points_of_chance_are_named(accuracy, classes, warned):
    text = near(study(0.9, data="photos"), other=accuracy, classes=classes)
    assert bool(text) == warned
    if warned:
        assert text.startswith(
            f"Near chance, {100 / classes:.3g}% of {classes} classes: MixUp ({100 * accuracy:.1f}%)."
        )


def test_a_network_whose_interval_holds_chance_is_near_it_however_few_its_images():
    """16 of 20 images right of two classes: 0.8; 12 of 20: Wilson's interval starts at 0.39."""
    record = study(data="photos")
    for right, warned in ((12, True), (16, False)):
        low, high = proportion(right, 20).interval[:2]
        assert bool(near(record, other=right / 20, classes=2, interval=(low, high))) == warned


def test_networks_whose_accuracy_is_known_from_an_attacks_images_alone_are_warned_of_too():
    clean = ("robustness", "clean_accuracy")
    assert "Near chance, 10% of 10 classes: MixUp (11.0%)" in near(study(0.9), measured=clean, other=0.11)
    assert near(study(0.9), measured=("vae", "rate"), other=0.11) == ""


def test_both_warnings_stand_where_both_are_true():
    text = warning(study(0.12, 0.13))
    assert "Near chance, 10% of 10 classes: Baseline (12.0, 13.0%)" in text
    assert "under-trained" in text


def test_networks_that_were_brought_are_headed_as_such_and_not_called_under_trained():
    loaded = TaskRecord("load-0", "classifier-load", "classifier", "", (), "done")
    two = replace(study(0.5), tasks=(loaded, replace(loaded, name="load-1")))
    object.__setattr__(two, "accuracies", (0.5,))
    assert heading(two) == "2 networks measured as given, on cifar10"
    assert heading(replace(two, tasks=(loaded,))).startswith("1 network measured")
    assert warning(two) == ""


def test_a_study_is_headed_by_its_title_or_by_what_it_is():
    assert heading(study(0.9, 0.9, title="My own")) == "My own"
    assert heading(study(0.9, 0.9)) == "MixUp on cifar10, 2 seeds"
