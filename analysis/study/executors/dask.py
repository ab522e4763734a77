"""Work through a plan on worker processes, of this machine or of many, by dask.distributed.

A task is sent when its inputs are whole and a worker is free, and what comes back is how it went: what it made travels
by the store, which all of them share. So a scheduler holds no more tasks than there are workers, and one whose worker
dies is sent to another; whose death that was is known, and after the fourth (``allowed-failures`` of the scheduler) it
fails.
"""

from __future__ import annotations

import io
import os
import pickle
import queue
import secrets
import signal
import socket
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from distributed import Future, KilledWorker, Worker, WorkerPlugin, get_worker
from rich.console import Console

from ...errors import InputError, first_line
from ...interface import Machine, Study, Task
from ...store.lease import STALE_SECONDS, Lease, LeaseLostError, refresh
from ...store.runs import Run, Store
from ...training.progress import Reporter
from ..plan import in_order
from ..worker import Context, FailedError, in_turns, make_context
from .clusters import RETRIES, Workers
from .local import Outcome, stopped

POLL_SECONDS = 2.0  # between looks at what other studies' workers hold, and at how many workers there are
APPEAR_SECONDS = STALE_SECONDS  # until what one machine has written is seen by another
STOP_SECONDS = 10.0  # for workers to drop what they are at

_ALONE = threading.Lock()  # a process does one task at a time: PyTorch's random draws and threads are the process's


class Word(NamedTuple):
    """What a worker says of a task."""

    state: Literal["done", "held", "failed", "halt", "stopped"]  # halt: the next task would meet it too
    text: str = ""
    fresh: bool = False


class _Relayed(Reporter):
    """What a worker reports, said where the study was started."""

    def __init__(self, relay: Callable[[str], None], quiet: bool) -> None:
        super().__init__(Console(file=io.StringIO()), quiet=quiet)
        self._relay = relay

    def say(self, text: str) -> None:
        if not self.quiet:
            self._relay(text)

    def end(self) -> None:
        self.finish()  # it is said with the count of tasks, which a worker does not know


class Bench(WorkerPlugin):
    """What a worker does a study's tasks with. Its data are loaded, by name, and checked once it has a task."""

    def __init__(self, name: str, study: Study, machine: Machine, root: Path) -> None:
        self.name, self.study, self.machine, self.root = name, study, machine, root
        self.stopped = False
        self._context: Context | None = None

    def setup(self, worker: Worker) -> None:
        self._worker = worker
        self._ours = worker.nanny is not None and threading.current_thread() is threading.main_thread()
        if self._ours:
            self._handler = signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started them stops them

    def teardown(self, worker: Worker) -> None:
        if self._ours:
            signal.signal(signal.SIGINT, self._handler)

    def do(self, task: Task) -> Word:
        store = Store(self.root, looking=True)
        place = f"{socket.gethostname()}, process {os.getpid()}"
        with _ALONE:
            if self.stopped:
                return Word("stopped")
            try:
                context = self._ready()
                for parent in task.inputs:
                    if not appears(self.root / parent.name):
                        raise InputError(f"{self.root / parent.name} is not seen from {place}.")
                work = in_turns(task, store, context)
                while not self.stopped:
                    try:
                        next(work)
                    except StopIteration as end:
                        if end.value.run is None:
                            return Word("held")
                        return Word("done", f"{context.reporter.summary()} ({place})", end.value.fresh)
                work.close()
                return Word("stopped")
            except FailedError as error:
                return Word("failed", str(error))
            except LeaseLostError:
                return Word("held")
            except InputError as error:  # of the machine: a task's own is a FailedError
                return Word("halt", str(error))
            except OSError as error:
                return Word("halt", stopped(task, store, error))

    def _ready(self) -> Context:
        if self._context is None:
            if not self.root.is_dir():
                raise InputError(f"{self.root} is not there on {socket.gethostname()}: all workers share that folder.")
            reporter = _Relayed(self._relay, self.machine.quiet)
            self._context = make_context(self.study, self.machine, reporter)
        return self._context

    def _relay(self, text: str) -> None:
        self._worker.log_event(self.name, f"worker {self._worker.name}: {text}")


