"""The command line: one command per section, whole studies, data and masks. Reads arguments, prints, sets exit status.

Exit status 0: done; 1: some tasks failed; 2: something given cannot be used; 130: interrupted.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from inspect import Parameter as Argument
from inspect import Signature
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, Parameter
from cyclopts.exceptions import CommandCollisionError
from rich.console import Console

from .analysis.errors import InputError
from .analysis.interface import Section
from .analysis.plugins import installed_sections
from .commands import compare, data, information, masks, report, screen, write_reports
from .options import STUDY, Common, given, overrides_of

_arguments: ContextVar[list[str]] = ContextVar("arguments")  # as typed, for a study's record
OPTIONS = ("study", "config", "common", "sections", "dry_run")  # of the commands themselves
SHORT = {"classifier": {"model": "--model", "weights": "--weights"}}  # flags that need no section's name


def _version() -> str:
    try:
        return version("mixlens")
    except PackageNotFoundError:
        return "not installed"


def application() -> App:
    """The command line with every installed section's command.

    Raises:
        InputError: a section cannot be loaded, or is called as another command.
    """
    app = App(
        name="mixlens",
        suppress_keyboard_interrupt=False,
        help="What mixed-sample augmentation (MixUp, CutMix, FMix, your own) does to what a network learns.",
        version=_version,
        help_format="plaintext",
    )
    sections = installed_sections()
    for name in sections:
        if name in OPTIONS:
            raise InputError(f"a section cannot be called {name!r}, which is an option; uninstall its package.")
    flags = {name: _flags(section, place) for place, (name, section) in enumerate(sections.items(), start=2)}
    for command in (report, compare, information, data, masks):
        app.command(command)
    app.command(_run_command(flags))
    for section in sections.values():
        own = {name: flags[name] for name in (*section.uses, section.name)}
        try:
            app.command(_section_command(section, own))
        except CommandCollisionError as error:
            raise InputError(
                f"the section {section.name!r} is called as another command is; uninstall its package."
            ) from error
    return app


def _flags(section: Section, place: int) -> Any:
    """The section's settings as optional flags, under a heading of their own."""
    overrides = overrides_of(section.config, **SHORT.get(section.name, {}))
    group = Group(f"Settings of {section.name}", sort_key=place)
    return Annotated[overrides | None, Parameter(name=f"--{section.name}", group=group)]


def _run_command(flags: Mapping[str, Any]) -> Callable[..., int]:
    def run(
        study: str, *, sections: str | None = None, dry_run: bool = False, common: Common | None = None, **settings: Any
    ) -> int:
        """Run a whole study and write its report. Run the same command again to go on where it stopped.

        Several terminals or machines that share --out may run the same study at once: each takes what is not taken.

        Parameters
        ----------
        study
            A preset (demo, cpu, paper) or a YAML file.
        sections
            Only these sections of it, e.g. vae,robustness.
        dry_run
            Show the plan and stop: every task, what is done already, and how long the rest took in past runs.
        """
        chosen = {} if sections is None else {"sections": sections}
        return _run(study, common, _given(settings) | chosen, dry_run=dry_run)

    own = (
        Argument("study", Argument.POSITIONAL_OR_KEYWORD, annotation=str),
        _option("sections", Annotated[str | None, Parameter(group=STUDY)]),
        _option("dry_run", Annotated[bool, Parameter(group=STUDY, negative=())], False),
    )
    return _with_flags(run, own, flags)


def _section_command(section: Section, flags: Mapping[str, Any]) -> Callable[..., int]:
    def command(*, config: str | None = None, common: Common | None = None, **settings: Any) -> int:
        return _run(config, common, _given(settings), only=section.name)

    command.__name__ = section.command or section.name
    command.__doc__ = f"""{section.summary}

    Parameters
    ----------
    config
        A preset (demo, cpu, paper) or a YAML file to start from. Default: the paper's settings.
    """
    return _with_flags(command, [_option("config", Annotated[str | None, Parameter(group=STUDY)])], flags)


