"""Checkpoints: everything a training loop needs to go on as if it had never stopped, in one safetensors file.

Tensors (weights, buffers, optimiser moments, generator states) are stored as tensors; the rest (history, which
epoch) as JSON in the file's own metadata, so that the file is replaced in one atomic step and nothing is unpickled.
"""

from __future__ import annotations

import json
import os
import pickle
import threading
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from ..archives import check_size
from ..errors import InputError, first_line
from ..store.tensors import read_tensors, write_tensors

HOLDERS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")  # of a state dict in a checkpoint
COMPILED = "_orig_mod."  # what torch.compile puts before the names of what it compiled
PREFIXES = (COMPILED, "module.", "model.", "net.", "network.")


class OtherShapesError(InputError):
    """Weights of which some have another shape than the network's, as where it was made with other arguments."""


def save_weights(path: Path, model: nn.Module) -> None:
    """Weights and buffers, on the CPU."""
    write_tensors(path, model.state_dict(), {})


def load_weights(path: Path, model: nn.Module) -> None:
    """Load weights strictly: a safetensors file, or a state dict that ``torch.save`` wrote, which is not unpickled.

    What fits is for PyTorch's own loading to say, which knows older names (of weight norm) and may lack the counts of
    batch norms. A state dict may stand in a checkpoint under one of `HOLDERS`, and all its names may begin with what
    wrappers put before them: `PREFIXES`.

    Raises:
        InputError: the file is missing, damaged, holds no state dict, another network's (`OtherShapesError`), or values
            that the network cannot hold as they are; the model is as it was.
    """
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = _renamed(_read_state(path), before)
    for name, value in state.items():
        if problem := _unfit(value, before.get(name)):
            raise InputError(f"{path}: {name} {problem}. Save the network's own plain tensors, as model.state_dict().")
    shapes: list[str] = []
    try:
        missing, unknown = model.load_state_dict(state, strict=False)
    except RuntimeError as error:  # what it says of shapes are lines, one a tensor
        model.load_state_dict(before)
        missing, unknown = [n for n in before if n not in state], [n for n in state if n not in before]
        shapes = [
            f"{name} is {tuple(state[name].shape)}, not {tuple(before[name].shape)}"
            for name in before
            if name in state and state[name].shape != before[name].shape
        ] or [first_line(error)]
    problems = [
        f"{len(names)} {what} (such as {names[0]})"
        for what, names in (("tensors are missing", missing), ("are unknown", unknown), ("have another shape", shapes))
        if names
    ]
    if problems:
        model.load_state_dict(before)
        raise (OtherShapesError if shapes else InputError)(
            f"{path} holds the weights of another network than {type(model).__name__} as it was built: "
            f"{'; '.join(problems)}. Give the model with the arguments that they were trained with."
        )


