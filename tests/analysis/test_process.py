import os
import signal

import pytest
import torch

from mixlens.analysis.errors import InputError
from mixlens.analysis.process import kept, unchanged

CHANGES = {
    "the working directory": lambda: os.chdir("/"),
    "what SIGINT does": lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    "the number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "the default type of tensors": lambda: torch.set_default_dtype(torch.float64),
    "the default device of tensors": lambda: torch.set_default_device("meta"),
    "whether gradients are computed": lambda: torch.set_grad_enabled(False),
}


def now():
    handler = signal.getsignal(signal.SIGINT)
    computed = (torch.get_num_threads(), torch.zeros(1).dtype, torch.zeros(1).device, torch.is_grad_enabled())
    return (os.getcwd(), handler, *computed)


@pytest.mark.parametrize("name", CHANGES)
def test_what_users_code_changes_is_put_back_and_named(here, name):
    before = now()
    with kept() as changed:
        CHANGES[name]()
        assert now() != before
    assert now() == before
    assert [name in one for one in changed] == [True]
    with pytest.raises(InputError, match=f"mine changes {name}"), unchanged("mine"):
        CHANGES[name]()
    assert now() == before


def test_an_error_within_is_told_and_all_is_put_back():
    before = now()

    def fails():
        torch.set_default_dtype(torch.float64)
        raise ValueError("its own")

    with pytest.raises(ValueError, match="its own"), unchanged("mine"):
        fails()
    assert now() == before


def test_what_is_put_back_by_itself_is_no_change():
    with unchanged("mine"), torch.no_grad():
        pass
