"""What is the whole process's and a user's code may change: it is put back, or that is an error. Imports no torch."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .errors import InputError

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def _settings() -> dict[str, tuple[Any, Callable[[Any], object]]]:
    """Each by what it is called in messages: its value now, and what sets it."""
    found: dict[str, tuple[Any, Callable[[Any], object]]] = {"the working directory": (_folder(), os.chdir)}
    if threading.current_thread() is threading.main_thread():  # it alone may set them
        for number in _SIGNALS:
            found[f"what {number.name} does"] = (signal.getsignal(number), _setter(number))
    if torch := sys.modules.get("torch"):
        found["the number of threads (torch.set_num_threads)"] = (torch.get_num_threads(), torch.set_num_threads)
        found["the default type of tensors"] = (torch.get_default_dtype(), torch.set_default_dtype)
        found["the default device of tensors"] = (torch.get_default_device(), _set_device)
        found["whether gradients are computed"] = (torch.is_grad_enabled(), torch.set_grad_enabled)
    return found


def _folder() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # it was removed
        return None


def _setter(number: signal.Signals) -> Callable[[Any], object]:
    return lambda handler: signal.signal(number, handler)


def _set_device(device: Any) -> None:
    sys.modules["torch"].set_default_device(None if device.type == "cpu" else device)  # None costs nothing


@contextmanager
def kept() -> Iterator[list[str]]:
    """Whatever runs within it, the process is as before: folder, signals, PyTorch's threads, defaults and gradients.

    Gives a list that holds in the end what had to be put back.
    """
    before, changed = _settings(), list[str]()
    try:
        yield changed
    finally:
        after = _settings()
        for name, (value, put_back) in before.items():
            if after[name][0] != value and value is not None:
                changed.append(name)
                with suppress(OSError):
                    put_back(value)


@contextmanager
def unchanged(what: str) -> Iterator[None]:
    """The same, where a change is an error of ``what``, a user's own. Raises InputError, once all is as before."""
    with kept() as changed:
        yield
    if changed:
        raise InputError(
            f"{what} changes {changed[0]}, which is everyone's in this process. Leave it as it is, or put it back."
        )
