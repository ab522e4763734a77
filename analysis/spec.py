"""One grammar for what a user names: ``name(key=value, …)`` or their own ``package.module:factory(key=value, …)``.

Augmentations, attacks, models, data sets and heatmap methods are all written in it. Values are plain literals. Where a
study takes several of a kind, a list stands for each of its values: ``fmix(alpha=[0.2,1])`` is two augmentations (a
value that is itself a sequence is written as a tuple). Where results are named, ``name=…`` before it gives it another.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from .errors import InputError, first_line, unknown
from .process import kept


@dataclass(frozen=True)
class Spec:
    """What was named, and the arguments it was given."""

    use: str  # a name, or package.module:factory
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The canonical way to write it: arguments in alphabetical order."""
        listed = ",".join(f"{key}={value!r}" for key, value in sorted(self.arguments.items()))
        return f"{self.use}({listed})" if listed else self.use

    @property
    def is_own(self) -> bool:
        """Whether it names a module, such as a user's own."""
        return ":" in self.use


def read_spec(text: str, kind: str) -> Spec:
    """Read ``name`` or ``name(key=value, …)`` with plain literals. ``kind`` says in messages what is named.

    Raises:
        InputError: another form, or values that are not plain numbers, strings, lists.
    """
    name, opened, rest = text.strip().partition("(")
    if not opened:
        return Spec(name.strip())
    try:
        node = ast.parse(f"f({rest}", mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
            raise ValueError("it is not one list of key=value arguments")
        names = [keyword.arg for keyword in node.keywords]
        if None in names or len(set(names)) != len(names):
            raise ValueError("an argument has no name, or the same name as another")
        values = {str(keyword.arg): _literal(keyword) for keyword in node.keywords}
        json.dumps(values, allow_nan=False)  # it becomes part of a run's key
    except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(
            f"cannot read {kind} {text[:200]!r}: {first_line(error)}. Write it as name(key=value, …) with plain "
            "numbers or strings."
        ) from error
    return Spec(name.strip(), values)


_WORDS = {"true": True, "false": False, "none": None, "null": None}  # as YAML and JSON have them


def _literal(keyword: ast.keyword) -> Any:
    """Raises ValueError for what is no literal."""
    value = keyword.value
    if not isinstance(value, ast.Name):
        try:
            return ast.literal_eval(value)
        except ValueError:
            raise ValueError(f"{keyword.arg}={ast.unparse(value)[:60]} is no plain value") from None
    if value.id not in _WORDS:
        raise ValueError(f"text stands in quotes, {keyword.arg}={value.id[:60]!r}")
    return _WORDS[value.id]


def expand(text: str, kind: str) -> list[str]:
    """One text for each combination of the values that are listed in a call, numbers ascending; the text itself where
    none is listed.

    Raises:
        InputError: what `read_spec` refuses; an empty list, a value that is listed twice.
    """
    return [one for one, _ in _expanded(text, kind)]


def expand_named(text: str, kind: str) -> list[tuple[str, str]]:
    """`expand`, each with the name that ``name=`` before the call gives it, or none: (text, name).

    Of a list, what is listed stands behind the name: ``stripes=my:make(width=[2,4])`` is ``stripes(width=2)`` and
    ``stripes(width=4)``.

    Raises:
        InputError: as `expand`; a name that is not letters, digits, - and _.
    """
    before = text.partition("(")[0]
    if "=" not in before:
        return [(one, "") for one in expand(text, kind)]
    name, _, call_ = (part.strip() for part in text.partition("="))
    if not re.fullmatch(r"[^\W\d][\w-]*", name):
        raise InputError(
            f"{kind} {text!r}: the name {name!r} before = is no plain one; it begins with a letter and has letters, "
            "digits, - and _ alone, as stripes=my_code.mixes:stripes(width=2)."
        )
    return [
        (one, Spec(name, {key: _whole(value) for key, value in listed.items()}).text)
        for one, listed in _expanded(call_, kind)
    ]


def _expanded(text: str, kind: str) -> list[tuple[str, dict[str, Any]]]:
    """`expand`, each with the values that were listed."""
    spec = read_spec(text, kind)
    listed = {key: _each_once(value, kind, text, key) for key, value in spec.arguments.items() if type(value) is list}
    if not listed:
        return [(text, {})]
    chosen = [dict(zip(listed, values, strict=True)) for values in product(*listed.values())]
    return [(Spec(spec.use, {**spec.arguments, **values}).text, values) for values in chosen]


def _whole(value: Any) -> Any:
    """2 for 2.0: in a name they are one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _each_once(values: list[Any], kind: str, text: str, key: str) -> list[Any]:
    if not values:
        raise InputError(f"{kind} {text!r}: {key} is an empty list; give at least one value.")
    for place, value in enumerate(values):
        if value in values[:place]:
            raise InputError(f"{kind} {text!r}: {key} lists {value!r} twice.")
    return [_one_value(value) for value in ascending(values)]


def ascending(values: list[Any]) -> list[Any]:
    """Numbers in their order, and None, which stands for all or none, after them; anything else as it was listed."""
    if all(value is None or type(value) in (int, float) for value in values):
        return sorted(values, key=lambda value: (value is None, value or 0))
    return values


def _one_value(value: Any) -> Any:
    """A value of a list as one that stands for itself: lists in it are tuples, which nothing expands."""
    return tuple(map(_one_value, value)) if isinstance(value, list | tuple) else value


def split_list(text: str) -> list[str]:
    """Split ``a,b(x=1,y=[2,3]),c`` at the commas outside parentheses and quotes."""
    parts, depth, quote = [""], 0, ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        else:
            depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0 and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]


def load_object(use: str, kind: str) -> Any:
    """Import ``package.module`` and return its attribute ``name``, for ``use = "package.module:name"``.

    The current folder is importable, as under ``python -m``. ``kind`` says in messages what the object is for
    ("data set", "augmentation"). Importing runs the module's code: the name must come from the user.

    Raises:
        InputError: the name has another form, the module cannot be imported, or it has no such attribute.
    """
    module_name, _, name = use.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise InputError(f"{kind} {use!r} is not of the form package.module:name, such as my_code.things:make.")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        with kept():
            module = import_module(module_name)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the user's module raises while it is imported
        raise InputError(
            f"{kind} {use!r}: importing {module_name!r} failed with {type(error).__name__}: {error}. It is looked for "
            f"among the installed packages and in {folder}."
        ) from error
    if module not in _IMPORTED:
        _IMPORTED[module] = _digest(module)
    try:
        return getattr(module, name)
    except AttributeError as error:
        public = [known for known in vars(module) if not known.startswith("_")]
        raise unknown(f"name for the {kind} in module {module_name!r}:", name, public) from error


def source_of(use: str, kind: str) -> str:
    """SHA-256 of the file that ``package.module:name`` comes from: an edit there makes it another object.

    A change in what that file imports goes unnoticed.

    Raises:
        InputError: as `load_object`; there is no such file; it was edited after it was imported here.
    """
    load_object(use, kind)
    module = sys.modules[use.partition(":")[0]]
    digest = _digest(module)
    if not digest:
        raise InputError(
            f"{kind} {use!r}: what a result was made with is known by the file it comes from, and {module.__name__} "
            "has none. Put it into a .py file."
        )
    if digest != _IMPORTED[module]:
        raise InputError(
            f"{kind} {use!r}: {module.__file__} was edited after this process imported it, which still has the old "
            "code. Start anew (in a notebook: restart the kernel)."
        )
    return digest


# Of each module the SHA-256 of its file when it was first asked for.
_IMPORTED: WeakKeyDictionary[ModuleType, str] = WeakKeyDictionary()


def _digest(module: ModuleType) -> str:
    """SHA-256 of a module's file; empty where there is none."""
    file = getattr(module, "__file__", None)
    try:
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""
    except OSError:
        return ""


def call(factory: Any, arguments: Mapping[str, Any], where: str, **offered: Any) -> Any:
    """What a factory makes of the arguments, and of those of ``offered`` that it names. ``where`` names it in messages.

    Raises:
        InputError: it cannot be called, takes other arguments, or fails.
    """
    if not callable(factory):
        raise InputError(f"{where}: expected a function to call, found {type(factory).__name__}.")
    accepted = parameters_of(factory)
    arguments = {key: value for key, value in offered.items() if key in (accepted or ())} | dict(arguments)
    if accepted is not None:
        try:
            inspect.signature(factory).bind(**arguments)
        except TypeError as error:
            raise InputError(f"{where}: {error}.") from error
    try:
        with kept():
            return factory(**arguments)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever the factory raises
        raise InputError(f"{where}: its factory failed with {type(error).__name__}: {error}.") from error


def parameters_of(factory: Callable[..., Any]) -> Mapping[str, inspect.Parameter] | None:
    """Its parameters by name; None for a callable that has no signature to read."""
    try:
        return inspect.signature(factory).parameters
    except (TypeError, ValueError):
        return None


def without_defaults(arguments: Mapping[str, Any], defaults: Mapping[str, Any], where: str) -> dict[str, Any]:
    """The arguments that differ from the defaults, so that what is the same has one name.

    Raises:
        InputError: an argument that there is no default of (with the nearest spelling); ``where`` names the call.
    """
    kept = {}
    for key, value in arguments.items():
        if key not in defaults:
            raise InputError(f"{where}: {unknown('argument', key, defaults)}")
        if isinstance(defaults[key], float) and type(value) is int:
            value = float(value)  # alpha=2 and alpha=2.0 are the same
        if value != defaults[key]:
            kept[key] = value
    return kept
