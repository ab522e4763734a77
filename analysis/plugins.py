"""A user's own object, named on the command line or in a study as ``package.module:name``."""

import os
import sys
from importlib import import_module
from typing import Any

from .errors import InputError, unknown


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
