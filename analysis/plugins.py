"""What a user names: ``name(key=value)``, their own ``package.module:name``; and what installed packages add."""

import ast
import hashlib
import json
import os
import sys
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from .errors import InputError, unknown
from .interface import Section

SECTIONS = "mixlens.sections"  # the group of entry points


def load_object(spec: str, kind: str) -> Any:
    """Import ``package.module`` and return its attribute ``name``, for ``spec = "package.module:name"``.

    The current folder is importable, as under ``python -m``. ``kind`` says in messages what the object is for
    ("data set", "augmentation"). Importing runs the module's code: the spec must come from the user.

    Raises:
        InputError: the spec has another form, the module cannot be imported, or it has no such attribute.
    """
    module_name, _, name = spec.partition(":")
    if not (name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise InputError(f"{kind} {spec!r} is not of the form package.module:name, such as my_code.things:make.")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        module = import_module(module_name)
    except (Exception, SystemExit) as error:  # whatever the user's module raises while it is imported
        raise InputError(
            f"{kind} {spec!r}: importing {module_name!r} failed with {type(error).__name__}: {error}. It is looked for "
            f"among the installed packages and in {folder}."
        ) from error
    try:
        return getattr(module, name)
    except AttributeError as error:
        public = [known for known in vars(module) if not known.startswith("_")]
        raise unknown(f"name for the {kind} in module {module_name!r}:", name, public) from error


def source_of(spec: str, kind: str) -> str:
    """SHA-256 of the file that ``package.module:name`` comes from: an edit there makes it another object.

    A change in what that file imports goes unnoticed.
    """
    load_object(spec, kind)
    file = getattr(sys.modules[spec.partition(":")[0]], "__file__", None)
    return hashlib.sha256(Path(file).read_bytes() if file else b"").hexdigest()


def read_call(text: str, kind: str) -> tuple[str, dict[str, Any]]:
    """Read ``name`` or ``name(key=value, …)`` with plain literals. ``kind`` says in messages what is named.

    Raises:
        InputError: another form, or values that are not plain numbers, strings, lists.
    """
    name, opened, rest = text.strip().partition("(")
    if not opened:
        return name.strip(), {}
    try:
        node = ast.parse(f"f({rest}", mode="eval").body
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or node.args:
            raise ValueError("it is not one list of key=value arguments")
        names = [keyword.arg for keyword in node.keywords]
        if None in names or len(set(names)) != len(names):
            raise ValueError("an argument has no name, or the same name as another")
        values = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in node.keywords}
        json.dumps(values, allow_nan=False)  # it becomes part of a run's key
    except (SyntaxError, TypeError, ValueError) as error:
        raise InputError(
            f"cannot read {kind} {text!r}: {error}. Write it as name(key=value, …) with plain numbers or strings."
        ) from error
    return name.strip(), values


def split_list(text: str) -> list[str]:
    """Split ``a,b(x=1,y=2),c`` at the commas outside parentheses and quotes."""
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


def installed_sections() -> dict[str, Section]:
    """Every section by name: those that come with mixlens first, then those of other packages.

    Raises:
        InputError: a package declares what is no section, names modules that are not there, or takes a name twice.
    """
    found: dict[str, Section] = {}
    points = list(entry_points(group=SECTIONS))
    for point in sorted(points, key=lambda point: (not point.value.startswith("mixlens."), point.name)):
        package = point.dist.name if point.dist else point.value
        where = f"the section {point.name!r} of the package {package}"
        try:
            section = point.load()
            if not isinstance(section, Section) or section.name != point.name or not point.name.isidentifier():
                raise InputError(f"{where} must be a Section of that name, an identifier; it is {section!r}.")
            missing = [name for name in (section.run, section.figures) if find_spec(name) is None]
        except InputError:
            raise
        except Exception as error:  # whatever the package raises while it is imported
            raise InputError(
                f"{where} cannot be loaded ({type(error).__name__}: {error}). Mend or uninstall that package."
            ) from error
        if missing:
            raise InputError(f"{where} names the module {missing[0]}, which is not there.")
        if point.name in found:
            raise InputError(f"two packages have a section {point.name!r}; uninstall one, such as {package}.")
        found[point.name] = section
    for section in found.values():
        for name in section.uses:
            if name not in found:
                raise InputError(f"the section {section.name!r} uses the section {name!r}, which no package has.")
    return found
