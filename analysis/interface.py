"""The types that travel between the parts. A leaf: torch is imported only for type checking."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Protocol, TypeAlias

from .errors import InputError
from .schema import MOST_NAME, check_ranges, key_of, keyed, plain, setting, shown

if TYPE_CHECKING:
    from torch import Generator, Tensor

Bound = Literal["upper", "lower", "none"]
BASELINE = "baseline"  # the augmentation that is none
MOST_SEED = 2**63 - 1  # what generators take and a table of rows holds
# What an argument of a known augmentation is where its canonical text leaves it out.
MIX_DEFAULTS: Mapping[str, float] = MappingProxyType({"alpha": 1.0, "decay_power": 3.0, "max_soft": 0.0, "p": 1.0})


class MixedBatch(NamedTuple):
    """A mixed batch with everything a pairwise loss needs.

    ``x = mask · x₁ + (1 − mask) · x₁[index]``, and the loss is ``lam · ℓ(y) + (1 − lam) · ℓ(y_partner)``.
    """

    x: Tensor  # (B, C, *size)
    y: Tensor  # (B,) integer classes or (B, classes) soft labels, as given
    y_partner: Tensor  # y[index]; with reformulate=True, y itself
    lam: Tensor  # (B,) weight of the first label = the realised mean of each mask
    index: Tensor  # type: ignore[assignment]  # (B,) partner of each sample; hides tuple.index, which nobody calls
    mask: Tensor  # (B, 1, *size)


# A pair of labels with their weight, or mixed x and the labels it has.
Mixed: TypeAlias = "MixedBatch | tuple[Tensor, Tensor]"


class Augmentation(Protocol):
    """What mixes a batch x (B, C, *size), y (B, …) as training asks it to; ``step`` counts training steps."""

    def pairs(self, x: Tensor, y: Tensor, *, generator: Generator | None = None, step: int | None = None) -> Mixed: ...


class Interval(NamedTuple):
    """A confidence interval for an estimate's expectation, and how it was made."""

    low: float
    high: float
    level: float  # 0.95
    method: str  # "Student t", "infinitesimal jackknife", "12 disjoint blocks, Student t"


@dataclass(frozen=True)
class Estimate:
    """A number with its error and its direction.

    ``bound`` says what the estimate is, in expectation, of the quantity it is reported for. ``stderr`` and ``interval``
    are about that expectation, over the n samples and not over training seeds; both are None where no honest error is
    known. An estimate with a ``ceiling`` cannot exceed it whatever the truth (log K for a contrastive one), and is
    ``saturated`` where the ceiling, not the truth, determines it. No estimate is ever clipped at zero.
    """

    value: float
    stderr: float | None
    n: int
    bound: Bound
    unit: str = "nats"
    interval: Interval | None = None
    ceiling: float | None = None
    saturated: bool = False
    samples: Tensor | None = field(default=None, repr=False, compare=False)  # (n,) terms whose mean is ``value``
    # (n,) what each sample adds to ``value``, mean zero: stderr = sd / √n. Differs from the terms' deviations where
    # terms share other samples; the difference of two estimates on the same samples has the difference of these.
    influence: Tensor | None = field(default=None, repr=False, compare=False)

    def to(self, unit: Literal["nats", "bits"]) -> Estimate:
        """The same information in nats or bits. Raises InputError for other units, or an estimate that has another."""
        for name in (unit, self.unit):
            if name not in _NATS_PER:
                raise InputError(f"only information in {' or '.join(_NATS_PER)} can be converted, got {name!r}.")
        factor = _NATS_PER[self.unit] / _NATS_PER[unit]
        return replace(
            self,
            value=self.value * factor,
            stderr=None if self.stderr is None else self.stderr * factor,
            interval=self.interval
            and self.interval._replace(low=self.interval.low * factor, high=self.interval.high * factor),
            ceiling=None if self.ceiling is None else self.ceiling * factor,
            samples=None if self.samples is None else self.samples * factor,
            influence=None if self.influence is None else self.influence * factor,
            unit=unit,
        )