def appears(path: Path) -> bool:
    """Whether a folder that another machine has made is there, once this one's file system has had time to see it."""
    until = time.monotonic() + APPEAR_SECONDS
    while not path.is_dir():
        if time.monotonic() > until:
            return False
        refresh(path.parent)
        time.sleep(0.1)
    return True


def _do(name: str, packed: bytes) -> Word:
    bench = get_worker().plugins[name]
    assert isinstance(bench, Bench)
    return bench.do(pickle.loads(packed))


def _stop(name: str, dask_worker: Worker) -> None:
    bench = dask_worker.plugins.get(name)
    if isinstance(bench, Bench):
        bench.stopped = True


def execute(
    tasks: Sequence[Task],
    store: Store,
    study: Study,
    hire: Callable[[], Workers],
    reporter: Reporter,
    outcome: Outcome | None = None,
) -> Outcome:
    """Run every task that is not in the store yet, as `local.execute` does. ``hire`` is called if there is one.

    Raises:
        InputError: a worker lacks the data, the device or the store, or cannot write to it; the scheduler has gone;
            as ``hire``.
    """
    plan = _Plan(tasks, store, reporter, Outcome() if outcome is None else outcome)
    reporter.start("tasks", len(plan.tasks))
    try:
        plan.take_stored()
        if plan.left:
            _Sending(plan, study, hire()).execute()
    finally:
        reporter.finish()
    return plan.outcome


class _Plan:
    """The tasks, those of them that are ready, and what became of the others."""

    def __init__(self, tasks: Sequence[Task], store: Store, reporter: Reporter, outcome: Outcome) -> None:
        self.store, self.reporter, self.outcome = store, reporter, outcome
        self.tasks = {task.name: task for task in in_order(tasks)}
        self.left = len(self.tasks)
        self._children: dict[str, list[str]] = {name: [] for name in self.tasks}
        self._inputs = {name: {parent.name for parent in task.inputs} for name, task in self.tasks.items()}  # not whole
        for name, parents in self._inputs.items():
            for parent in parents:
                self._children[parent].append(name)
        self.ready = deque(name for name, parents in self._inputs.items() if not parents)

    def take_stored(self) -> None:
        """Settle what is there already."""
        missing = []
        while self.ready:
            if not self.settled(name := self.ready.popleft()):
                missing.append(name)
        self.ready.extend(missing)

    def settled(self, name: str) -> bool:
        """Whether a ready task need not be done: its run is whole, or damaged."""
        try:
            run = self.store.find(name)
        except InputError as error:
            self.fail(name, str(error))
            return True
        if run is not None:
            self.done(name)
        return run is not None

    def done(self, name: str, words: str = "") -> None:
        """A task's run is whole; ``words``: how that went, if it was done here and now."""
        self.outcome.done[name] = Run(self.store.root / name)
        self.outcome.fresh += bool(words)
        self._settle()
        if words:
            self.reporter.say(f"[{self.place}] {self.tasks[name].label}: {words}")
        for child in self._children[name]:
            if (missing := self._inputs.get(child)) is not None:  # else it was skipped
                missing.discard(name)
                if not missing:
                    self.ready.append(child)

    def fail(self, name: str, reason: str) -> None:
        """A task has failed, and what needs its output is skipped."""
        self.outcome.failed[name] = reason
        self._settle()
        self.reporter.say(f"[{self.place}] failed: {self.tasks[name].label}: {reason}")
        below = deque(self._children[name])
        while below:
            child = below.popleft()
            if self._inputs.pop(child, None) is not None:
                self.outcome.skipped.append(child)
                self._settle()
                self.reporter.say(f"skipped: {self.tasks[child].label} (an input failed)")
                below.extend(self._children[child])

    def _settle(self) -> None:
        self.left -= 1
        self.reporter.advance()

    @property
    def place(self) -> str:
        return f"{len(self.tasks) - self.left}/{len(self.tasks)}"


