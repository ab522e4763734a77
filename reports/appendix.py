"""What was run, and on what: how long each kind of task took, hardware and versions. Imports no torch."""

from __future__ import annotations

import json
from collections import Counter

from ..analysis.presentation.numbers import duration
from ..analysis.presentation.parts import Table
from ..analysis.store.record import StudyRecord


def appendix(record: StudyRecord) -> list[Table]:
    """Tasks by kind with their durations, and the environments they ran in."""
    return [_tasks(record), _environments(record)]


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
    body = []
    for key in dict.fromkeys(key for environment in found for key in environment):
        counts = Counter(json.dumps(environment.get(key)) for environment in found)
        values = {text: "not known" if text == "null" else str(json.loads(text)) for text in counts}
        if len(counts) == 1:
            shown = "".join(values.values())
        else:
            shown = ", ".join(f"{values[text]} ({count})" for text, count in counts.most_common())
        body.append((key, shown))
    return Table(
        "environments",
        "Hardware and versions",
        "As stored with each finished task; where they differ, in how many tasks.",
        ("What", "Value"),
        tuple(body),
    )