_NATS_PER = {"nats": 1.0, "bits": math.log(2)}


class Measurement(NamedTuple):
    """One number that a task measured: what its work returns. Of whom and where it is, the worker knows."""

    quantity: str
    estimate: Estimate
    params: Mapping[str, Any] = MappingProxyType({})  # what else tells it from others of its quantity
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One measured number, tidy: everything a report or a comparison needs, nothing it must parse."""

    run: str  # name of the task that measured it
    study: str
    section: str
    dataset: str  # empty where the study's data had no part in it, as in the three that follow
    split: str
    augmentation: str
    model: str
    seed: int | None
    quantity: str
    value: float
    unit: str
    n: int
    params: Mapping[str, Any] = field(default_factory=dict)  # columns of their own in a table
    stderr: float | None = None
    ci_low: float | None = None
    ci_high: float | None = None
    bound: Bound = "none"
    note: str = ""
    ceiling: float | None = None  # of a contrastive estimate; see `Estimate`
    saturated: bool = False


class Printed(NamedTuple):
    """A mean ± standard deviation over ``trials`` that a publication prints, and where."""

    value: float
    sd: float
    decimals: int  # as printed
    trials: int | None  # None where it does not say
    source: str


# Augmentation → quantity → printed; by the whole arm where studies of several data sets or networks stand together.
PaperValues = Mapping[Any, Mapping[str, Printed]]


@dataclass(frozen=True, order=True)
class Arm:
    """What networks are compared by: an augmentation, in the study that trained them."""

    study: str
    augmentation: str

    @property
    def baseline(self) -> Arm:
        """What it is compared with: the baseline of its own study."""
        return Arm(self.study, BASELINE)

    @property
    def is_baseline(self) -> bool:
        return self.augmentation == BASELINE


def printed_of(printed: PaperValues, arm: Arm, quantity: str) -> Printed | None:
    """What is printed of an arm, or else of its augmentation in any study."""
    return printed.get(arm, printed.get(arm.augmentation, {})).get(quantity)


@dataclass(frozen=True)
class Study:
    """What is compared, on what, how often. Every field is a flag and a key of a study file.

    In a file, sections' settings stand beside these under the section's name; here they are in ``settings``.
    """

    # In which studies that stand side by side in one report may differ; the others make their design.
    FREE: ClassVar[tuple[str, ...]] = ("name", "title", "augmentations", "seeds", "sections", "aliases", "sweep")

    name: str = setting("study", "Name of the study: its folder under --out.")
    title: str = setting("", "Title of its report. Default: what is compared, on what data, with how many seeds.")
    data: str = setting("cifar10", "Data set: a name that `mixlens data` lists, or your own as package.module:factory.")
    train_size: int | None = setting(None, "Train on a class-balanced subset of this many images.", "Fig. 3")
    subset_seed: int = setting(0, "Seed that chooses the subset.")
    augmentations: tuple[str, ...] = setting(
        (BASELINE, "mixup", "cutmix", "fmix"),
        "What to compare, e.g. baseline,mixup,fmix(alpha=[0.2,1]),my_code.mixes:make(beta=2).",
        "Table 1",
    )
    seeds: tuple[int, ...] = setting(
        (0, 1, 2, 3, 4), "How many training seeds, the replicates (5 means 0 to 4), or which ones (0,3,7).", "Table 1"
    )
    sections: tuple[str, ...] = setting(("vae",), "Sections to run, e.g. vae,robustness.")
    settings: Mapping[str, Any] = field(default_factory=dict)  # section name → its config, or a mapping of its settings
    # What reading a study makes of it; nobody sets them.
    aliases: Mapping[str, str] = field(default_factory=dict)  # augmentation → the name that people see instead
    sweep: str = ""  # the study that this is one point of, where a setting has several values

    def __post_init__(self) -> None:
        for name in ("augmentations", "seeds", "sections"):
            if isinstance(value := getattr(self, name), list | range):
                object.__setattr__(self, name, tuple(value))
            elif not isinstance(value, tuple):
                raise InputError(f"{name} must be a list, got {value!r}.")
        for name in ("name", "title"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"a study's {name} must be text, got {getattr(self, name)!r}.")
        for name in ("augmentations", "sections"):
            if not all(isinstance(value, str) for value in getattr(self, name)):
                raise InputError(f"{name} must be texts, got {list(getattr(self, name))}.")
        if not isinstance(self.aliases, Mapping) or not all(isinstance(name, str) for name in self.aliases.values()):
            raise InputError(f"aliases must map augmentations to names, got {self.aliases!r}.")
        if not isinstance(self.sweep, str):
            raise InputError(f"sweep must be a study's name, got {self.sweep!r}.")
        if not isinstance(self.settings, Mapping) or not all(
            isinstance(values, Mapping) or is_dataclass(values) for values in self.settings.values()
        ):
            raise InputError(f"settings must map sections to their settings, got {self.settings!r}.")
        reserved = (
            self.name == "runs"
            or self.name != self.name.strip()
            or self.name.startswith(".")
            or not self.name.isprintable()
        )
        fits = 1 <= len(self.name) <= 100 and len(self.name.encode(errors="replace")) <= MOST_NAME
        if not fits or reserved or any(letter in self.name for letter in '/\\:*?"<>|'):
            raise InputError(
                "a study's name becomes a folder beside 'runs': at most 100 letters that can be seen, of 255 bytes, "
                f'none of /\\:*?"<>|, no dot or space at its start, no space at its end; got {shown(self.name)}. '
                "Give another with --name."
            )
        if not all(type(seed) is int for seed in self.seeds):
            raise InputError(f"seeds must be different whole numbers of at least 0, got {list(self.seeds)}.")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise InputError(f"seeds must be different whole numbers of at least 0, got {list(self.seeds)}.")
        if max(self.seeds) > MOST_SEED:
            raise InputError(f"seeds must be at most 2^63 − 1, got {max(self.seeds):.3g}.")
        if type(self.subset_seed) is int and not 0 <= self.subset_seed <= MOST_SEED:
            raise InputError(f"subset_seed must lie in [0, 2^63 − 1], got {self.subset_seed}.")
        if not self.sections:
            raise InputError("a study needs at least one section, such as vae.")
        if not self.augmentations:
            raise InputError(f"a study needs at least one augmentation, such as {BASELINE} or mixup.")

    def describe(self) -> dict[str, Any]:
        """All settings as plain values: what reports show and a study file could hold."""
        values = {f.name: plain(getattr(self, f.name)) for f in fields(self) if f.name != "settings"}
        settings = {n: config if isinstance(config, Mapping) else vars(config) for n, config in self.settings.items()}
        return values | {name: plain(dict(values)) for name, values in settings.items()}


@dataclass(frozen=True)
class Machine:
    """Where and how a study is run; nothing of it is part of a task's key."""

    data_root: Path | None = setting(None, "Folder of the data. Default: $MIXLENS_DATA, else the user's cache folder.")
    device: str = setting("auto", "auto, cpu, cuda, cuda:1 or mps.")
    threads: int | None = setting(
        None,
        "CPU threads of each process. Default: PyTorch's choice, or an equal share of the cores.",
        minimum=1,
        most=1024,
    )
    decoders: int | None = setting(
        None,
        "Processes that decode image files, of data sets that stay in files. Default: one fewer than the cores.",
        minimum=1,
        most=1024,
    )
    at_once: int | None = setting(
        None, "How many tasks take turns on the device. Default: 8 on CUDA, else 1.", minimum=1
    )
    workers: int | None = setting(
        None, "How many processes work at once. Default: one, or one for each of several GPUs.", minimum=1, most=4096
    )
    cluster: str | None = setting(
        None, "Where else they work: slurm, or the address of a running Dask scheduler, tcp://host:port."
    )
    compile: bool = setting(False, "Compile the networks with torch.compile.")
    deterministic: bool = setting(False, "Only deterministic algorithms, also on CUDA; slower there.")
    out: Path = setting(Path("mixlens-runs"), "Output folder: runs/ (shared by all studies) and one folder per study.")
    quiet: bool = setting(False, "Print only errors and where the report is.")
    log: Literal["csv", "tensorboard"] | None = setting(
        None, "Write trainings' curves for other tools too: csv (one table) or tensorboard (while they train)."
    )

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.cluster not in (None, "slurm") and not re.fullmatch(r"tcp://[^\s/]+:\d+", str(self.cluster)):
            raise InputError(
                f"cluster must be slurm, or the address of a running Dask scheduler as tcp://host:port; "
                f"got {self.cluster!r}."
            )
        if self.cluster == "slurm" and self.workers is None:
            raise InputError("--cluster slurm needs --workers: how many are asked of SLURM.")
        if self.cluster not in (None, "slurm") and self.workers is not None:
            raise InputError(f"{self.cluster} has the workers that it has; leave --workers out.")
        if self.at_once is not None and (self.cluster or (self.workers or 1) > 1):
            raise InputError("--at-once is for one process alone; with several give more --workers.")