class _Sending:
    """Tasks on their way to workers and back."""

    def __init__(self, plan: _Plan, study: Study, workers: Workers) -> None:
        self.plan, self.store, self.workers, self.client = plan, plan.store, workers, workers.client
        self.held: list[str] = []  # by workers of another study, or by one that died elsewhere less than a minute ago
        self.left_by = Counter[str]()  # how many had a task and left it
        self.flying: dict[str, Future] = {}
        self.landed: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.room, self.words, self.looked = 0, "", -POLL_SECONDS
        self.name = f"mixlens-{secrets.token_hex(4)}"
        self.bench = Bench(self.name, study, workers.machine, self.store.root.absolute())

    def execute(self) -> None:
        try:
            self._register()
            while self.plan.left:
                self._look()
                while self.plan.ready and len(self.flying) < self.room:
                    self._send(self.plan.ready.popleft())
                if self.plan.left:
                    with suppress(queue.Empty):
                        self._land(self.landed.get(timeout=POLL_SECONDS))
        except BaseException:
            self._drop()
            raise
        finally:
            with suppress(Exception):  # of a scheduler that has gone
                self.client.unsubscribe_topic(self.name)
                self.client.unregister_worker_plugin(self.name)

    def _register(self) -> None:
        self.client.subscribe_topic(self.name, lambda event: self.plan.reporter.say(event[1]))
        try:
            self.client.register_plugin(self.bench, name=self.name)
        except Exception as error:  # whatever keeps them from loading it
            raise self._stuck(error) from error

    def _look(self) -> None:
        """From time to time: how many workers there are, and whether what others held is free."""
        if time.monotonic() - self.looked < POLL_SECONDS:
            return
        if self.client.status != "running":
            raise InputError(
                "the Dask scheduler does not answer any more. What is done stays; run the same command again to go on."
            )
        self.looked = time.monotonic()
        self.room = sum(self.client.nthreads().values())
        words = f"{self.room} worker{'s' * (self.room > 1)}" if self.room else self.workers.awaited()
        if words != self.words:
            self.words = words
            self.plan.reporter.say(words)
        for name in [name for name in self.held if not Lease(self.store.root, name).holder()]:
            self.held.remove(name)
            self._free(name)

    def _free(self, name: str) -> None:
        """A task that another had: it is whole, or it is left to us."""
        if self.plan.settled(name):
            return
        self.left_by[name] += 1
        if self.left_by[name] > RETRIES:
            self.plan.fail(name, f"{self.left_by[name]} workers had it and are gone, each without a result.")
        else:
            self.plan.ready.appendleft(name)

    def _send(self, name: str) -> None:
        """To a worker, unless its run is whole by now."""
        if self.plan.settled(name):
            return
        # The key is this plan's own: the scheduler may serve another that has the same task.
        key = f"{name}-{self.name}-{secrets.token_hex(4)}"
        future = self.client.submit(_do, self.name, pickle.dumps(self.plan.tasks[name]), key=key, pure=False)
        self.flying[name] = future
        future.add_done_callback(lambda _: self.landed.put(name))

    def _land(self, name: str) -> None:
        task, word = self.plan.tasks[name], self._word(self.flying.pop(name))
        if word.state == "done":
            if not appears(self.store.root / name):
                raise InputError(
                    f"{task.label} was done ({word.text}), but {self.store.root / name} is not here: workers do not "
                    "share that folder with this machine, and all of them must."
                )
            self.plan.done(name, word.text if word.fresh else "")
        elif word.state == "failed":
            self.plan.fail(name, word.text)
        elif word.state == "halt":
            raise InputError(word.text)
        else:
            self.held.append(name)

    def _word(self, future: Future) -> Word:
        try:
            return future.result()
        except KilledWorker as error:
            return Word(
                "failed",
                f"{error.allowed_failures + 1} workers died of it, the last on {error.last_worker.address}. The system "
                "kills a process that needs more memory than there is.",
            )
        except Exception as error:  # the worker cannot load what the task needs; or the scheduler has gone
            raise self._stuck(error) from error

    def _stuck(self, error: Exception) -> InputError:
        return InputError(
            f"workers cannot go on ({type(error).__name__}: {first_line(error)}). They need the same mixlens and "
            "packages as this machine. What is done stays; run the same command again to go on."
        )

    def _drop(self) -> None:
        """Workers drop what they are at after its next step, as Ctrl-C does, and give it free."""
        until = time.monotonic() + STOP_SECONDS
        with suppress(Exception):  # of a scheduler that has gone
            self.client.run(_stop, self.name)
            while self.flying and time.monotonic() < until:
                with suppress(queue.Empty):
                    self.flying.pop(self.landed.get(timeout=0.1), None)
            self.client.cancel(list(self.flying.values()))
