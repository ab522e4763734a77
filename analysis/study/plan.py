"""A study's plan: the tasks it takes, each once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, cast

import torch

from ..data.dataset import Dataset, evenly_spaced
from ..data.load import load_dataset
from ..data.modality import modality_named
from ..errors import InputError, first_line, own_line
from ..interface import Section, Study, Task
from ..masks.policies import OwnAugmentation, Policy, parse_policy
from ..presentation.names import listed
from ..process import unchanged
from ..spec import Spec, read_spec
from ..training.backend import Backend
from .sections import package_of, with_used


@dataclass(frozen=True)
class Asked:
    """What a section's ``tasks`` are planned from."""

    study: Study
    config: Any  # the section's own settings
    dataset: Dataset
    backend: Backend
    root: Path | None  # of the data; None: where they usually lie
    used: Mapping[str, Sequence[Task]]  # the tasks of each section that it uses

    @cached_property
    def policies(self) -> list[Policy]:
        return [parse_policy(text) for text in self.study.augmentations]


def plan(
    study: Study, sections: Mapping[str, Section], dataset: Dataset, backend: Backend, root: Path | None = None
) -> list[Task]:
    """The tasks of every section that the study lists, in order, their inputs before them; each once.

    What several sections use is planned once, and only what leads to a listed one is there.

    Raises:
        InputError: an augmentation fails on a few images; what a section refuses.
    """
    for name in study.sections:
        if dataset.heads and not sections[name].heads:
            raise InputError(_one_head(name, dataset, study))
        if dataset.modality.NAME not in sections[name].modalities:
            kinds = listed([modality_named(kind).MANY for kind in sections[name].modalities])
            raise InputError(
                f"the section {name!r} is of {kinds}, and data set {dataset.name!r} has "
                f"{dataset.modality.MANY}. Leave the section out, or give other data."
            )
    try_policies(study, dataset)
    planned: dict[str, Sequence[Task]] = {}
    for name in with_used(study.sections, sections):
        section = sections[name]
        if section.every_study and dataset.modality.NAME not in section.modalities:
            continue
        used = {other: planned[other] for other in section.uses}
        asked = Asked(study, study.settings[name], dataset, backend, root, used)
        planned[name] = _tasks_of(section, asked)
    every = [name for name in planned if sections[name].every_study]
    ordered = in_order([task for name in dict.fromkeys([*every, *study.sections]) for task in planned[name]])
    return [_with_its_name(task, study.aliases) for task in ordered]


def _one_head(name: str, dataset: Dataset, study: Study) -> str:
    """What to do where a section takes one label an image, and the data have several heads."""
    head = dataset.heads[0].name
    spec = read_spec(study.data, "data set")
    one = Spec(spec.use, {**spec.arguments, "head": head}).text
    alone = "the labels of one head" if spec.is_own else f'--data "{one}"'
    return (
        f"the section {name!r} takes one label an image, and data set {dataset.name!r} has "
        f"{', '.join(each.name for each in dataset.heads)}. Leave the section out, or give {alone}."
    )


def _tasks_of(section: Section, asked: Asked) -> Sequence[Task]:
    """A section's tasks. Raises InputError for whatever fails in one of another package."""
    if not (package := package_of(section.name)):
        return cast(Sequence[Task], import_module(section.run).tasks(asked))
    where = f"the section {section.name!r} of the package {package}"
    try:
        with unchanged(where):
            tasks = import_module(section.run).tasks(asked)
    except (InputError, KeyboardInterrupt):
        raise
    except BaseException as error:  # whatever the package raises
        raise InputError(
            f"{where} cannot be planned: {type(error).__name__}: {first_line(error)}{own_line(error)}. Mend or "
            "uninstall that package, or leave the section out."
        ) from error
    if not isinstance(tasks, Sequence) or not all(isinstance(task, Task) for task in tasks):
        raise InputError(f"{where} must plan a list of tasks; it planned {tasks!r:.100}.")
    return tasks


def _with_its_name(task: Task, aliases: Mapping[str, str]) -> Task:
    """A task whose label has the name that people gave its augmentation."""
    text = task.network.augmentation
    return replace(task, label=task.label.replace(text, aliases[text])) if text in aliases else task


def load_data(study: Study, root: Path | None = None) -> Dataset:
    """The study's data, cut to its training size. Raises InputError."""
    return cut(load_dataset(study.data, root), study)


def cut(dataset: Dataset, study: Study) -> Dataset:
    """The data set, cut to the study's training size. Raises InputError."""
    return dataset if study.train_size is None else dataset.subset(study.train_size, study.subset_seed)


def try_policies(study: Study, dataset: Dataset) -> None:
    """Build every augmentation and mix a few images with it, so that a mistake shows now, not after hours of training.

    Raises:
        InputError: an augmentation is unknown, cannot be made, or fails.
    """
    order = dataset.train.first.argsort(stable=True)
    few = order[evenly_spaced(len(order), min(8, len(order)), "")]  # the first class and the last among them
    x = dataset.modality.mixable(dataset.train.images[few], dataset.mean, dataset.std).cpu()
    y = dataset.train.labels[few].cpu()
    for policy in map(parse_policy, study.augmentations):
        mix = policy.build(max(dataset.sizes), "elem")
        if isinstance(mix, OwnAugmentation):
            mix.try_on(x, y)
        elif mix is not None:
            mix.pairs(x.clone(), y, generator=torch.Generator().manual_seed(0), step=0)


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks and all they build on, each once, inputs first."""
    ordered: dict[str, Task] = {}

    def visit(task: Task) -> None:
        for parent in task.inputs:
            visit(parent)
        ordered.setdefault(task.name, task)

    for task in tasks:
        visit(task)
    return list(ordered.values())
