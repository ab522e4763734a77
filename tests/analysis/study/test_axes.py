"""Several values of a setting: the points they make, their names, and that a point is the study typed alone."""

import re

import pytest
from helpers import BACKEND, stand_in

from mixlens.analysis.errors import InputError
from mixlens.analysis.interface import Machine, Study
from mixlens.analysis.study.conduct import prepare
from mixlens.analysis.study.plan import plan
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_studies, read_study
from mixlens.cli import studies as commands
from mixlens.cli.main import main

SECTIONS = installed_sections()
BASE = {"name": "mine", "data": "photos", "seeds": 1, "augmentations": ["baseline", "mixup"], "sections": ["vae"]}


def read(**overrides):
    return read_studies(None, SECTIONS, BASE | overrides)


def test_several_axes_give_their_product_in_order_of_value():
    made = read(train_size=[10000, None, 2500], vae={"epochs": [12, 3], "learning_rate": 0.01})
    assert [(study.train_size, study.settings["vae"].epochs) for study in made] == [
        *((2500, 3), (2500, 12), (10000, 3), (10000, 12), (None, 3), (None, 12))
    ]
    assert made[0].name == "mine (train_size=2500, epochs=3)"
    assert made[-1].name == "mine (train_size=all, epochs=12)"
    assert {study.sweep for study in made} == {"mine"}
    assert {study.settings["vae"].learning_rate for study in made} == {0.01}


def test_a_section_stands_in_a_name_where_two_have_the_setting():
    made = read(sections=["vae", "classifier"], vae={"epochs": [1, 2]})
    assert [study.name for study in made] == ["mine (vae.epochs=1)", "mine (vae.epochs=2)"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"mix_mode": ["elem", "batch"]}, ["mine (mix_mode=elem)", "mine (mix_mode=batch)"]),
        ({"flip": [True, False]}, ["mine (flip=true)", "mine (flip=false)"]),
        ({"learning_rate": ["3e-3", 0.001]}, ["mine (learning_rate=0.001)", "mine (learning_rate=0.003)"]),
    ],
)
def test_numbers_words_and_truth_values_are_values(settings, names):
    assert [study.name for study in read(vae=settings)] == names


def test_a_list_inside_of_a_specification_is_one():
    made = read(sections=["classifier"], classifier={"model": "preact-resnet18(width=[16,8])"})
    assert [study.name for study in made] == ["mine (width=8)", "mine (width=16)"]
    assert [study.settings["classifier"].model for study in made] == [
        *("preact-resnet18(width=8)", "preact-resnet18(width=16)")
    ]
    both = read(sections=["classifier"], classifier={"model": ["torchvision:resnet18", "preact-resnet18(width=8)"]})
    assert all(re.fullmatch(r"[^/\\:*?\"<>|]+", study.name) for study in both), "names are folders"
    assert len({study.name for study in both}) == 2


def test_what_is_a_list_by_nature_stays_one():
    made = read(sections=["robustness"], seeds=[0, 1], robustness={"epsilons": [0, 0.1], "attacks": ["pgd", "fgsm"]})
    assert [study.name for study in made] == ["mine"]
    assert made[0].settings["robustness"].epsilons == (0, 0.1)


def test_one_value_in_a_list_is_that_value_and_no_sweep():
    (study,) = read(train_size=[2500], vae={"epochs": [3]})
    assert (study.name, study.sweep, study.train_size, study.settings["vae"].epochs) == ("mine", "", 2500, 3)


