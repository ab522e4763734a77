"""A study: what to compare, on what, how often. And its plan: the tasks it takes, each with the key of its output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
import yaml

from ..data.dataset import Dataset, load_dataset
from ..data.loader import normalise
from ..errors import InputError, unknown
from ..interface import Section, Task
from ..masks.policies import BASELINE, Policy, parse_policy
from ..plugins import split_list
from ..settings import changed, from_mapping, plain, setting
from ..store.runs import key_of

PRESETS = ("demo", "cpu", "paper")


@dataclass(frozen=True)
class Study:
    """Every field can be given in a YAML file; sections' settings stand beside them under the section's name."""

    name: str = setting("study", "Name of the study: its folder and its report's title.")
    data: str = setting("cifar10", "Data set: cifar10, photos, or your own as package.module:factory.", "section 3")
    train_size: int | None = setting(None, "Train on a class-balanced subset of this many images.", "Fig. 3")
    subset_seed: int = setting(0, "Seed that chooses the subset.")
    augmentations: tuple[str, ...] = setting(
        ("baseline", "mixup", "cutmix", "fmix"),
        "Augmentations to compare, e.g. baseline,mixup,fmix(alpha=0.2).",
        "Table 1",
    )
    seeds: tuple[int, ...] = setting((0, 1, 2, 3, 4), "Training seeds, the replicates.", "5 trials, Table 1")
    sections: tuple[str, ...] = setting(("vae",), "Sections to run.")
    settings: Mapping[str, Any] = field(default_factory=dict)  # section name → its config

    def __post_init__(self) -> None:
        reserved = self.name == "runs" or self.name.startswith(".") or not self.name.isprintable()
        if not 1 <= len(self.name) <= 100 or reserved or any(letter in self.name for letter in '/\\:*?"<>|'):
            raise InputError(
                "a study's name becomes a folder beside 'runs': at most 100 letters that can be seen, none of "
                f'/\\:*?"<>|, no dot at its start; got {self.name!r}. Give another with --name.'
            )
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise InputError(f"seeds must be different whole numbers of at least 0, got {list(self.seeds)}.")
        if not self.sections:
            raise InputError("a study needs at least one section, such as vae.")
        if not self.augmentations:
            raise InputError(f"a study needs at least one augmentation, such as {BASELINE} or mixup.")
        keys = [key_of(policy.settings) for policy in self.policies]
        for i, key in enumerate(keys):
            if key in keys[:i]:
                raise InputError(f"augmentation {self.augmentations[i]!r} is listed twice.")

    @property
    def policies(self) -> tuple[Policy, ...]:
        return tuple(parse_policy(text) for text in self.augmentations)

    def load(self, root: str | Path | None = None) -> Dataset:
        """The study's data, cut to its training size."""
        dataset = load_dataset(self.data, root)
        return dataset if self.train_size is None else dataset.subset(self.train_size, self.subset_seed)

    def describe(self) -> dict[str, Any]:
        """All settings as plain values: what reports show and a YAML file could hold."""
        own = {name: plain(getattr(self, name)) for name in self.__dataclass_fields__ if name != "settings"}
        return own | {name: plain(vars(config)) for name, config in self.settings.items()}


def read_study(
    source: str | None, sections: Mapping[str, Section], overrides: Mapping[str, Any] | None = None
) -> Study:
    """A study from a preset's name or a YAML file (or the defaults, for None), with overrides laid over it.

    Args:
        sections: the known sections by name.
        overrides: the same shape as the YAML file; the last word on each setting.

    Raises:
        InputError: no such preset or file, broken YAML, an unknown key, a value that is not allowed.
    """
    for name in sections:
        if name in Study.__dataclass_fields__:
            raise InputError(f"a section cannot be called {name!r}, which is a study's setting; uninstall its package.")
    values = dict(_read(source)) if source is not None else {}
    for key, value in (overrides or {}).items():
        if key in sections and isinstance(value, Mapping):
            values[key] = {**_mapping(values.get(key), key), **value}
        else:
            values[key] = value
    for listed in ("augmentations", "sections"):
        if isinstance(values.get(listed), str):
            values[listed] = split_list(values[listed])
    if isinstance(values.get("seeds"), int) and not isinstance(values["seeds"], bool):
        values["seeds"] = list(range(values["seeds"]))  # a count
    own = {key: value for key, value in values.items() if key not in sections}
    known = {*Study.__dataclass_fields__, *sections} - {"settings"}
    for key in own:
        if key not in known:
            raise unknown("setting in the study:", key, known)
    study = from_mapping(Study, own, "study")
    for name in study.sections:
        if name not in sections:
            raise unknown("section", name, sections)
    settings: dict[str, Any] = {
        name: from_mapping(sections[name].config, _mapping(values.get(name), name), name)
        for name in dict.fromkeys(used for listed in study.sections for used in (*sections[listed].uses, listed))
    }
    return Study(**{**vars(study), "settings": settings})


def try_policies(study: Study, dataset: Dataset) -> None:
    """Build every augmentation and mix a few images with it, so that a mistake shows now, not after hours of training.

    Raises:
        InputError: an augmentation cannot be made, or fails.
    """
    few = min(8, len(dataset.train))
    x = normalise(dataset.train.images[:few], dataset.mean, dataset.std)
    for policy in study.policies:
        mix = policy.build(len(dataset.classes), "elem")
        if mix is not None:
            mix(x.clone(), dataset.train.labels[:few], generator=torch.Generator().manual_seed(0), step=0)


def training_settings(
    config: Any, dataset: Dataset, policy: Policy, seed: int, precision: str, *, without: Sequence[str] = ()
) -> dict[str, Any]:
    """What determines a training: its changed settings but those in ``without``, seed, data, precision, augmentation.

    The mix mode is among them only where it matters: for a named augmentation.
    """
    if policy.is_baseline or ":" in policy.settings["use"]:
        without = (*without, "mix_mode")
    settings = {name: value for name, value in changed(config).items() if name not in without}
    settings |= {"seed": seed, "data": dataset.checksum, "precision": precision}
    return settings if policy.is_baseline else settings | {"augmentation": policy.fingerprint()}


def name_of(task: Task) -> str:
    """The task's run directory: its kind and the first 16 digits of its key."""
    return f"{task.kind}-{key_of(config_of(task))[:16]}"


def config_of(task: Task) -> dict[str, Any]:
    """Everything that determines a task's output, as stored in its ``config.json``."""
    return {
        "kind": task.kind,
        "version": task.version,
        "config": plain(task.config),
        "inputs": [name_of(parent) for parent in task.inputs],
    }


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks and all they build on, each once, inputs first."""
    ordered: dict[str, Task] = {}

    def visit(task: Task) -> None:
        for parent in task.inputs:
            visit(parent)
        ordered.setdefault(name_of(task), task)

    for task in tasks:
        visit(task)
    return list(ordered.values())


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a mapping of settings, got {value!r}.")
    return value


def _read(source: str) -> Mapping[str, Any]:
    path = Path(source)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the study {source}: {getattr(error, 'strerror', None) or error}.") from error
    elif source in PRESETS:
        text = (files(__package__) / "presets" / f"{source}.yaml").read_text(encoding="utf-8")
    else:
        raise InputError(f"{unknown('preset', source, PRESETS)} A study file's name ends in .yaml.")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise InputError(f"{source} is not valid YAML{at}: {getattr(error, 'problem', None) or error}.") from error
    if not isinstance(values, Mapping):
        raise InputError(f"{source} must hold a mapping such as 'data: cifar10', got {type(values).__name__}.")
    return values