class Network(NamedTuple):
    """What a task trains or measures, as its rows name it; with the study it is whole. By default: no network."""

    augmentation: str = ""
    seed: int | None = None
    model: str = ""

    def __str__(self) -> str:
        return f"{self.augmentation}, seed {self.seed}"


@dataclass(frozen=True)
class Task:
    """One step of a study whose output is stored, as data: it can be printed, pickled and done on another machine.

    Its ``work`` is called as ``work(config, run, inputs, context)``: it leaves its files in the folder ``run``, finds
    those of its inputs, whole, in theirs, and returns what it measured, if anything.
    """

    kind: str  # of its folder's name
    version: int  # raised when the same settings would give another output
    work: str  # "package.module:function"
    config: Any  # a frozen dataclass: all that its work is told; `schema.setting` says what of it is no part of the key
    section: str
    label: str  # for people
    inputs: tuple[Task, ...] = ()
    data: str = ""  # checksum of the data set that it works on; empty: on none
    precision: str = ""  # that it computes in; empty: full, which no key mentions
    network: Network = Network()
    packages: tuple[str, ...] = ()  # whose versions are noted with its output, beside torch's
    # About how many images it takes through a network and back, for estimates of its time alone; 0: unknown. A training
    # that says so takes turns; of another task it is the network of its first input.
    images: float = 0.0
    divides: bool = False  # whether several processes may share it, each with a part of every batch

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Everything that determines its output, as stored in its ``config.json``."""
        known = {"data": self.data, "precision": self.precision}
        config = keyed(self.config) | {name: value for name, value in known.items() if value}
        inputs = [parent.name for parent in self.inputs]
        return {"kind": self.kind, "version": self.version, "config": config, "inputs": inputs}

    @cached_property
    def name(self) -> str:
        """Of its folder: its kind and the first 16 digits of its key, the hash of `settings`."""
        return f"{self.kind}-{key_of(self.settings)[:16]}"


@dataclass(frozen=True)
class Section:
    """One question asked of an augmentation, such as ``vae``: declared in the ``config.py`` of its package.

    Any installed package adds its own by an entry point in the group ``mixlens.sections`` (docs/sections.md). The two
    modules are named, not imported: a report is made without ``run`` and its torch, a study runs without ``figures``.
    """

    name: str  # of its settings, its rows and its command
    summary: str  # one sentence for the command's help
    config: type  # a frozen dataclass whose defaults are the paper's
    run: str  # module with ``tasks(asked)``: a `mixlens.analysis.study.plan.Asked` → the section's tasks
    figures: str  # module with ``ABOUT``, ``tables``, ``plots`` and ``measured``
    uses: tuple[str, ...] = ()  # other sections whose tasks and settings it is handed
    command: str = ""  # where it is not called as the section is
    every_study: bool = False  # whether it belongs to studies that do not list it
    heads: bool = False  # whether it takes data of several heads, whose images have a label for each
    modalities: tuple[str, ...] = ("image", "sound")  # kinds that it takes; recordings are spectrograms to it
