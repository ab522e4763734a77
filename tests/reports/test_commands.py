"""The command that makes a section again, read back as a user's own."""

import json
import shlex

import pytest

from mixlens.analysis.store.record import StudyRecord, combine
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_studies, read_study
from mixlens.cli import studies
from mixlens.cli.main import main
from mixlens.reports.commands import commands_of


def record_of(study, folder):
    settings = json.loads(json.dumps(study.describe()))
    return StudyRecord(folder, study.name, "mixlens run", settings, "2026-01-01T00:00:00+00:00", folder, ())


@pytest.mark.parametrize(
    ("source", "overrides"),
    [
        ("demo", {}),
        ("cpu", {"name": "it's $HOME; a study", "seeds": [3]}),
        ("paper", {"train_size": 500, "subset_seed": 7, "augmentations": ["baseline", "fmix(alpha=1,decay_power=2)"]}),
        (
            "cpu",
            {
                "classifier": {
                    "flip": False,
                    "milestones": [0.2, 0.4, 0.9],
                    "learning_rate": 1e-5,
                    "mean": [0.1, 0.2, 0.3],
                },
                "gradcam": {"upsample": True, "layers": ["stem", "stages.0"], "target": "3"},
                "robustness": {"attacks": ["pgd(steps=3)", "fgsm"], "epsilons": [0, 0.1], "images": 7},
                "calibration": {"smoothing": [0.2]},
            },
        ),
    ],
)
def test_the_command_of_a_section_has_the_studys_settings(source, overrides, monkeypatch, tmp_path):
    study = read_study(source, installed_sections(), overrides)

    def again(installed, source, overrides, machine, command, dry_run=False):
        return found.append(read_study(source, installed, overrides)) or 0

    monkeypatch.setattr(studies, "_run", again)
    for section in study.sections:
        found = []
        (command,) = commands_of(record_of(study, tmp_path), section)
        program, *arguments = shlex.split(command)
        assert program == "mixlens"
        assert main(arguments) == 0
        (made,) = found
        for key in ("name", "data", "train_size", "subset_seed", "augmentations", "seeds"):
            assert getattr(made, key) == getattr(study, key), command
        assert made.settings == {name: study.settings[name] for name in made.settings}, command


def test_a_report_of_several_studies_gives_the_command_of_each(tmp_path):
    installed = installed_sections()
    first = read_study("demo", installed, {"sections": ["vae"]})
    second = read_study("demo", installed, {"name": "second", "sections": ["vae", "classifier"]})
    both = combine([record_of(study, tmp_path) for study in (first, second)])
    assert [command.split()[:4] for command in commands_of(both, "vae")] == [
        ["mixlens", "vae", "--name", "demo"],
        ["mixlens", "vae", "--name", "second"],
    ]
    assert [command.split()[:4] for command in commands_of(both, "classifier")] == [
        ["mixlens", "train", "--name", "second"]
    ]
    heatmaps = [record_of(read_study("demo", installed, {"name": n, "sections": ["gradcam"]}), tmp_path) for n in "ab"]
    (command,) = commands_of(combine(heatmaps), "classifier")
    assert command.startswith("mixlens train --name a "), "none lists it: the first that uses it"


def test_points_of_a_sweep_have_one_command_with_the_names_of_augmentations(monkeypatch, tmp_path):
    installed, found = installed_sections(), []
    overrides = {"name": "mine", "data": "photos", "seeds": 1, "sections": ["vae"], "train_size": [100, None]}
    overrides |= {"augmentations": "baseline,soft=fmix(alpha=[2,5])", "vae": {"epochs": [1, 100]}}
    points = read_studies(None, installed, overrides)

    def again(installed, source, overrides, machine, command, dry_run=False):
        return found.append(read_studies(source, installed, overrides)) or 0

    monkeypatch.setattr(studies, "_run", again)
    record = combine([record_of(point, tmp_path / point.name) for point in points], mixed=True)
    (command,) = commands_of(record, "vae")
    assert main(shlex.split(command)[1:]) == 0
    assert found == [points], command
