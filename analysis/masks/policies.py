"""Policies over augmentations: alternate two of them, or name one on a command line or in a study."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, get_args

import numpy as np
import torch
from torch import Generator, Tensor

from ..errors import InputError, own_line, unknown
from ..interface import BASELINE, Augmentation, Mixed, MixedBatch
from ..process import unchanged
from ..spec import Spec, call, load_object, parameters_of, read_spec, source_of, without_defaults
from .cutmix import CutMix
from .fmix import FMix
from .mixup import MixUp
from .transform import Mix, Mode, source


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

    def collate(self, samples: Sequence[Any]) -> Any:
        """A ``collate_fn`` for a DataLoader, which knows no step: the coin decides."""
        return self._choose(None, None).collate(samples)

    def _choose(self, generator: Generator | None, step: int | None) -> Mix:
        if step is None:
            step = int(torch.randint(2, (), **source(generator, None)))
        return self.second if step % 2 else self.first


_SINGLE: Mapping[str, tuple[type[Mix], dict[str, Any]]] = {
    "mixup": (MixUp, {}),
    "cutmix": (CutMix, {}),
    "fmix": (FMix, {}),
    "fmix-official": (FMix, {"variant": "official"}),
}
# As the paper's trainings: one λ a batch, one mask a batch for FMix, and torchbearer's CutMix.
PUBLISHED = "published"
_PUBLISHED: Mapping[type[Mix], dict[str, Any]] = {
    MixUp: {"mode": "batch"},
    CutMix: {"mode": "batch", "lam": "asked", "rounding": "nearest"},
    FMix: {"mode": "batch-mask"},
}
MODES = (PUBLISHED, *get_args(Mode))
NAMES = (BASELINE, *_SINGLE, "fmix+mixup", "cutmix+mixup", "fmix+cutmix")
KIND = "augmentation"


@dataclass(frozen=True)
class Policy:
    """An augmentation by name: what a study stores, and how it is built.

    ``spec`` is in canonical form, defaults left out, so that ``fmix`` and ``fmix(alpha=1.0)`` are the same run.
    """

    spec: Spec

    @classmethod
    def of(cls, settings: Mapping[str, Any] | None) -> Policy:
        """The policy of these `settings`, or of a `fingerprint`; the baseline for None."""
        return cls(Spec(settings["use"], settings.get("with", {})) if settings else Spec(BASELINE))

    @property
    def text(self) -> str:
        """The canonical way to write it, as rows hold it."""
        return self.spec.text

    @property
    def settings(self) -> dict[str, Any]:
        """As a key holds it."""
        arguments = dict(sorted(self.spec.arguments.items()))
        return {"use": self.spec.use, **({"with": arguments} if arguments else {})}

    def fingerprint(self) -> dict[str, Any]:
        """What determines the augmentation: its settings, and for a user's own the SHA-256 of the module that makes it.

        A change in that file is a new augmentation; a change in what the file imports goes unnoticed.
        """
        if self.spec.is_own:
            return self.settings | {"source": source_of(self.spec.use, KIND)}
        # Words that once meant something else: CutMix as published, and one λ for a batch.
        renewed = "cutmix" in self.spec.use.split("+") or self.spec.arguments.get("mode") == "batch"
        return self.settings | ({"revision": 2} if renewed else {})

    @property
    def is_baseline(self) -> bool:
        return self.spec.use == BASELINE

    @property
    def takes_mode(self) -> bool:
        """Whether it matters to it that a study mixes by batch or by element."""
        return not self.is_baseline and not self.spec.is_own

    def shared(self, study: str) -> tuple[str, str]:
        """The augmentation without its mode, as text, and how its masks are shared within a batch, one of `Mode`.

        ``study`` is the study's mode, one of `MODES`. Both are empty for the baseline, combinations and a user's own.
        """
        if self.spec.use not in _SINGLE:
            return "", ""
        arguments = dict(self.spec.arguments)
        kind, _ = _SINGLE[self.spec.use]
        mode = arguments.pop("mode", _PUBLISHED[kind]["mode"] if study == PUBLISHED else study)
        return Spec(self.spec.use, arguments).text, mode

    def build(self, num_classes: int, mode: str) -> Augmentation | None:
        """The augmentation; None for the baseline. Raises InputError for bad arguments or a factory that fails.

        ``mode`` is one of `MODES`; ``published`` sets whatever the trainings of the paper did otherwise than we by
        default. A user's own is checked at every call (`OwnAugmentation`).
        """
        spec = self.spec
        if self.is_baseline:
            return None
        if spec.is_own:
            factory = load_object(spec.use, KIND)
            if "generator" in (parameters_of(factory) or {}).keys() - spec.arguments.keys():
                raise InputError(
                    f"{KIND} {self.text!r} names what mixes a batch; expected what makes it. Give it a factory, such "
                    f"as def make(): return {spec.use.rpartition(':')[2]}, and name that."
                )
            returned = call(factory, spec.arguments, f"{KIND} {self.text!r}")
            if not callable(returned):
                raise InputError(f"{KIND} {self.text!r}: its factory gave {type(returned).__name__}, not a callable.")
            return OwnAugmentation(self.text, returned, "step" in (parameters_of(returned) or ()), num_classes)
        mixes = []
        for name in spec.use.split("+"):
            kind, fixed = _SINGLE[name]
            study = _PUBLISHED[kind] if mode == PUBLISHED else {"mode": mode}
            arguments = {**study, **fixed, **spec.arguments, "num_classes": num_classes}
            mixes.append(call(kind, arguments, f"{KIND} {self.text!r}"))
        return mixes[0] if len(mixes) == 1 else Alternate(*mixes)


@dataclass(frozen=True)
class OwnAugmentation:
    """A user's augmentation: ``mix(x, y, generator=…)`` → mixed images, and their labels or both labels of each.

    Its errors and outputs are turned into messages that name it.
    """

    name: str
    mix: Callable[..., Any]
    takes_step: bool
    num_classes: int
    # Whether any batch so far held NaN or infinity, where the batches are: one tensor, once there was a batch.
    _spoilt: list[Tensor] = field(default_factory=list, repr=False, compare=False)

    @property
    def gave_nan(self) -> bool:
        """Whether it has given NaN or infinite images, labels or weights. Waits for the device."""
        return any(bool(spoilt) for spoilt in self._spoilt)

    def pairs(self, x: Tensor, y: Tensor, *, generator: Generator | None = None, step: int | None = None) -> Mixed:
        """Raises InputError when the augmentation fails or does not give mixed images like x, and labels."""
        with unchanged(f"augmentation {self.name!r}"):
            try:
                returned = self.mix(x, y, generator=generator, **({"step": step} if self.takes_step else {}))
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # whatever the user's code raises
                raise InputError(
                    f"augmentation {self.name!r} failed with {type(error).__name__}: {error}{own_line(error)}"
                ) from error
        both = isinstance(returned, MixedBatch)
        pair = isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Tensor)
        if not both and not pair:
            raise InputError(
                f"augmentation {self.name!r} must return (images, labels) or a MixedBatch, "
                f"got {type(returned).__name__}."
            )
        mixed = returned[0]
        if mixed.shape != x.shape or mixed.dtype != x.dtype:
            raise InputError(
                f"augmentation {self.name!r} turned {x.dtype} images {tuple(x.shape)} into {mixed.dtype} "
                f"{tuple(mixed.shape)}; it must keep shape and type."
            )
        if not both:
            labels = self._labels(returned[1], y)
            self._note(mixed, labels)
            return mixed, labels
        lam = returned.lam
        if not isinstance(lam, Tensor) or lam.shape != (len(x),) or not _holds((lam >= 0) & (lam <= 1)):
            raise InputError(
                f"augmentation {self.name!r}: a MixedBatch's lam must be ({len(x)},), one weight in [0, 1] an image."
            )
        checked = returned._replace(y=self._labels(returned.y, y), y_partner=self._labels(returned.y_partner, y))
        self._note(mixed, lam, checked.y, checked.y_partner)
        return checked

    def _note(self, *parts: Tensor) -> None:
        """Remember NaN and infinity without a wait, in place, as a captured step can."""
        for part in parts:
            if part.is_floating_point():
                spoilt = ~part.isfinite().all()
                if self._spoilt:
                    self._spoilt[0].logical_or_(spoilt)
                else:
                    self._spoilt.append(spoilt)

    def try_on(self, x: Tensor, y: Tensor) -> None:
        """Mix a batch twice from one seed, so that what no result can rest on is known before hours of training.

        Raises:
            InputError: what `pairs` refuses; NaN or infinity; two batches that differ; a change of the labels it was
                given, or of global random states.
        """
        states = _global_states()
        batches = []
        for _ in range(2):
            labels = y.clone()
            batches.append(self.pairs(x.clone(), labels, generator=torch.Generator().manual_seed(0), step=0))
            if not torch.equal(labels, y):
                raise InputError(f"augmentation {self.name!r} changes the labels that it is given; return others.")
        if self.gave_nan:
            raise InputError(f"augmentation {self.name!r} gave NaN or infinite images or labels of finite ones.")
        once, again = ([part for part in batch if isinstance(part, Tensor)] for batch in batches)
        if len(once) != len(again) or not all(map(torch.equal, once, again)):
            raise InputError(
                f"augmentation {self.name!r} gives one batch two results from one seed: it draws elsewhere than from "
                "its generator. Hand that on to every draw, as torch.rand(…, generator=generator)."
            )
        if any(not _alike(*pair) for pair in zip(states, _global_states(), strict=True)):
            raise InputError(
                f"augmentation {self.name!r} changes a global random state (torch, numpy or random), from which others "
                "draw too. Draw from the generator that it is given, and seed nothing."
            )

    def _labels(self, labels: Any, given: Tensor) -> Tensor:
        """The labels, classes as int64. Their values are looked at on a CPU alone, as in `transform.check_batch`."""
        count = len(given)
        floats = isinstance(labels, Tensor) and labels.is_floating_point()
        if floats and given.ndim == 1 and labels.shape == (count, self.num_classes):
            if not _holds((labels >= 0).all(1) & ((labels.sum(1) - 1).abs() < 1e-3)):
                raise InputError(
                    f"augmentation {self.name!r} returned soft labels that are no shares of the classes: each image's "
                    "must be at least 0 and sum to 1."
                )
            return labels
        integers = isinstance(labels, Tensor) and not labels.is_floating_point() and labels.dtype != torch.bool
        if integers and labels.shape == given.shape:
            if not _holds((labels >= 0) & (labels < self.num_classes)):
                raise InputError(
                    f"augmentation {self.name!r} returned labels outside 0..{self.num_classes - 1}, the data's classes."
                )
            return labels.long()
        described = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
        soft = f"floats ({count}, {self.num_classes}), how much of each class is in each image, or "
        raise InputError(
            f"augmentation {self.name!r} returned {described} as labels of {count} images; expected "
            f"{soft if given.ndim == 1 else ''}integers {tuple(given.shape)}."
        )


def _global_states() -> tuple[Any, ...]:
    _, words, position, *_ = np.random.get_state(legacy=True)
    return torch.get_rng_state(), (words, position), random.getstate()


def _alike(first: Any, second: Any) -> bool:
    """Whether two states are the same: tensors, or tuples of arrays and numbers."""
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    return all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


def _holds(condition: Tensor) -> bool:
    """Whether it is true throughout, on a CPU; elsewhere the answer would have to be waited for."""
    return condition.device.type != "cpu" or bool(condition.all())


def period_of(mix: Augmentation | None) -> int | None:
    """After how many steps an augmentation does the same again; None where that is not known."""
    if isinstance(mix, Alternate):
        return 2
    return None if isinstance(mix, OwnAugmentation) and mix.takes_step else 1


def parse_policy(text: str) -> Policy:
    """Read ``name``, ``name(key=value, …)`` or ``package.module:factory(key=value, …)``.

    Raises:
        InputError: an unknown name or argument (with the nearest spelling), values that are not plain literals.
    """
    spec = read_spec(str(text), KIND)
    if spec.is_own:
        return Policy(spec)
    if spec.use not in NAMES:
        raise InputError(f"{unknown(KIND, spec.use, NAMES)} Your own is named package.module:factory.")
    if spec.use == BASELINE:
        if spec.arguments:
            raise InputError(f"the baseline takes no arguments, got {text!r}.")
        return Policy(spec)
    if spec.use == "fmix" and spec.arguments.get("variant") == "official":  # the same by its name
        arguments = {name: value for name, value in spec.arguments.items() if name != "variant"}
        spec = Spec("fmix-official", arguments)
    kept: dict[str, Any] = {}
    for name in spec.use.split("+"):
        kind, fixed = _SINGLE[name]
        hidden = {"num_classes", "salience", *fixed}
        defaults = {field.name: field.default for field in fields(kind) if field.name not in hidden}
        kept |= without_defaults(spec.arguments, defaults, f"{KIND} {text!r}")
        call(kind, {**fixed, **spec.arguments}, f"{KIND} {text!r}")
    for name in sorted({name for settings in _PUBLISHED.values() for name in settings} & spec.arguments.keys()):
        kept[name] = spec.arguments[name]  # a study's mode is another default
    return Policy(Spec(spec.use, kept))