def _with_flags(command: Callable[..., int], own: Sequence[Argument], flags: Mapping[str, Any]) -> Callable[..., int]:
    """The command as cyclopts is to see it: its own options, the common ones, and each section's settings."""
    arguments = [*own, _option("common", Common | None), *(_option(name, kind) for name, kind in flags.items())]
    command.__signature__ = Signature(arguments, return_annotation=int)  # type: ignore[attr-defined]
    command.__annotations__ = {argument.name: argument.annotation for argument in arguments}
    return command


def _option(name: str, kind: Any, default: Any = None) -> Argument:
    return Argument(name, Argument.KEYWORD_ONLY, annotation=kind, default=default)


def _given(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values for name, overrides in settings.items() if (values := given(overrides))}


def _run(
    source: str | None,
    common: Common | None,
    settings: Mapping[str, Any],
    only: str | None = None,
    *,
    dry_run: bool = False,
) -> int:
    """Read the study, run what is missing, write the record and the report; or only show the plan."""
    from .analysis.store.record import TaskRecord, read_record, write_record
    from .analysis.store.runs import Store
    from .analysis.study.execute import Context, Outcome, execute, task_records
    from .analysis.study.gallery import gallery_task
    from .analysis.study.plan import read_study, try_policies
    from .analysis.training.backend import make_backend
    from .analysis.training.progress import Reporter

    common = common or Common()
    sections = installed_sections()
    overrides = common.overrides() | {name: values for name, values in settings.items() if values}
    if only is not None:
        overrides["sections"] = [only]
    study = read_study(source, sections, overrides)
    started = datetime.now(UTC).isoformat(timespec="seconds")
    backend = make_backend(
        common.device, threads=common.threads, compile=common.compile, deterministic=common.deterministic
    )
    store = Store(common.out / "runs")
    dataset = study.load(common.data_root)
    try_policies(study, dataset)
    tasks = [gallery_task(study, dataset)]
    for name in study.sections:
        tasks += sections[name].tasks(study, dataset, backend)

    if dry_run:
        from .analysis.study.forecast import forecast
        from .reports.terminal import plan_table

        screen().print(plan_table(study.name, forecast(tasks, store)))
        return 0
    outcome = Outcome()
    folder = common.out / study.name

    def write_down() -> list[TaskRecord]:
        records = task_records(tasks, store, outcome)
        write_record(
            folder,
            name=study.name,
            command=shlex.join(["mixlens", *_arguments.get()]),
            settings=study.describe(),
            started=started,
            runs=store.root,
            tasks=records,
        )
        return records

    write_down()  # now, so that an unfinished study can be reported, and a folder that cannot be written is known
    try:
        with Reporter(quiet=common.quiet) as reporter:
            execute(tasks, store, Context(study.name, dataset, backend, reporter), outcome)
            reporter.say(f"{outcome.fresh} tasks run, {len(outcome.done) - outcome.fresh} taken from {store.root}")
    finally:
        records = write_down()
    for record in records:
        if record.state != "done":
            print(f"mixlens: {record.state}: {record.label}. {record.reason}".rstrip(), file=sys.stderr)
    written = read_record(folder)
    if written.rows():
        write_reports(written, folder)
    return 1 if outcome.failed else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The ``mixlens`` command. Returns the exit status; a user's mistake is one message, never a traceback."""
    errors = Console(stderr=True, highlight=False, emoji=False)
    given = sys.argv[1:] if arguments is None else list(arguments)
    _arguments.set(given)
    try:
        for argument in given:
            if not argument.isascii() and argument != argument.encode(errors="ignore").decode():
                raise InputError(f"{argument!r} is not UTF-8, so that no record could hold it; rename it.")
        result = application()(
            given,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        errors.print(f"mixlens: {error}".replace("\n", " "), markup=False, soft_wrap=True)
        return 2
    except InputError as error:
        errors.print(f"mixlens: {error}".replace("\n", " "), markup=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        errors.print("mixlens: interrupted. Run the same command again to go on where it stopped.", markup=False)
        return 130
    return result if isinstance(result, int) else 0
