import inspect

import pytest
import torch

from mixlens.analysis.data.modalities.text import Texts
from mixlens.analysis.data.modality import Modality, _modules, modality_names, modality_of

NAMES = modality_names()


def test_each_file_is_a_modality_by_its_own_name():
    assert {"image", "text", "volume"} <= set(NAMES)
    assert [one.NAME for one in _modules()] == NAMES


@pytest.mark.parametrize("one", _modules(), ids=NAMES)
def test_each_holds_all_that_one_must_and_takes_what_it_is_given(one):
    for name, wanted in vars(Modality).items():
        if name.startswith("_") or not inspect.isfunction(wanted):
            continue
        own = inspect.signature(getattr(one, name)).parameters
        expected = list(inspect.signature(wanted).parameters)[1:]
        assert list(own)[: len(expected)] == expected, name
    assert one.ONE != one.MANY


def test_each_split_is_of_one_kind():
    samples = [
        torch.zeros(2, 3, 4, 4, dtype=torch.uint8),
        torch.zeros(2, 1, 4, 4, 4, dtype=torch.uint8),
        Texts.of([[1]]),
    ]
    assert [modality_of(one).NAME for one in samples] == ["image", "volume", "text"]
    for one in samples:
        assert sum(kind.holds(one) for kind in _modules()) == 1


def test_what_is_none_is_refused_as_an_image():
    wrong = modality_of(torch.zeros(3))
    assert wrong.NAME == "image"
    assert wrong.problem(torch.zeros(3))
