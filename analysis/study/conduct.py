"""A study from start to record: what ``mixlens run`` does, and a notebook can do as well."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from ..data.load import not_there
from ..errors import InputError
from ..interface import Machine, Study, Task
from ..schema import from_user, plain
from ..store.parts import write_parts
from ..store.record import RECORD, StudyRecord, TaskRecord, combine, differing, read_record, write_record
from ..store.runs import Store
from ..training.progress import Reporter
from ..training.ranks import Ranks, join, leaving
from .executors.clusters import Crew, worker_count
from .executors.local import Outcome, execute, task_records
from .follow import follow
from .logs import make_log
from .plan import cut, plan
from .sections import installed_sections
from .study import read_studies, read_study
from .worker import Context, make_context

AT_ONCE = 8  # on a GPU: more gain nothing where one training's step takes a fraction of the device


@dataclass(frozen=True)
class Prepared:
    """A study of which nothing has run yet: its plan, the store, and what tasks are done with."""

    study: Study
    tasks: Sequence[Task]  # in the order of execution
    store: Store
    context: Context
    folder: Path
    at_once: int = 1
    before: StudyRecord | None = None  # of the same study: its other sections stay in the record
    megabytes: float = 0.0  # of data that are not there; others of their shape stand in for them, and it cannot be run
    machine: Machine = Machine()
    workers: int | None = 1  # processes; None: those of a running scheduler

    def run(self, command: str = "", crew: Crew | None = None) -> StudyRecord:
        """Do what is missing, and return the study's record, which holds the rows.

        A task that diverges fails alone: it stands in the record with its reason. Stop it whenever you like; the same
        study goes on where it stopped. ``command`` is kept in the record. Where the machine has several workers, those
        of ``crew`` are taken, or some are started for this study alone. Of several processes that share trainings the
        first does all else and writes everything; the others take part in its trainings.

        Raises:
            InputError: something in the store is damaged, or cannot be written, or there are no workers; the record is
                there then. The processes plan other tasks, or one of them has failed.
        """
        ranks = self.context.backend.ranks
        with leaving(ranks):
            if ranks is not None:
                ranks.agree(hashlib.sha256(" ".join(task.name for task in self.tasks).encode()).hexdigest())
            if ranks is not None and ranks.rank:
                follow(self.tasks, self.context, ranks)
            else:
                self._work(command, crew)
            if ranks is not None and not ranks.rank:
                ranks.end()
        return read_record(self.folder)

    def _work(self, command: str, crew: Crew | None) -> None:
        outcome, kept = Outcome(), self._kept()
        settings = self.study.describe()
        if self.before is not None and kept:
            sections = dict.fromkeys([*self.before.settings["sections"], *settings["sections"]])
            settings = {**self.before.settings, **settings, "sections": list(sections)}
            command = "\n".join(dict.fromkeys([*self.before.command.splitlines(), command]))
        started = datetime.now(UTC).isoformat(timespec="seconds")

        def write_down() -> None:
            write_record(
                self.folder,
                name=self.study.name,
                command=command,
                settings=settings,
                started=started,
                runs=self.store.root,
                tasks=[*kept, *task_records(self.tasks, self.store, outcome)],
                train_images=len(self.context.dataset.train),
                classes=math.prod(self.context.dataset.sizes),
                modality=self.context.dataset.modality.NAME,
            )

        write_down()  # now, so that an unfinished study can be reported, and a folder that cannot be written is known
        try:
            with self.context.reporter as reporter:
                planned = {task.network.seed for task in self.tasks}
                seeds = sorted(seed for seed in planned if seed is not None) or self.study.seeds
                reporter.say(f"{self.study.name}: {seeds_in_words(seeds)}, {len(self.tasks)} tasks")
                self._execute(outcome, crew)
                stored = len(outcome.done) - outcome.fresh
                reporter.say(f"{outcome.fresh} tasks run, {stored} taken from {self.store.root}")
        finally:
            write_down()
            self._finish_log()

    def _execute(self, outcome: Outcome, crew: Crew | None) -> None:
        if self.workers == 1 and self.machine.cluster is None:
            execute(self.tasks, self.store, self.context, outcome, at_once=self.at_once)
            return
        from .executors import dask  # of an extra

        with Crew() if crew is None else nullcontext(crew) as several:
            hire = partial(several.hire, self.machine, self.workers)
            dask.execute(self.tasks, self.store, self.study, hire, self.context.reporter, outcome)

    def _finish_log(self) -> None:
        if (log := self.context.log) is None:
            return
        try:
            log.finish(self.tasks, self.store)
        except OSError as error:
            raise InputError(f"cannot write {log.path}: {error.strerror or error}.") from error

    def _kept(self) -> list[TaskRecord]:
        """Tasks of sections that earlier commands ran under this name. This one may use them; it does not list them."""
        if self.before is None:
            return []
        names, listed = {task.name for task in self.tasks}, {*self.before.settings["sections"]} - {*self.study.sections}
        return [task for task in self.before.tasks if task.section in listed and task.name not in names]


def seeds_in_words(seeds: Sequence[int]) -> str:
    """A count that was typed as one seed shows here, before hours of work."""
    if len(seeds) > 2 and list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"{len(seeds)} replicates, seeds {seeds[0]} to {seeds[-1]}"
    return f"{len(seeds)} replicate{'s' * (len(seeds) > 1)}, seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}"


def prepare(study: Study, machine: Machine | None = None, *, looking: bool = False, dataless: bool = False) -> Prepared:
    """Load a study's data and plan its tasks; when only ``looking``, without making any folder.

    Args:
        dataless: who only looks need not have the data: of what is to be fetched the shape is known. Its checksum is
            not, and so no task is that of an earlier run.

    Raises:
        InputError: whatever of it cannot be: unknown names, data that are not there, settings that do not fit them.
    """
    if not isinstance(study, Study) or not isinstance(machine, Machine | None):
        wrong = study if not isinstance(study, Study) else machine
        raise InputError(f"expected a mixlens.Study and perhaps a mixlens.Machine, got {type(wrong).__name__}.")
    ranks = None if looking else join()
    with leaving(ranks):
        return _prepared(study, machine, looking=looking, dataless=dataless, ranks=ranks)


def _prepared(study: Study, machine: Machine | None, *, looking: bool, dataless: bool, ranks: Ranks | None) -> Prepared:
    follows = ranks is not None and ranks.rank > 0  # it writes nothing and says nothing
    given = {name: plain(value) for name, value in vars(machine or Machine()).items()}
    machine, sections = from_user(Machine, given, "Machine"), installed_sections()
    workers = worker_count(machine) if ranks is None else 1
    study = read_study(None, sections, study.describe())  # with every setting that was not given, and all of them tried
    out = Path(machine.out)
    store = Store(out / "runs", looking=looking or follows)
    absent = not_there(study.data, machine.data_root) if looking and dataless else None
    dataset = cut(absent.stand_in, study) if absent else None
    context = make_context(study, machine, Reporter(quiet=machine.quiet or follows), dataset, ranks)
    context = replace(context, log=None if follows else make_log(machine.log, out / study.name))
    tasks = plan(study, sections, context.dataset, context.backend, machine.data_root)
    folder = out / study.name
    before = _before(folder, study, {task.name for task in tasks})
    at_once = machine.at_once or (AT_ONCE if context.backend.device.type == "cuda" and ranks is None else 1)
    megabytes = absent.megabytes if absent else 0.0
    return Prepared(study, tasks, store, context, folder, at_once, before, megabytes, machine, workers)


def _before(folder: Path, study: Study, planned: set[str]) -> StudyRecord | None:
    """What ran under this name before; None where nothing did, or its record cannot be read any more.

    Raises:
        InputError: it was a study with other settings, whose results this one's report would leave out or stand beside.
    """
    if not os.path.exists(folder / RECORD):
        return None
    try:
        before = read_record(folder)
    except InputError:
        return None
    others = differing(before.settings, study.describe())
    if others and any(task.state == "done" and task.name not in planned for task in before.tasks):
        name, there, here = others[0]
        raise InputError(
            f"{folder} holds a study with other settings: {name} is {there!r} there and {here!r} here. Give this one a "
            "name of its own with --name, or delete that folder; finished tasks stay in runs/ and are not repeated."
        )
    return before


def conduct(study: Study, machine: Machine | None = None) -> StudyRecord:
    """Run a study, or go on with it, and return its record: ``conduct(study).table("vae")`` is a DataFrame of its rows.

    With several values of a setting that takes one, such as ``train_size=[2500, 10000]``, each combination is a study;
    they stand in one record.

    Raises:
        InputError: as `prepare` and `Prepared.run`.
    """
    if not isinstance(study, Study):
        return prepare(study, machine).run()  # which refuses it
    points = read_studies(None, installed_sections(), study.describe())
    with Crew() as crew:
        records = [prepared.run(crew=crew) for prepared in prepare_each(points, machine)]
    return combine(records, mixed=True) if records[1:] else records[0]


def prepare_each(studies: Sequence[Study], machine: Machine | None = None) -> Iterator[Prepared]:
    """The studies of one report, as `read_studies` gives them, one after the other, each to be run before the next.

    Raises:
        InputError: as `prepare`, of any of them before the first is given.
    """
    for study in studies[1:]:
        prepare(study, machine, looking=True)
    folders = []
    for study in studies:
        prepared = prepare(study, machine)
        folders.append(prepared.folder)
        if not (prepared.context.backend.ranks and prepared.context.backend.ranks.rank):
            write_parts(report_folder(studies, machine), folders)
        yield prepared


def report_folder(studies: Sequence[Study], machine: Machine | None = None) -> Path:
    """Where the report of such studies lies: the first one's folder, or that of the sweep that it is a point of."""
    return Path((machine or Machine()).out) / (studies[0].sweep or studies[0].name)
