"""What tells networks apart, as data: a study's settings and an augmentation's arguments, each by its name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..errors import InputError
from ..interface import MIX_DEFAULTS, Study
from ..spec import Spec, ascending, read_spec


class Mixing(NamedTuple):
    """An augmentation taken apart; defaults of known ones stand among the arguments that others of its kind have."""

    use: str
    arguments: Mapping[str, Any]


def settings_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a study's design, by dotted names: ``vae.epochs``.

    Of a text like ``name(key=value)``, its arguments beside it: ``classifier.model.width``.
    """
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in Study.FREE:
            named = {f"{key}.{name}": each for name, each in value.items()} if isinstance(value, Mapping) else {}
            flat |= named or {key: value}
    for key, value in list(flat.items()):
        spec = _spec(value) if isinstance(value, str) else None
        if spec is not None and spec.arguments:
            flat[key] = spec.use
            flat |= {f"{key}.{name}": each for name, each in spec.arguments.items()}
    return flat


def mixing_of(augmentation: str) -> Mixing:
    """Its use and arguments; a text that is no call, as rows of any origin may hold, stands for itself."""
    spec = _spec(augmentation)
    return Mixing(augmentation, {}) if spec is None else Mixing(spec.use, spec.arguments)


def argument(mixing: Mixing, name: str) -> Any:
    """An argument's value; None where it is not written and has no known default."""
    known = None if ":" in mixing.use else MIX_DEFAULTS.get(name)
    return mixing.arguments.get(name, known)


def differing(designs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The dotted names of what designs, as `settings_of` gives them, have otherwise: those that several of them have.

    A section that a study did not run tells it from no other; an argument that is not written does.
    """
    names = []
    for name in dict.fromkeys(name for design in designs for name in design):
        parent = name.rpartition(".")[0]
        values = [design.get(name) for design in designs if name in design or parent in design]
        if any(value != values[0] for value in values):
            names.append(name)
    return names


def point_words(design: Mapping[str, Any], names: Sequence[str]) -> str:
    """``train_size=2500, epochs=12``: the values that a design, as `settings_of` gives it, has of these settings.

    A setting is called by what stands behind its last dot, unless another of the design is called alike.
    """
    return ", ".join(f"{short_name(name, design)}={value_words(name, design)}" for name in names)


def short_name(name: str, design: Iterable[str]) -> str:
    last = name.rpartition(".")[2]
    return name if any(other != name and other.rpartition(".")[2] == last for other in design) else last


def value_words(name: str, design: Mapping[str, Any]) -> str:
    """A value as a label has it: ``2500``, ``0.001``, ``all`` training images."""
    value = design.get(name)
    if value is None:
        counts = name.rpartition(".")[2] in ("train_size", "images", "training_images")
        return "all" if counts else "none" if name in design else "default"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def in_order(values: Iterable[Any]) -> list[Any]:
    """Each value once: numbers ascending, anything else as it came."""
    return ascending(list(dict.fromkeys(values)))


def _spec(text: str) -> Spec | None:
    try:
        return read_spec(text, "setting")
    except InputError:
        return None
