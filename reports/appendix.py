"""What was run, and on what: how long each kind of task took, hardware and versions. Imports no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..analysis.presentation.numbers import duration
from ..analysis.presentation.parts import Table
from ..analysis.store.record import StudyRecord
from .settings import settings_table

MACHINE = ("hardware", "device", "platform", "threads")
MODES = ("precision", "compile", "deterministic")


def appendix(record: StudyRecord) -> list[Table]:
    """Tasks by kind with their durations, the environments they ran in, and the settings that are not the default."""
    return [_tasks(record), _environments(record), settings_table(record)]


def _tasks(record: StudyRecord) -> Table:
    body = []
    for kind in dict.fromkeys(task.kind for task in record.tasks):
        states = Counter(task.state for task in record.tasks if task.kind == kind)
        times = sorted(record.seconds(task) for task in record.done(kind))
        shown = [duration(times[len(times) // 2]), duration(times[-1]), duration(sum(times))] if times else ["—"] * 3
        body.append((kind, *(str(states[state]) for state in ("done", "failed", "skipped")), *shown))
    return Table(
        "tasks",
        "Tasks",
        "By kind, with the time spent in the finished ones themselves (the middle one, the longest, all together), "
        "added up over workers and interrupted tries.",
        ("Kind", "finished", "failed", "skipped", "middle", "longest", "together"),
        tuple(body),
    )


def _environments(record: StudyRecord) -> Table:
    found = record.environments()
    machines = [{key: env[key] for key in MACHINE if env.get(key) is not None} for env in found]
    versions = [{key: value for key, value in env.items() if key not in (*MACHINE, *MODES)} for env in found]
    body = [
        *(("machine", text) for text in _counted(", ".join(map(_fact, env.items())) for env in machines)),
        *(("versions", text) for text in _counted(_merged(versions))),
    ]
    for key in MODES:
        shown = _counted("not known" if env.get(key) is None else str(env[key]).lower() for env in found)
        if shown not in (["false"], ["not known"]):
            body.append((key, "; ".join(shown)))
    return Table(
        "environments",
        "Hardware and versions",
        "As stored with each finished task, each machine once; where tasks differ, in how many.",
        ("What", "Value"),
        tuple(body),
    )


def _counted(texts: Iterable[str]) -> list[str]:
    """Each text once, with how many tasks it is of where there are several."""
    counts = Counter(texts)
    if len(counts) == 1:
        return list(counts)
    return [f"{text} ({count} task{'s' if count > 1 else ''})" for text, count in counts.most_common()]


def _merged(versions: Sequence[Mapping[str, Any]]) -> list[str]:
    """The versions of each task in words, one text for all that do not contradict each other."""
    groups: list[dict[str, Any]] = []
    chosen = []
    for env in versions:
        fits = next((group for group in groups if all(group.get(key, env[key]) == env[key] for key in env)), None)
        if fits is None:
            groups.append(fits := {})
        fits |= env
        chosen.append(fits)
    texts = {id(group): ", ".join(f"{key} {_known(value)}" for key, value in group.items()) for group in groups}
    return [texts[id(group)] for group in chosen]


def _fact(item: tuple[str, Any]) -> str:
    key, value = item
    return f"{value} thread{'s' if value != 1 else ''}" if key == "threads" else str(value)


def _known(value: Any) -> str:
    return "not known" if value is None else str(value)
