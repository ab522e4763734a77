import numpy as np
import pytest
import torch

from mixlens.analysis.errors import first_line, of_memory, own_line, unknown


@pytest.mark.parametrize("make", [lambda: torch.empty(2**50), lambda: np.empty(2**60, dtype=np.uint8)])
def test_too_little_memory_is_known_as_such_also_behind_another_error(make):
    with pytest.raises((RuntimeError, MemoryError)) as real:
        make()
    wrapped = ValueError("an augmentation failed")
    wrapped.__cause__ = real.value
    assert of_memory(real.value)
    assert of_memory(wrapped)
    assert of_memory(torch.OutOfMemoryError("CUDA"))
    assert not of_memory(ValueError("an augmentation failed"))


def test_an_unknown_name_has_the_nearest_and_all_that_are_known():
    assert str(unknown("preset", "dmeo", ["paper", "demo"])) == (
        "unknown preset 'dmeo'. Did you mean 'demo'? Known: demo, paper."
    )
    assert str(unknown("preset", "zzz", [])) == "unknown preset 'zzz'. Known: none."


def test_a_name_that_is_not_listed_may_be_meant():
    assert str(unknown("attack", "LinfPGDD", ["pgd"], ["LinfPGD"])).startswith(
        "unknown attack 'LinfPGDD'. Did you mean 'LinfPGD'? Known: pgd."
    )


def test_a_name_in_another_case_is_meant_before_one_that_is_spelt_alike():
    assert "Did you mean 'ScoreCAM'?" in str(unknown("method", "scorecam", ["gradcam"], ["HiResCAM", "ScoreCAM"]))


def test_what_an_error_says_in_one_line():
    assert first_line(ValueError("\n  first\nsecond")) == "first"
    assert first_line(KeyError()) == "KeyError"


def test_where_in_ones_own_code_an_error_arose():
    """Torch's own frames and mixlens' are not the user's."""
    with pytest.raises(RuntimeError) as caught:
        torch.nn.Linear(2, 3)(torch.zeros(1, 7))  # the line that is told
    told = own_line(caught.value)
    assert told.startswith(" (test_errors.py, line ")
    assert "# the line that is told)" in told
    assert own_line(ValueError("never raised")) == ""
