"""What tests of several folders use: a user's own modules, mistakes on the command line, trainings compared."""

import gc
import os
import sys
from contextlib import contextmanager
from functools import cache

import pytest
import torch
from safetensors.torch import load_file
from vae_records import make_record, rates, record, with_information  # noqa: F401  # fixtures

from mixlens.analysis.store.runs import MODEL
from mixlens.analysis.study import sections, stopwatch
from mixlens.analysis.training.progress import Reporter
from mixlens.cli.main import main


@pytest.fixture(scope="session", autouse=True)
def _quickly():
    """No test cuts the power: nothing waits for a disk. Packages are searched once for each path that has them.

    A plan's steps are timed for a moment, whose result says little; memory is searched for rubbish less often.
    """
    search = sections.entry_points
    found = cache(lambda path, group: search(group=group))
    gc.set_threshold(50_000)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda handle: None)
        patched.setattr(sections, "entry_points", lambda group: found(tuple(sys.path), group))
        patched.setattr(stopwatch, "SECONDS", 0.1)
        patched.setattr(stopwatch, "WARM_SECONDS", 0.1)
        yield


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder, importable only by mixlens; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    yield tmp_path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(f"{tmp_path}/"):
            del sys.modules[name]


@pytest.fixture
def mine(here, request):
    """The name of a user's module in the current folder, which holds the test file's text ``MINE``."""
    (here / "mixlens_tests_mine.py").write_text(request.module.MINE, encoding="utf-8")
    return "mixlens_tests_mine"


@pytest.fixture
def failing(capsys):
    """Runs the command, which must end with exit status 2 and one message on standard error; gives the message.

    With ``status=1`` some task must have failed: a message for each, and for each that was skipped.
    """

    def run(*arguments, status=2):
        assert main([*arguments]) == status
        captured = capsys.readouterr()
        assert captured.err.startswith("mixlens: ")
        assert "Traceback" not in captured.err + captured.out
        assert captured.err.count("\n") == 1 or (status == 1 and captured.err.count("\nmixlens: "))
        return captured.err

    return run


@pytest.fixture(autouse=True)
def _vectors_kept_aside(monkeypatch, tmp_path_factory):
    """Not in the cache folder of who runs the tests."""
    monkeypatch.setattr(
        "mixlens.analysis.data.vectors.user_cache_path", lambda name: tmp_path_factory.getbasetemp() / "cache" / name
    )


@pytest.fixture
def page_alone(monkeypatch):
    """Studies write their report without its PDF and with empty figures: tests/reports has both, and takes longer."""
    monkeypatch.setattr("mixlens.reports.content.plain_svg", lambda plot: '<svg width="1pt"></svg>')
    monkeypatch.setattr("mixlens.reports.report.render_pdf", lambda content: b"%PDF-")


@pytest.fixture
def starts(monkeypatch):
    """Gives the weights from which trainings start: baseline, MixUp and FMix of seed 0, and the baseline of seed 1."""

    def run(module, train):
        found = []

        def fit(model, *args, **options):
            found.append(torch.cat([value.flatten().double() for value in model.state_dict().values()]))
            return (None for _ in ())  # no turns

        monkeypatch.setattr(module, "fit", fit)
        for augmentation, seed in (("baseline", 0), ("mixup", 0), ("fmix", 0), ("baseline", 1)):
            train(augmentation, seed=seed)
        return found

    return run


@pytest.fixture
def same():
    """Whether two runs hold the same weights, bit for bit."""

    def compare(run, other):
        first, second = load_file(run / MODEL), load_file(other / MODEL)
        return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

    return compare


@pytest.fixture
def timeless():
    """A run's history without the seconds that it took."""
    return lambda run: [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in run.read_history()]


@pytest.fixture
def mortal():
    """A reporter that dies in the step after ``life`` steps, as a killed training does."""

    class Mortal(Reporter):
        def __init__(self, life):
            super().__init__(quiet=True)
            self.life = life

        def advance(self, detail="", steps=1):
            self.life -= 1
            if self.life < 0:
                raise KeyboardInterrupt

    return Mortal


@pytest.fixture
def killed_after(monkeypatch):
    """A block in which every reporter raises KeyboardInterrupt once so many steps are done, as Ctrl-C does; it must."""

    @contextmanager
    def run(count):
        advance, left = Reporter.advance, iter(range(count))

        def killed(self, *arguments, **options):
            if next(left, None) is None:
                raise KeyboardInterrupt
            advance(self, *arguments, **options)

        with monkeypatch.context() as patched:
            patched.setattr(Reporter, "advance", killed)
            with pytest.raises(KeyboardInterrupt):
                yield

    return run
