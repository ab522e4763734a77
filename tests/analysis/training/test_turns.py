from contextlib import contextmanager

import pytest

from mixlens.analysis.training.turns import whole, within


def count(log, turns):
    for number in range(turns):
        log.append(number)
        yield
    return "end"


def test_the_whole_work_returns_what_it_leaves():
    log = []
    assert whole(count(log, 3)) == "end"
    assert log == [0, 1, 2]


def test_each_turn_is_within_the_setting_and_others_are_not():
    log = []

    @contextmanager
    def setting():
        log.append("in")
        yield
        log.append("out")

    work = within(count(log, 2), setting)
    next(work)
    log.append("others")
    assert whole(work) == "end"
    assert log == ["in", 0, "out", "others", "in", 1, "out", "in", "out"]


def test_an_error_leaves_the_setting_and_work_that_is_given_up_is_closed():
    log = []

    @contextmanager
    def setting():
        try:
            yield
        finally:
            log.append("out")

    def failing():
        try:
            yield
            raise KeyError
        finally:
            log.append("closed")

    with pytest.raises(KeyError):
        whole(within(failing(), setting))
    assert log == ["out", "closed", "out"]
    log.clear()
    work = within(failing(), setting)
    next(work)
    work.close()
    assert log == ["out", "closed"]