def test_settings_of_a_section_that_is_not_asked_for_make_no_points():
    assert [study.name for study in read(classifier={"epochs": [1, 2]})] == ["mine"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"vae": {"epochs": []}}, "vae.epochs is an empty list"),
        ({"train_size": []}, "train_size is an empty list"),
        ({"vae": {"epochs": [1, 2, 1]}}, "vae.epochs lists 1 twice"),
        ({"vae": {"learning_rate": [1, "1.0"]}}, "vae.learning_rate lists 1.0 twice"),
        ({"vae": {"epochs": [0, 1]}}, "vae: epochs must be at least 1, got 0"),
        ({"vae": {"epochs": [1, "many"]}}, "vae.epochs must be a whole number, got 'many'"),
        ({"vae": {"mix_mode": ["elem", "elm"]}}, "Did you mean 'elem'"),
        ({"classifier": {"model": "net(width=[])"}}, "width is an empty list"),
        ({"classifier": {"model": "net(width=[8,8])"}}, "width lists 8 twice"),
        ({"data": ["photos", "cifar10"]}, "study.data must be text"),
    ],
)
def test_a_bad_axis_is_one_message_with_key_and_value(overrides, message):
    with pytest.raises(InputError, match=re.escape(message)):
        read(**overrides)


def test_a_point_that_is_read_again_is_itself_and_a_sweep_is_no_single_study():
    for study in read(vae={"epochs": [1, 2]}):
        assert read_study(None, SECTIONS, study.describe()) == study
    with pytest.raises(InputError, match="several values of a setting"):
        read_study(None, SECTIONS, BASE | {"vae": {"epochs": [1, 2]}})
    with pytest.raises(InputError, match="several values of a setting"):
        prepare(Study(name="mine", data="photos", train_size=[100, 200]), Machine())


def test_variants_and_axes_are_one_mechanism(tmp_path):
    text = "name: mine\nsections: [vae]\ndata: photos\nvae: {epochs: [1, 2]}\n"
    (tmp_path / "s.yaml").write_text(
        f"{text}variants: {{small: {{train_size: [100, 200]}}, slow: {{vae: {{epochs: 9}}}}}}"
    )
    names = [study.name for study in read_studies(str(tmp_path / "s.yaml"), SECTIONS)]
    assert names == [
        "mine (epochs=1)",
        "mine (epochs=2)",
        *(f"mine-small (train_size={size}, epochs={epochs})" for size in (100, 200) for epochs in (1, 2)),
        "mine-slow",
    ]


def test_a_file_and_the_command_line_say_the_same(tmp_path, monkeypatch):
    found = []

    def caught(installed, source, overrides, machine, command, dry_run=False):
        return found.append(read_studies(source, installed, overrides)) or 0

    monkeypatch.setattr(commands, "_run", caught)
    settings = (
        "name: mine\ndata: photos\nseeds: 1\nsections: [classifier]\ntrain_size: [200, 100, null]\n"
        "classifier:\n  learning_rate: [0.1, 0.01]\n  schedule: [step, one-cycle]\n"
        "  model: preact-resnet18(width=[2, 4])\n"
    )
    (tmp_path / "s.yaml").write_text(settings)
    assert main(["run", str(tmp_path / "s.yaml")]) == 0
    words = "--classifier.learning-rate 0.1,0.01 --classifier.schedule step,one-cycle --train-size 200,100,none"
    model = ["--classifier.model", "preact-resnet18(width=[2,4])"]
    assert main(["train", "--name", "mine", "--data", "photos", "--seeds", "1", *words.split(), *model]) == 0
    assert found[0] == found[1]
    assert len(found[0]) == 24


def test_the_tasks_of_a_point_are_those_of_the_study_typed_alone():
    dataset = stand_in()
    for point in read(vae={"epochs": [1, 2], "learning_rate": [0.01, 0.02]}):
        kept = point.settings["vae"]
        (alone,) = read(vae={"epochs": kept.epochs, "learning_rate": kept.learning_rate})
        names = [[task.name for task in plan(study, SECTIONS, dataset, BACKEND)] for study in (point, alone)]
        assert names[0] == names[1]


def test_names_are_no_part_of_a_key_and_tasks_are_called_by_them():
    dataset = stand_in()
    named, plain = (
        plan(read(augmentations=["baseline", text])[0], SECTIONS, dataset, BACKEND)
        for text in ("soft=fmix(alpha=5)", "fmix(alpha=5)")
    )
    assert [task.name for task in named] == [task.name for task in plain]
    labels = [task.label for task in named]
    assert "train VAE, soft, seed 0" in labels
    assert not any("fmix" in label for label in labels)