def _renamed(state: dict[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state by the names that the model expects: without a wrapper's prefixes, and compiled parts as theirs."""
    while state and not state.keys() & expected.keys():
        prefix = next((prefix for prefix in PREFIXES if all(name.startswith(prefix) for name in state)), None)
        if prefix is None:
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    names = {name.replace(COMPILED, ""): name for name in expected}
    return {names.get(name.replace(COMPILED, ""), name): value for name, value in state.items()}


def _unfit(value: Tensor, expected: Tensor | None) -> str:
    """Why a tensor's values are not those that the network would have after loading it; empty where they are.

    Rounding to the network's own precision is meant. So is −∞ where the network as it was built has it, as in a mask.
    """
    plain = value.layout == torch.strided and value.device.type == "cpu" and not (value.is_quantized or value.is_nested)
    if not plain:
        kinds = {"quantised": value.is_quantized, "nested": value.is_nested, "on no device": value.is_meta}
        kind = next((words for words, is_so in kinds.items() if is_so), str(value.layout).removeprefix("torch."))
        return f"is {kind}, no plain array of numbers"
    if expected is None or value.shape != expected.shape:
        return ""  # which is said of all such tensors together
    if expected.is_floating_point() and not value.is_floating_point():
        return f"holds {value.dtype}, of which {expected.dtype} would lose or invent a part"
    loaded = value.to(expected.dtype)
    if not expected.is_floating_point():
        return "" if torch.equal(loaded.to(value.dtype), value) else f"holds {value.dtype} that are no {expected.dtype}"
    bad = int((~(loaded.isfinite() | (loaded == expected.cpu()))).sum())
    return f"holds {bad} NaN or infinite values of {value.numel()} in {expected.dtype}" if bad else ""


def _read_state(path: Path) -> dict[str, Tensor]:
    if not os.path.isfile(path):  # also where no such name can be
        raise InputError(f"there are no weights at {path}.")
    try:
        if not _is_torchs(path):
            return load_file(path)
        with path.open("rb") as file:  # of a path, torch would judge by the suffix
            if zipfile.is_zipfile(file):
                check_size(file)
            file.seek(0)
            state = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is no checkpoint of weights alone, and nothing else is unpickled. Save model.state_dict() with "
            "torch.save or safetensors."
        ) from error
    except Exception as error:  # safetensors, zipfile and torch each have their own
        ours = (path.parent / "config.json").exists()
        remedy = f" Delete the folder {path.parent} and run the study again." if ours else ""
        raise InputError(f"{path} is damaged or no file of weights ({first_line(error)}).{remedy}") from error
    seen: set[int] = set()  # what was looked through: one may hold itself
    while not _is_state(state):
        seen.add(id(state))
        holder = next(
            (key for key in HOLDERS if isinstance(state, Mapping) and isinstance(state.get(key), Mapping)), ""
        )
        if not holder or id(state[holder]) in seen:
            listed = ", ".join(map(str, list(state)[:8])) if isinstance(state, Mapping) else ""
            raise InputError(
                f"{path} holds {type(state).__name__}, not a state dict (names → tensors)"
                f"{listed and f': its keys are {listed}'}. One is looked for under {', '.join(HOLDERS)}; save "
                "model.state_dict() with torch.save or safetensors."
            )
        state = state[holder]
    return dict(state)


def _is_state(state: object) -> bool:
    return (
        isinstance(state, Mapping)
        and bool(state)
        and all(isinstance(name, str) and isinstance(value, Tensor) for name, value in state.items())
    )


def _is_torchs(path: Path) -> bool:
    """Whether torch.save wrote it: a zip or, as it once did, pickles; safetensors begin with a length and a brace."""
    with path.open("rb") as file:
        head = file.read(9)
    return zipfile.is_zipfile(path) or (head[:1] == b"\x80" and head[8:] != b"{")


class Checkpoints:
    """The checkpoints of one training: copied where the tensors are, and written in a thread while training goes on.

    The old file stays until the new one is whole. There is one writer at a time: what one raised, the next `save` or
    `wait` raises.
    """

    def __init__(self, path: Path, check: Callable[[], None] = lambda: None) -> None:
        """``check`` is called before a new file takes the old one's place, and may raise."""
        self.path, self.check = path, check
        self._writer: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(
        self,
        *,
        model: nn.Module,
        optimizer: Optimizer,
        generators: Mapping[str, Generator],
        history: Sequence[Mapping[str, Any]],
    ) -> None:
        self.wait()
        tensors = {f"model/{name}": value for name, value in model.state_dict().items()}
        state = optimizer.state_dict()
        scalars: dict[str, Any] = {}
        for index, slots in state["state"].items():
            for slot, value in slots.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{slot}"] = value
                else:
                    scalars[f"{index}/{slot}"] = value
        tensors |= {f"generator/{name}": generator.get_state() for name, generator in generators.items()}
        groups = [
            {k: v.item() if isinstance(v, Tensor) else v for k, v in one.items()} for one in state["param_groups"]
        ]
        metadata = {"optimizer": {"groups": groups, "scalars": scalars}, "history": list(history)}
        copies = {name: value.detach().clone() for name, value in tensors.items()}
        copied = torch.cuda.current_stream().record_event() if any(t.is_cuda for t in copies.values()) else None
        self._writer = threading.Thread(target=self._write, args=(copies, json.dumps(metadata), copied))
        self._writer.start()

    def wait(self) -> None:
        """Until what was saved is on the disk. Raises what the writer met."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def _write(self, copies: dict[str, Tensor], metadata: str, copied: torch.cuda.Event | None) -> None:
        try:
            with torch.cuda.stream(torch.cuda.Stream()) if copied else nullcontext():
                if copied:
                    copied.wait()
                write_tensors(self.path, copies, {"mixlens": metadata}, self.check)
        except BaseException as error:
            self._error = error


def load_checkpoint(
    path: Path,
    *,
    model: nn.Module,
    optimizer: Optimizer,
    generators: Mapping[str, Generator],
) -> list[dict[str, Any]]:
    """Put everything back and return the history so far. Raises InputError for a damaged or foreign file."""
    try:
        tensors, words = read_tensors(path)
        metadata = json.loads(words["mixlens"])
        groups: dict[str, dict[str, Any]] = {"model": {}, "optimizer": {}, "generator": {}}
        for name, value in tensors.items():
            kind, _, rest = name.partition("/")
            groups[kind][rest] = value
        model.load_state_dict(groups["model"])
        slots: dict[int, dict[str, Any]] = {}
        for name, value in (groups["optimizer"] | metadata["optimizer"]["scalars"]).items():
            index, _, slot = name.partition("/")
            slots.setdefault(int(index), {})[slot] = value
        optimizer.load_state_dict({"state": slots, "param_groups": metadata["optimizer"]["groups"]})
        for parameter, loaded in optimizer.state.items():  # moments in their parameter's memory format, as they were
            for slot, value in loaded.items():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    loaded[slot] = torch.empty_like(parameter).copy_(value)
        for name, generator in generators.items():
            generator.set_state(groups["generator"][name])
        history = [dict(record) for record in metadata["history"]]
    except (SafetensorError, OSError, KeyError, TypeError, AttributeError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error
    return history


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"{path} is damaged or not ours ({first_line(error)}). Delete the folder {path.parent} and run again."
    )
