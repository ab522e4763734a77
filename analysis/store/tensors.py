"""Tensors in a safetensors file of our own: replaced in one step, readable as its folder is, known by a checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ..errors import first_line

DIGEST = "sha256"


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], check: Callable[[], None] = lambda: None
) -> None:
    """Copy tensors to the CPU and into a file, which takes the place of an older one when it is whole.

    Args:
        check: called before it does, and may raise.

    Raises:
        OSError: it cannot be written.
    """
    # Copies, since tied weights share memory, which the format does not hold.
    tensors = {n: t.detach().to("cpu", memory_format=torch.contiguous_format, copy=True) for n, t in tensors.items()}
    aside = path.with_name(f"{path.name}.tmp")
    try:
        save_file(tensors, aside, {**metadata, DIGEST: _digest(tensors, metadata)})
        aside.chmod(path.parent.stat().st_mode & 0o666)  # safetensors lets nobody else read it, whatever the umask
        check()
        os.replace(aside, path)
    except SafetensorError as error:  # such as a full disk
        raise OSError(first_line(error)) from error
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata as they were written.

    Raises:
        SafetensorError, OSError, ValueError: the file cannot be read, or is another than was written.
    """
    with safe_open(path, framework="pt") as file:
        metadata = dict(file.metadata() or {})
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  safe_open is no mapping
    if metadata.pop(DIGEST, None) != _digest(tensors, metadata):
        raise ValueError("its checksum is another")
    return tensors, metadata


def _digest(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    digest = hashlib.sha256(repr(sorted(metadata.items())).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
