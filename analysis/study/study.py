"""Reading a study: presets, YAML files and overrides, checked. Imports no torch.

What a study is stands in `mixlens.analysis.interface.Study`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, unknown
from ..interface import Section, Study
from ..presentation.names import check_aliases
from ..schema import at_home, from_user, shown
from ..spec import expand_named, split_list
from . import plain_yaml
from .axes import axes_of, named, points
from .sections import with_used

if TYPE_CHECKING:
    from ..masks.policies import Policy

MOST_SEEDS = 1000  # as a count; a list may be longer
PRESETS = ("demo", "cpu", "gpu", "paper", "paper-core")
VARIANTS = "variants"


def read_studies(
    source: str | None, sections: Mapping[str, Section], overrides: Mapping[str, Any] | None = None
) -> list[Study]:
    """A study as `read_study` reads it, then its ``variants``: the same with other settings, on the same data.

    A study file lists them by name, ``variants: {small: {train_size: 2500}}``; that one is called ``NAME-small``.
    Overrides are laid over all of them; of overriding sections a variant takes its own, and with none of them is left
    out. Each that lists several values of a setting, ``train_size: [2500, 10000]``, is a study for each of them
    (`mixlens.analysis.study.axes`), called ``NAME (train_size=2500)``.

    Raises:
        InputError: as `read_study`; a variant that is no mapping, or has a name, data or variants of its own.
    """
    overrides = overrides or {}
    values = dict(_read(source)) if source is not None else {}
    variants = _mapping(values.pop(VARIANTS, None), VARIANTS)
    first = _laid_over(values, overrides, sections)
    studies = _points_of(first, sections)
    name, listed = studies[0].sweep or studies[0].name, studies[0].sections
    for suffix, changes in variants.items():
        changes = _mapping(changes, f"{VARIANTS}.{suffix}")
        for key in ("name", "data", VARIANTS):
            if key in changes:
                raise InputError(
                    f"{VARIANTS}.{suffix} has a {key!r}; a variant is called after its study and shares its data."
                )
        variant = _points_of(_laid_over(values, changes, sections), sections)[0]
        kept = tuple(section for section in variant.sections if section in listed)
        if kept or "sections" not in overrides:
            laid = _laid_over(_laid_over(values, changes, sections), overrides, sections)
            own = {"name": f"{name}-{suffix}", "sections": kept if "sections" in overrides else variant.sections}
            studies += _points_of(laid | own, sections)
    return studies


def read_study(
    source: str | None, sections: Mapping[str, Section], overrides: Mapping[str, Any] | None = None
) -> Study:
    """A study from a preset's name or a YAML file (or the defaults, for None), with overrides laid over it.

    Args:
        sections: the known sections by name.
        overrides: the same shape as the YAML file; the last word on each setting.

    Raises:
        InputError: no such preset or file, broken YAML, an unknown key, a value that is not allowed, several values of
            a setting that takes one.
    """
    study = read_studies(source, sections, overrides)[0]
    if (overrides or {}).get("sweep", "") != study.sweep:
        raise InputError(f"the study {study.sweep!r} lists several values of a setting, and is several studies.")
    return study


def _laid_over(
    values: Mapping[str, Any], changes: Mapping[str, Any], sections: Mapping[str, Section]
) -> dict[str, Any]:
    laid = dict(values)
    for key, value in changes.items():
        merged = key in sections and isinstance(value, Mapping)
        laid[key] = {**_mapping(laid.get(key), key), **value} if merged else value
    return laid


def _points_of(values: Mapping[str, Any], sections: Mapping[str, Section]) -> list[Study]:
    """The study of these values, or one for each combination of those that are listed where one is due."""
    axes = axes_of(values, sections)
    first = _study_of(points(values, axes)[0], sections)
    run = with_used(first.sections, sections)
    varied = [
        axis if not axis.section or axis.section in run else axis._replace(values=axis.values[:1]) for axis in axes
    ]
    combined = points(values, varied)
    return named([_study_of(laid, sections) for laid in combined]) if combined[1:] else [first]


def _study_of(values: Mapping[str, Any], sections: Mapping[str, Section]) -> Study:
    own_keys = {field.name for field in fields(Study)} - {"settings"}
    for name in sections:
        if name in {*own_keys, "settings", VARIANTS}:
            raise InputError(f"a section cannot be called {name!r}, which is a study's setting; uninstall its package.")
    for key in values:
        if key not in {*own_keys, *sections}:
            raise unknown("setting in the study:", key, {*own_keys, *sections})
    study = from_user(Study, {key: _spelt_out(key, value) for key, value in values.items() if key in own_keys}, "study")
    for name in study.sections:
        if name not in sections:
            raise unknown("section", name, sections)
    study = _with_names(study)
    given = {name: _mapping(values.get(name), name) for name in with_used(study.sections, sections)}
    for name in sections:  # a mistake in the settings of a section that is not asked for is one too
        if name not in given:
            from_user(sections[name].config, _mapping(values.get(name), name), name)
    settings: dict[str, Any] = {name: from_user(sections[name].config, chosen, name) for name, chosen in given.items()}
    return replace(study, settings=settings)


def read_augmentations(texts: Sequence[str]) -> tuple[list[Policy], dict[str, str]]:
    """Augmentations as they are written in a study, and the names that ``name=…`` gives some: by their canonical text.

    Raises:
        InputError: one that is unknown, misspelt, or listed twice; a name that is given twice or means another.
    """
    from ..masks.policies import parse_policy  # and its torch

    listed = [pair for text in texts for pair in expand_named(text, "augmentation")]
    policies = [parse_policy(text) for text, _ in listed]
    canonical = [policy.text for policy in policies]
    for place, text in enumerate(canonical):
        if text in canonical[:place]:
            raise InputError(f"augmentation {listed[place][0]!r} is listed twice.")
    aliases = {text: name for text, (_, name) in zip(canonical, listed, strict=True) if name}
    check_aliases(list(aliases.values()))
    return policies, aliases


def _with_names(study: Study) -> Study:
    """Augmentations as rows name them, and the names that people see instead, also those that it had before."""
    policies, aliases = read_augmentations(study.augmentations)
    texts = tuple(policy.text for policy in policies)
    aliases = {text: name for text, name in study.aliases.items() if text in texts} | aliases
    check_aliases(list(aliases.values()))
    return replace(study, augmentations=texts, aliases=aliases)


def _spelt_out(key: str, value: Any) -> Any:
    """Lists that were written as one text, and a count of seeds, as the tuples they stand for."""
    if key in ("augmentations", "sections") and isinstance(value, str):
        return split_list(value)
    if key != "seeds":
        return value
    if isinstance(value, str):
        try:
            value = [int(part) for part in value.split(",") if part.strip()] if "," in value else int(value)
        except ValueError:
            raise InputError(f"seeds are a count (5) or a list (0,3,7), got {value!r}.") from None
    if type(value) is int and value > MOST_SEEDS:
        raise InputError(
            f"seeds: {shown(value)} as a count is more than {MOST_SEEDS} trainings of each; a list is 0,3,7."
        )
    if type(value) is int and value < 1:
        raise InputError(f"seeds: {value} as a count is no training at all; give 1 or more, or a list such as 0,3,7.")
    return list(range(value)) if type(value) is int else value


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"{where} must be a mapping of settings, got {value!r}.")
    return value


def _read(source: str) -> Mapping[str, Any]:
    path = at_home(Path(source))
    if path.suffix in (".yaml", ".yml") or os.path.isfile(path):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the study {source}: {getattr(error, 'strerror', None) or error}.") from error
    elif source in PRESETS:
        text = (files(__package__) / "presets" / f"{source}.yaml").read_text(encoding="utf-8")
    else:
        raise InputError(f"{unknown('preset', source, PRESETS)} A study file's name ends in .yaml.")
    try:
        values = plain_yaml.load(text)
    except ValueError as error:
        raise InputError(f"{source} is not valid YAML {error}.") from error
    if not isinstance(values, Mapping):
        raise InputError(f"{source} must hold a mapping such as 'data: cifar10', got {type(values).__name__}.")
    return values
