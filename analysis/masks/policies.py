"""Policies over augmentations: alternate two of them, or name one on a command line or in a study."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Generator, Tensor

from ..errors import InputError, unknown
from ..interface import Augmentation, MixedBatch
from ..plugins import load_object, read_call, source_of
from .cutmix import CutMix
from .fmix import FMix
from .mixup import MixUp
from .transform import Mix, draw_device


@dataclass(frozen=True)
class Alternate:
    """Alternate two augmentations per batch (paper, section 5): even steps use the first, odd steps the second.

    Without a step a fair coin decides, drawn from the generator.
    """

    first: Mix
    second: Mix

    def pairs(
        self, x: Tensor, y: Tensor, *, generator: Generator | None = None, step: int | None = None, **draws: Any
    ) -> MixedBatch:
        return self._choose(generator, step).pairs(x, y, generator=generator, **draws)

    def __call__(
        self, x: Tensor, y: Tensor, *, generator: Generator | None = None, step: int | None = None, **draws: Any
    ) -> tuple[Tensor, Tensor]:
        return self._choose(generator, step)(x, y, generator=generator, **draws)

    def collate(self, samples: Sequence[Any]) -> tuple[Tensor, Tensor]:
        """A ``collate_fn`` for a DataLoader, which knows no step: the coin decides."""
        return self._choose(None, None).collate(samples)

    def _choose(self, generator: Generator | None, step: int | None) -> Mix:
        if step is None:
            step = int(torch.randint(2, (), generator=generator, device=draw_device(generator, None)))
        return self.second if step % 2 else self.first


BASELINE = "baseline"
_SINGLE: Mapping[str, tuple[type[Mix], dict[str, Any]]] = {
    "mixup": (MixUp, {}),
    "cutmix": (CutMix, {}),
    "fmix": (FMix, {}),
    "fmix-official": (FMix, {"variant": "official"}),
}
NAMES = (BASELINE, *_SINGLE, "fmix+mixup", "cutmix+mixup", "fmix+cutmix")


@dataclass(frozen=True)
class Policy:
    """An augmentation by name: what a study stores, and how it is built.

    ``settings`` is the canonical form, defaults left out, so that ``fmix`` and ``fmix(alpha=1.0)`` are the same run.
    """

    settings: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The canonical way to write it, as rows and reports show it."""
        arguments = ",".join(f"{key}={value!r}" for key, value in self.settings.get("with", {}).items())
        return self.settings["use"] + (f"({arguments})" if arguments else "")

    def fingerprint(self) -> dict[str, Any]:
        """What determines the augmentation: its settings, and for a user's own the SHA-256 of the module that makes it.

        A change in that file is a new augmentation; a change in what the file imports goes unnoticed.
        """
        use = self.settings["use"]
        if ":" not in use:
            return dict(self.settings)
        return {**self.settings, "source": source_of(use, "augmentation")}

    @property
    def is_baseline(self) -> bool:
        return bool(self.settings["use"] == BASELINE)

    def build(self, num_classes: int, mode: str) -> Augmentation | None:
        """The augmentation; None for the baseline. Raises InputError for bad arguments or a factory that fails.

        It takes ``step=`` whether it uses it or not. A user's own is checked at every call (`OwnAugmentation`).
        """
        use, arguments = self.settings["use"], dict(self.settings.get("with", {}))
        if use == BASELINE:
            return None
        if ":" in use:
            made = _call(load_object(use, "augmentation"), arguments, self.text)
            if not callable(made):
                raise InputError(f"augmentation {self.text!r}: its factory gave {type(made).__name__}, not a callable.")
            return OwnAugmentation(self.text, made, _takes_step(made), num_classes)
        arguments.setdefault("mode", mode)
        mixes = [_call(_SINGLE[name][0], {**_SINGLE[name][1], **arguments, "num_classes": num_classes}, self.text)
                 for name in use.split("+")]  # fmt: skip
        return mixes[0] if len(mixes) == 1 else Alternate(*mixes)


