import contextlib
import math
import os
import signal
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location

import pytest
import torch
from safetensors.torch import load_file

from mixlens.analysis.errors import InputError
from mixlens.analysis.store.runs import CHECKPOINT, HISTORY, MODEL, Run
from mixlens.analysis.training import loop
from mixlens.analysis.training.loop import DivergedError
from mixlens.analysis.training.progress import Reporter
from mixlens.analysis.training.schedules import StepDecay

# A tiny network trained by `fit` with everything that training draws: order, transforms, noise. Written to a file, so
# that another process trains exactly the same.
JOB = """
import sys
import time

import torch
from torch import nn

from mixlens.analysis.data.dataset import Split
from mixlens.analysis.data.loader import Batches, Transforms
from mixlens.analysis.store.runs import Run
from mixlens.analysis.training.backend import make_backend
from mixlens.analysis.training.loop import fit
from mixlens.analysis.training.schedules import StepDecay
from mixlens.analysis.training.progress import Reporter
from mixlens.analysis.training.turns import whole

EPOCHS = 4


def train(run, *, precision="fp32", epochs=EPOCHS, on_step=None, on_evaluate=None, on_loss=None, reporter=None, seed=0):
    backend = make_backend("cpu", precision)
    source = torch.Generator().manual_seed(0)
    images = torch.randint(256, (26, 3, 8, 8), dtype=torch.uint8, generator=source)
    split = Split(images, torch.randint(3, (26,), generator=source))
    torch.manual_seed(seed)
    model = backend.prepare(nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(72, 3)))
    generators = {purpose: backend.generator(purpose, seed) for purpose in ("images", "noise")}
    batches = Batches(split, (0.5,) * 3, (0.25,) * 3, 8, transforms=Transforms(flip=True, jitter=0.1), shuffle=True,
                      generator=generators["images"], channels_last=True)

    def step(x, y, number):
        if on_step is not None:
            on_step(number, model)
        x = x + 0.1 * torch.randn(x.shape, generator=generators["noise"])
        with backend.autocast():
            out = model(x)
        loss = nn.functional.cross_entropy(out.float(), y)
        return {"loss": on_loss(loss, number) if on_loss else loss, "norm": out.float().norm()}

    def evaluate():
        result = {"out": model(torch.ones(2, 3, 8, 8)).sum().item()}
        return on_evaluate(result, model) or result if on_evaluate else result

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, fused=True)
    return whole(fit(model, optimizer, step, batches, backend=backend, epochs=epochs, schedule=StepDecay((2, 3)),
                     generators=generators, evaluate=evaluate, run=run, reporter=reporter or Reporter(quiet=True),
                     label="job"))


if __name__ == "__main__":
    from pathlib import Path

    torch.set_num_threads(int(sys.argv[2]))

    def stall(number, model):
        if number == 9:  # in the middle of the third epoch
            print("ready", flush=True)
            time.sleep(600)

    train(Run(Path(sys.argv[1])), on_step=stall)
"""
BATCHES = 4  # 26 images in batches of 8, 8, 8 and 2


