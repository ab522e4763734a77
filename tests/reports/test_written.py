"""Settings as a person writes them, read back."""

import json
import re

import pytest

from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_studies
from mixlens.reports.written import as_written

SECTIONS = installed_sections()
BASE = {"name": "mine", "data": "photos", "seeds": [0], "sections": ["vae"]}


def described(**overrides):
    studies = read_studies(None, SECTIONS, BASE | overrides)
    return studies, [json.loads(json.dumps(study.describe())) for study in studies]


@pytest.mark.parametrize(
    ("texts", "written"),
    [
        (["baseline", "fmix(alpha=5)"], ["baseline", "fmix(alpha=5.0)"]),
        (["soft=fmix(alpha=5)"], ["soft=fmix(alpha=5.0)"]),
        (["st=my:a(width=[2,4],k='x')", "mixup"], ["st=my:a(k='x',width=[2, 4])", "mixup"]),
        (["st=my:a(width=[2,4],k=[1,3])"], ["st=my:a(width=[2, 4],k=[1, 3])"]),
    ],
)
def test_augmentations_stand_behind_their_names(texts, written):
    studies, settings = described(augmentations=texts)
    (found,) = as_written(settings)
    assert found["augmentations"] == written
    (again,), _ = described(augmentations=found["augmentations"])
    assert (again.augmentations, again.aliases) == (studies[0].augmentations, studies[0].aliases)


def test_points_of_a_sweep_are_written_together():
    studies, settings = described(train_size=[100, None], vae={"epochs": [1, 2], "latents": 8})
    (found,) = as_written(settings)
    assert (found["name"], found["train_size"], found["vae"]["epochs"]) == ("mine", "100,none", "1,2")
    assert found["vae"]["latents"] == 8
    assert len(studies) == 4


def test_what_is_left_of_a_sweep_is_written_point_by_point():
    _, settings = described(train_size=[100, 200], vae={"epochs": [1, 2]})
    names = [study["name"] for study in as_written(settings[:3])]
    assert all(re.search("epochs=", name) for name in names)
    assert len(names) == 3
