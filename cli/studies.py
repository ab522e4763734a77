"""The commands that run a study: ``run`` for a whole one, and one for each section."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from inspect import Parameter as Argument
from inspect import Signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Group, Parameter
from cyclopts.exceptions import CommandCollisionError

from ..analysis.errors import InputError
from ..analysis.interface import BASELINE, Machine, Section
from ..analysis.study.sections import with_used
from .flags import MACHINE_FLAGS, STUDY, STUDY_FLAGS, given, given_of, overrides_of
from .tools import screen, write_reports

if TYPE_CHECKING:
    from ..analysis.store.record import StudyRecord
    from ..analysis.study.conduct import Prepared
    from ..analysis.study.forecast import Timed

OPTIONS = ("study", "config", "sections", "dry_run", "asked", "machine")  # of the commands themselves


def add_commands(app: App, sections: Mapping[str, Section], typed: Sequence[str]) -> None:
    """Add ``run`` and the command of each section. ``typed``: the arguments, which a study's record keeps.

    Raises:
        InputError: a section is called as another command or an option is.
    """
    for name in sections:
        if name in OPTIONS:
            raise InputError(f"a section cannot be called {name!r}, which is an option; uninstall its package.")
    flags = {
        name: overrides_of(section.config, f"--{name}", Group(f"Settings of {name}", sort_key=place), axes=True)
        for place, (name, section) in enumerate(sections.items(), start=2)
    }
    command = shlex.join(["mixlens", *typed])
    app.command(_run_command(sections, flags, command))
    for section in sections.values():
        offered = {name: flags[name] for name in with_used([section.name], sections, every=False)}
        try:
            app.command(_section_command(sections, section, offered, command))
        except CommandCollisionError as error:
            raise InputError(
                f"the section {section.name!r} is called as another command is; uninstall its package."
            ) from error


def _run_command(installed: Mapping[str, Section], flags: Mapping[str, Any], command: str) -> Callable[..., int]:
    def run(
        study: str,
        *,
        sections: str | None = None,
        dry_run: bool = False,
        asked: Any = None,
        machine: Any = None,
        **settings: Any,
    ) -> int:
        """Run a whole study and write its report. Run the same command again to go on where it stopped.

        Several terminals or machines that share --out may run the same study at once: each takes what is not taken.

        Parameters
        ----------
        study
            A preset (demo, cpu, gpu, paper, paper-core) or a YAML file.
        sections
            Only these sections of it, e.g. vae,robustness.
        dry_run
            Show the plan and stop: what is done already, and what the rest takes, by past runs or a few steps of each
            network, for which images need not be there.
        """
        chosen = {} if sections is None else {"sections": sections}
        overrides = given(asked) | chosen | given_of(settings)
        return _run(installed, study, overrides, given(machine), command, dry_run=dry_run)

    options = (
        Argument("study", Argument.POSITIONAL_OR_KEYWORD, annotation=str),
        _option("sections", Annotated[str | None, Parameter(group=STUDY)]),
        DRY_RUN,
    )
    return _with_flags(run, options, flags)


def _section_command(
    installed: Mapping[str, Section], section: Section, flags: Mapping[str, Any], command: str
) -> Callable[..., int]:
    def run(
        *, config: str | None = None, dry_run: bool = False, asked: Any = None, machine: Any = None, **settings: Any
    ) -> int:
        overrides = given(asked) | given_of(settings) | {"sections": [section.name]}
        return _run(installed, config, overrides, given(machine), command, dry_run=dry_run)

    run.__name__ = section.command or section.name
    run.__doc__ = f"""{section.summary}

    Parameters
    ----------
    config
        A preset (demo, cpu, gpu, paper, paper-core) or a YAML file to start from. Default: the paper's settings.
    dry_run
        Show the plan and stop: what is done already, and what the rest takes, by past runs or a few steps of each
        network, for which images need not be there.
    """
    options = (_option("config", Annotated[str | None, Parameter(group=STUDY)]), DRY_RUN)
    return _with_flags(run, options, flags)


def _with_flags(
    command: Callable[..., int], options: Sequence[Argument], flags: Mapping[str, Any]
) -> Callable[..., int]:
    """The command as cyclopts is to see it: its own options, those of every study, and each section's settings."""
    common = (_option("asked", STUDY_FLAGS), _option("machine", MACHINE_FLAGS))
    arguments = [*options, *common, *(_option(name, kind) for name, kind in flags.items())]
    command.__signature__ = Signature(arguments, return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {argument.name: argument.annotation for argument in arguments}
    return command


def _option(name: str, kind: Any, default: Any = None) -> Argument:
    return Argument(name, Argument.KEYWORD_ONLY, annotation=kind, default=default)


DRY_RUN = _option("dry_run", Annotated[bool, Parameter(group=STUDY, negative=())], False)


def _run(
    sections: Mapping[str, Section],
    source: str | None,
    overrides: Mapping[str, Any],
    machine: Mapping[str, Any],
    command: str,
    *,
    dry_run: bool = False,
) -> int:
    """Read the study, run what is missing, and write the report; or only show the plan.

    Its variants, and the other points of settings with several values, are run after it and stand in the same report.
    """
    from ..analysis.store.record import combine
    from ..analysis.study.conduct import prepare, prepare_each, report_folder
    from ..analysis.study.executors.clusters import Crew
    from ..analysis.study.study import read_studies

    with redirect_stdout(sys.stderr):  # what a user's own code prints is no part of the answer
        studies, place = read_studies(source, sections, overrides), Machine(**machine)
        plans = [prepare(study, place, looking=True, dataless=True) for study in studies] if dry_run else []
    if dry_run:
        timed: Timed = {}
        seconds = [_show(each, timed, place.workers) for each in plans]
        _warn(plans[0])
        if studies[1:]:
            from .tables import for_workers

            print(f"All {len(studies)} studies: about {for_workers(sum(seconds), place.workers)}.")
        return 0
    from ..reports.content import has_content

    records: list[StudyRecord] = []
    logs: list[Path] = []
    with redirect_stdout(sys.stderr), Crew() as crew:
        for prepared in prepare_each(studies, place):
            ranks = prepared.context.backend.ranks
            if ranks is not None and ranks.rank:  # the first process says the rest, and writes the report
                prepared.run(command)
                continue
            if not records:
                _warn(prepared)
            records.append(record := prepared.run(command, crew))
            log = prepared.context.log
            logs += [log.path] if log and log.path.exists() else []
            for task in record.tasks:
                if task.state != "done":
                    print(f"mixlens: {task.state}: {task.label}. {task.reason}".rstrip(), file=sys.stderr)
    if not records:
        return 0
    unshown, whole = 0, combine(records, mixed=True) if records[1:] else records[0]
    if has_content(whole):
        folder = report_folder(studies, place)
        unshown = write_reports(whole, folder, answer=not place.quiet, more=_places(place, records, logs))
    return 1 if unshown or any(task.state == "failed" for record in records for task in record.tasks) else 0


def _warn(prepared: Prepared) -> None:
    """Of networks without a baseline: nothing will be compared."""
    networks = [task.network for task in prepared.tasks if task.network is not None]
    brought = {task.network.augmentation for task in prepared.tasks if task.network and task.kind == "classifier-load"}
    if networks and BASELINE not in (brought or prepared.study.augmentations):
        add = f"name one of the weights {BASELINE}=FILE" if brought else f"add {BASELINE} to --augmentations"
        print(
            f"mixlens: {prepared.study.name} has no baseline, so its report will show levels and compare nothing; "
            f"{add} if differences are wanted.",
            file=sys.stderr,
        )


def _places(machine: Machine, records: Sequence[StudyRecord], logs: Sequence[Path]) -> dict[str, str]:
    """What a study leaves beside its report."""
    shown = " ".join(map(shlex.quote, map(str, logs)))
    if machine.log == "tensorboard" and logs:
        # One of several studies' folders is in all of them.
        shown = f"tensorboard --logdir {shlex.quote(str(logs[0] if len(logs) == 1 else machine.out))}"
    return ({"curves": shown} if logs else {}) | {"runs": str(records[0].runs)}


def _show(prepared: Prepared, timed: Timed, workers: int | None) -> float:
    """A study's plan, and of the paper's data how many seeds its claims need. Returns the seconds that are left."""
    from ..analysis.study.conduct import seeds_in_words
    from ..analysis.study.forecast import forecast
    from ..reports import paper
    from ..reports.power import seeds_needed
    from .tables import plan_table, power_words

    study = prepared.study
    print(f"{study.name}: {seeds_in_words(study.seeds)}, {len(prepared.tasks)} tasks")
    if prepared.megabytes:
        print(
            f"The data are not there: {prepared.megabytes:g} MB to download (mixlens data {study.data} --fetch). "
            "Others of their shape stand in for them here, and past runs cannot be looked up."
        )
    with redirect_stdout(sys.stderr):
        planned = forecast(prepared.tasks, prepared.store, prepared.context, timed)
    screen().print(plan_table(study.name, planned, workers))
    needed = seeds_needed(study.sections, study.augmentations, paper.Setup.of(study.describe()))
    if needed:
        screen().print(power_words(needed, len(study.seeds)))
    return sum(task.seconds for task in planned if task.state != "done" and task.seconds is not None)
