"""What a process does that is not the first of those which share a study's trainings: its part of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from ..interface import Task
from ..store.runs import CHECKPOINT, Run
from ..training.ranks import PartedError, Ranks
from ..training.turns import whole, within
from .worker import Context, worked


def follow(tasks: Sequence[Task], context: Context, ranks: Ranks) -> None:
    """Take part in every training that the first process begins, until it has no more.

    What the training leaves here is thrown away: the first process has the same. Where it fails alike in all, the first
    one records it.

    Raises:
        PartedError: the processes cannot go on together.
    """
    planned = {task.name: task for task in tasks}
    while True:
        with TemporaryDirectory() as folder:
            run = Run(Path(folder))
            if not (name := ranks.next_training(run / CHECKPOINT)):
                return
            task = planned[name]
            precision = context.backend.resolve(task.precision or "fp32")
            backend = replace(context.backend, precision=precision).apart()
            here = replace(context, backend=backend, label=task.label)
            try:
                whole(within(ranks.together(worked(task, run, (), here)), backend.session))
            except (PartedError, KeyboardInterrupt):
                raise
            except BaseException:  # the first process says what
                pass
