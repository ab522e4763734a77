"""What the commands share: options of every study, and flags made from a section's config dataclass."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

from cyclopts import Group, Parameter

from .analysis.errors import InputError
from .analysis.settings import plain

OUT = Path("mixlens-runs")
STUDY = Group("Study", sort_key=0)
MACHINE = Group("Machine", sort_key=1)


def overrides_of(kind: type, **short: str) -> type:
    """A dataclass like ``kind`` in which every field may be left out: None means that the study decides.

    ``short`` gives fields a second, short flag: ``model="--model"``.
    """
    hints = get_type_hints(kind)
    fields = []
    for field in dataclasses.fields(kind):
        source = f" Source: {field.metadata['source']}." if field.metadata.get("source") else ""
        text = f"{field.metadata['help']} Default: {_shown(field.default)}.{source}"
        hint = hints[field.name]
        several = get_origin(hint) is tuple  # --vae.milestones 0.5 0.9
        parameter = Parameter(
            alias=short.get(field.name),
            help=text,
            show_default=False,
            negative=None if hint is bool else (),
            consume_multiple=several,
        )
        annotated: Any = Annotated[hint | None, parameter]
        fields.append((field.name, annotated, dataclasses.field(default=None)))
    made = dataclasses.make_dataclass(f"{kind.__name__}Overrides", fields, frozen=True)
    made.__module__ = __name__  # before 3.12 it says "types", which cyclopts takes for a builtin
    return made


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return " ".join(map(str, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def given(overrides: Any) -> dict[str, Any]:
    if overrides is None:
        return {}
    return {f.name: plain(v) for f in dataclasses.fields(overrides) if (v := getattr(overrides, f.name)) is not None}


@Parameter(name="*")
@dataclasses.dataclass(frozen=True)
class Common:
    """Options of every command that runs a study."""

    data: Annotated[str | None, Parameter(group=STUDY)] = None
    "Data set: cifar10, photos, or your own as package.module:factory."

    train_size: Annotated[int | None, Parameter(group=STUDY)] = None
    "Train on a class-balanced subset of this many images."

    subset_seed: Annotated[int | None, Parameter(group=STUDY)] = None
    "Seed that chooses the subset. Default: 0."

    augmentations: Annotated[str | None, Parameter(group=STUDY)] = None
    "What to compare, e.g. baseline,mixup,fmix(alpha=0.2),my_code.mixes:make(beta=2)."

    seeds: Annotated[str | None, Parameter(group=STUDY)] = None
    "How many training seeds (5 means 0 to 4), or which ones (0,3,7)."

    name: Annotated[str | None, Parameter(group=STUDY)] = None
    "Name of the study: its folder under --out and its report's title."

    data_root: Annotated[Path | None, Parameter(group=MACHINE)] = None
    "Folder of the data. Default: $MIXLENS_DATA, else the user's cache folder."

    device: Annotated[str, Parameter(group=MACHINE)] = "auto"
    "auto, cpu, cuda, cuda:1 or mps."

    threads: Annotated[int | None, Parameter(group=MACHINE)] = None
    "CPU threads. Default: PyTorch's choice."

    compile: Annotated[bool, Parameter(group=MACHINE)] = False
    "Compile the networks with torch.compile."

    deterministic: Annotated[bool, Parameter(group=MACHINE)] = False
    "Only deterministic algorithms, also on CUDA; slower there."

    out: Annotated[Path, Parameter(group=MACHINE)] = OUT
    "Output folder: runs/ (shared by all studies) and one folder per study with its report."

    quiet: Annotated[bool, Parameter(group=MACHINE)] = False
    "Print only errors and where the report is."

    def overrides(self) -> dict[str, Any]:
        given = {k: getattr(self, k) for k in ("data", "train_size", "subset_seed", "augmentations", "name")}
        return {k: v for k, v in given.items() if v is not None} | (
            {} if self.seeds is None else {"seeds": _seeds(self.seeds)}
        )


def _seeds(text: str) -> int | list[int]:
    try:
        return [int(part) for part in text.split(",") if part.strip()] if "," in text else int(text)
    except ValueError:
        raise InputError(f"--seeds takes a count (5) or a list (0,3,7), got {text!r}.") from None