@dataclass(frozen=True)
class OwnAugmentation:
    """A user's augmentation, its errors and outputs turned into messages that name it."""

    name: str
    mix: Callable[..., Any]
    takes_step: bool
    num_classes: int

    def __call__(
        self, x: Tensor, y: Tensor, *, generator: Generator | None = None, step: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Raises InputError when the augmentation fails or does not give mixed images like x, and labels."""
        try:
            made = self.mix(x, y, generator=generator, **({"step": step} if self.takes_step else {}))
        except (Exception, SystemExit) as error:  # whatever the user's code raises
            raise InputError(f"augmentation {self.name!r} failed with {type(error).__name__}: {error}") from error
        if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], Tensor)):
            raise InputError(f"augmentation {self.name!r} must return (images, labels), got {type(made).__name__}.")
        mixed, labels = made
        if mixed.shape != x.shape or mixed.dtype != x.dtype:
            raise InputError(
                f"augmentation {self.name!r} turned {x.dtype} images {tuple(x.shape)} into {mixed.dtype} "
                f"{tuple(mixed.shape)}; it must keep shape and type."
            )
        soft = isinstance(labels, Tensor) and labels.is_floating_point() and labels.shape == (len(x), self.num_classes)
        hard = isinstance(labels, Tensor) and not labels.is_floating_point() and labels.shape == (len(x),)
        if not (soft or hard):
            found = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
            raise InputError(
                f"augmentation {self.name!r} returned {found} as labels of {len(x)} images; expected floats "
                f"({len(x)}, {self.num_classes}), how much of each class is in each image, or integers ({len(x)},)."
            )
        return mixed, labels


def parse_policy(text: str) -> Policy:
    """Read ``name``, ``name(key=value, …)`` or ``package.module:factory(key=value, …)``.

    Raises:
        InputError: an unknown name or argument (with the nearest spelling), values that are not plain literals.
    """
    name, arguments = read_call(str(text), "augmentation")
    if ":" not in name:
        if name not in NAMES:
            known = unknown("augmentation", name, NAMES)
            raise InputError(f"{known} Your own is named package.module:factory.")
        if name == BASELINE and arguments:
            raise InputError(f"the baseline takes no arguments, got {text!r}.")
        if name != BASELINE:
            arguments = _without_defaults(name, arguments, str(text))
    return Policy({"use": name, **({"with": dict(sorted(arguments.items()))} if arguments else {})})


def _without_defaults(name: str, arguments: dict[str, Any], text: str) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for part in name.split("+"):
        kind, fixed = _SINGLE[part]
        hidden = {"num_classes", "salience", *fixed}
        defaults = {field.name: field.default for field in fields(kind) if field.name not in hidden}
        for key, value in arguments.items():
            if key not in defaults:
                raise InputError(f"augmentation {text!r}: {unknown('argument', key, defaults)}")
            if isinstance(defaults[key], float) and isinstance(value, int) and not isinstance(value, bool):
                value = float(value)  # alpha=2 and alpha=2.0 are the same run
            if value != defaults[key] or key == "mode":
                kept[key] = value
        _call(kind, fixed | arguments, text)
    return kept


def _takes_step(mix: Callable[..., Any]) -> bool:
    try:
        return "step" in inspect.signature(mix).parameters
    except (TypeError, ValueError):  # some callables have no signature to read
        return False


def _call(factory: Any, arguments: dict[str, Any], text: str) -> Any:
    try:
        inspect.signature(factory).bind(**arguments)
    except (TypeError, ValueError) as error:
        raise InputError(f"augmentation {text!r}: {error}.") from error
    try:
        return factory(**arguments)
    except InputError as error:
        raise InputError(f"augmentation {text!r}: {error}") from error
    except (Exception, SystemExit) as error:
        raise InputError(f"augmentation {text!r}: its factory failed with {type(error).__name__}: {error}.") from error