class KilledError(BaseException):
    pass


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    path = tmp_path_factory.mktemp("job") / "mixlens_tests_job.py"
    path.write_text(JOB)
    spec = spec_from_file_location(path.stem, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    def make(name):
        (tmp_path / name).mkdir()
        return Run(tmp_path / name)

    return make


def timeless(history):
    return [{key: value for key, value in record.items() if key != "seconds"} for record in history]


def assert_same(run, other):
    ours, theirs = load_file(run / MODEL), load_file(other / MODEL)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert timeless(run.read_history()) == timeless(other.read_history())
    first, second = load_file(run / CHECKPOINT), load_file(other / CHECKPOINT)
    assert all(torch.equal(first[name], second[name]) for name in first), "moments and generators too"


# the schedule


@pytest.mark.parametrize("epoch", range(12))
def test_step_decay_closed_form(epoch):
    assert StepDecay((4, 8))(epoch) == pytest.approx(10.0 ** -(epoch // 4))
    assert StepDecay((), 0.5)(epoch) == 1
    assert StepDecay((3, 3), 0.5)(epoch) == (1 if epoch < 3 else 0.25)


# one uninterrupted training


def test_history_weights_and_schedule(job, folder):
    run, seen, modes = folder("run"), [], []

    def on_step(number, model):
        seen.append(number)
        modes.append(model.training and torch.is_grad_enabled())

    def on_evaluate(result, model):
        modes.append(not model.training and not torch.is_grad_enabled())

    history = job.train(run, on_step=on_step, on_evaluate=on_evaluate)
    assert seen == list(range(job.EPOCHS * BATCHES))
    assert all(modes), "training mode in steps, eval mode without gradients in evaluations"
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert [record["lr"] for record in history] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-4])
    assert set(history[0]) == {"epoch", "lr", "train_loss", "train_norm", "test_out", "seconds"}
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert run.read_history() == history
    assert (run / MODEL).exists()


def test_recorded_metrics_are_means_over_the_epochs_batches(job, folder):
    losses = []
    history = job.train(folder("run"), epochs=1, on_loss=lambda loss, number: losses.append(loss.item()) or loss)
    assert history[0]["train_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-6)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(job, folder):
    first, second, third = folder("1"), folder("2"), folder("3")
    job.train(first)
    job.train(second)
    job.train(third, seed=1)
    assert_same(first, second)
    assert not torch.equal(load_file(first / MODEL)["0.weight"], load_file(third / MODEL)["0.weight"])


# killed and resumed


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_killed_after_any_epoch_ends_bit_identical(job, folder, precision):
    whole = folder("whole")
    history = job.train(whole, precision=precision)
    for last in range(job.EPOCHS):
        killed, evaluations = folder(f"killed-{last}"), []

        def kill(result, model, last=last, evaluations=evaluations):
            evaluations.append(result)
            if len(evaluations) > last:
                raise KilledError

        with pytest.raises(KilledError):
            job.train(killed, precision=precision, on_evaluate=kill)
        assert (len(killed.read_history()) if last else 0) == last
        assert not (killed / MODEL).exists()
        resumed = job.train(killed, precision=precision)
        assert timeless(resumed) == timeless(history)
        assert_same(killed, whole)


def test_precisions_differ(job, folder):
    first, second = folder("fp32"), folder("bf16")
    job.train(first)
    job.train(second, precision="bf16")
    assert not torch.equal(load_file(first / MODEL)["0.weight"], load_file(second / MODEL)["0.weight"])


class Told(Reporter):
    """Keeps what a training says of itself."""

    def __init__(self):
        super().__init__(quiet=True)
        self.images, self.epochs, self.details = 0.0, [], []

    def start(self, label, total, done=0, *, images=0):
        self.images = images

    def advance(self, detail="", steps=1):
        self.details += [detail] * bool(detail)

    def epoch(self, detail, history):
        self.epochs.append((detail, [record["epoch"] for record in history]))


def test_each_epoch_is_told_with_its_loss_and_what_its_evaluation_found(job, folder):
    told = Told()
    scores = iter([{"accuracy": 0.25}, {"accuracy": 0.5}, {"neg_elbo": 321.98}, {}])
    history = job.train(folder("told"), reporter=told, on_evaluate=lambda result, model: next(scores) or {"other": 1.0})
    losses = [f"loss {record['train_loss']:.4g}" for record in history]
    assert told.epochs == [
        (f"epoch 1/4, {losses[0]}, accuracy 25.0%", [1]),
        (f"epoch 2/4, {losses[1]}, accuracy 50.0%", [1, 2]),
        (f"epoch 3/4, {losses[2]}, −ELBO 322", [1, 2, 3]),
        (f"epoch 4/4, {losses[3]}", [1, 2, 3, 4]),
    ]
    assert told.details[1] == f"epoch 2/4, {losses[1]}, accuracy 25.0%", "of the epoch before, until it is evaluated"
    assert told.images == 26 / 4, "a step"


class Mortal(Reporter):
    """Dies in the step after ``life`` steps."""

    def __init__(self, life):
        super().__init__(quiet=True)
        self.life, self.starts = life, []

    def start(self, label, total, done=0, *, images=0):
        self.starts.append((label, total, done))

    def advance(self, detail="", steps=1):
        self.life -= 1
        if self.life < 0:
            raise KilledError


def test_killed_again_and_again_within_epochs_ends_bit_identical(job, folder):
    whole, killed = folder("whole"), folder("killed")
    job.train(whole)
    steps, starts = [], []
    for life in range(job.EPOCHS):
        reporter = Mortal(life=BATCHES + 1)  # dies in its second epoch
        with contextlib.suppress(KilledError) if life == job.EPOCHS - 1 else pytest.raises(KilledError):
            job.train(killed, reporter=reporter, on_step=lambda number, model: steps.append(number))
        starts += reporter.starts
    total = job.EPOCHS * BATCHES
    assert starts == [("job", total, done) for done in range(0, total, BATCHES)]
    assert set(steps) == set(range(total)), "steps are counted on after a resume, for augmentations that alternate"
    assert_same(killed, whole)


def test_a_process_killed_mid_epoch_is_resumed_by_another_bit_for_bit(job, folder):
    whole, killed = folder("whole"), folder("killed")
    job.train(whole)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, job.__file__, str(killed.path), str(torch.get_num_threads())]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().strip() == "ready"
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert len(killed.read_history()) == 2
    assert not (killed / MODEL).exists()
    job.train(killed)
    assert_same(killed, whole)


def test_a_finished_training_does_no_step_again(job, folder):
    run = folder("run")
    history = job.train(run)
    weights = (run / MODEL).read_bytes()
    (run / MODEL).unlink()  # killed between the last checkpoint and the weights

    def on_step(number, model):
        raise AssertionError

    assert job.train(run, on_step=on_step) == history
    assert (run / MODEL).read_bytes() == weights


# The history file is only written inside the epoch loop: a kill between the last checkpoint and it leaves a whole run
# whose history.jsonl lacks its last epoch (and with one epoch has no file). Write it after the loop too.
def test_a_kill_between_the_last_checkpoint_and_the_history_loses_nothing(job, folder, monkeypatch):
    run, write = folder("run"), Run.write_history

    def killed(self, records):
        if len(records) == job.EPOCHS:
            raise KilledError
        write(self, records)

    monkeypatch.setattr(Run, "write_history", killed)
    with pytest.raises(KilledError):
        job.train(run)
    monkeypatch.undo()
    history = job.train(run)
    assert len(history) == job.EPOCHS
    assert run.read_history() == history


def test_a_damaged_checkpoint_stops_the_training_untouched(job, folder):
    run = folder("run")
    job.train(run, epochs=1)
    content = (run / CHECKPOINT).read_bytes()[:-20]
    (run / CHECKPOINT).write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        job.train(run)
    assert (run / CHECKPOINT).read_bytes() == content
    assert len((run / HISTORY).read_text().splitlines()) == 1


# divergence


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_ends_the_training_with_its_epoch(job, folder, bad):
    run, steps = folder("run"), []

    def on_loss(loss, number):
        steps.append(number)
        return loss * bad if number == 7 else loss  # the last step of the second epoch

    with pytest.raises(DivergedError, match=rf"loss became {bad} in epoch 2; try a lower learning rate"):
        job.train(run, on_loss=on_loss)
    assert len(run.read_history()) == 1, "the checkpoint is that of the last good epoch"
    assert not (run / MODEL).exists()
    assert all(tensor.isfinite().all() for tensor in load_file(run / CHECKPOINT).values())
    with pytest.raises(DivergedError):
        job.train(run, on_loss=on_loss)


def test_divergence_is_noticed_within_an_epoch(job, folder, monkeypatch):
    monkeypatch.setattr(loop, "CHECK_EVERY", 2)
    steps = []

    def on_loss(loss, number):
        steps.append(number)
        return loss * math.nan

    with pytest.raises(DivergedError, match="epoch 1"):
        job.train(folder("run"), on_loss=on_loss)
    assert steps == [0, 1]


# The last step of an epoch can ruin the weights with a loss that was still finite: the evaluation is then NaN, the NaN
# weights are checkpointed and saved, and measuring them ends in a ValueError (NaN is no JSON) that stops the study.
# Check the evaluation's numbers like the loss, before the checkpoint.
def test_weights_ruined_by_the_last_step_end_the_training(job, folder):
    run = folder("run")

    def on_evaluate(result, model):
        return {"out": math.nan}

    with pytest.raises(DivergedError):
        job.train(run, epochs=1, on_evaluate=on_evaluate)
    assert not (run / MODEL).exists()
