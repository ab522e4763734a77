"""A stand-in for a folder on NFS, whose client remembers what was not there.

A name that was looked up in vain stays unknown to this process, whoever makes it meanwhile, until this process opens or
lists the folder, or makes that name itself. (A client forgets after some 30 seconds by itself; this one does not.)
"""

import io
import os
from contextlib import contextmanager
from errno import ENOENT
from unittest.mock import patch


@contextmanager
def remembering(root):
    """Look into ``root``, and folders in it, as such a client. Other processes are other machines."""
    root, absent = os.fspath(root), set()
    real = {name: getattr(os, name) for name in ("stat", "open", "listdir", "scandir", "mkdir", "replace")}
    real_open = io.open

    def within(path):
        return isinstance(path, str | os.PathLike) and f"{os.fspath(path)}/".startswith(f"{root}/")

    def look(call, path, *args, **kwargs):
        if not within(path):
            return call(path, *args, **kwargs)
        parents = [str(path), *(str(parent) for parent in _parents(path, root))]
        if any(parent in absent for parent in parents):
            raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(path))
        try:
            return call(path, *args, **kwargs)
        except FileNotFoundError:
            absent.add(str(path))
            raise

    def stat(path, *args, **kwargs):
        return look(real["stat"], path, *args, **kwargs)

    def file(path, mode="r", *args, **kwargs):
        if "r" in mode and "+" not in mode:
            return look(real_open, path, mode, *args, **kwargs)
        absent.discard(str(path))
        return real_open(path, mode, *args, **kwargs)

    def opened(path, *args, **kwargs):
        ask(path)
        return real["open"](path, *args, **kwargs)

    def listdir(path="."):
        ask(path)
        return real["listdir"](path)

    def scandir(path="."):
        ask(path)
        return real["scandir"](path)

    def mkdir(path, *args, **kwargs):
        absent.discard(str(path))
        return real["mkdir"](path, *args, **kwargs)

    def replace(source, target, **kwargs):
        absent.discard(str(target))
        return real["replace"](source, target, **kwargs)

    def ask(path):
        if within(path):
            absent.difference_update({name for name in absent if os.path.dirname(name) == os.fspath(path)})

    ours = {"stat": stat, "open": opened, "listdir": listdir, "scandir": scandir, "mkdir": mkdir, "replace": replace}
    with patch.multiple(os, **ours), patch.object(io, "open", file):
        yield


def _parents(path, root):
    path = os.path.dirname(os.fspath(path))
    while len(path) > len(root):
        yield path
        path = os.path.dirname(path)
