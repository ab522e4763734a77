"""AutoAugment, RandAugment and Fast AutoAugment: random operations on each image, drawn from a list of sub-policies.

``autoaugment`` is the policy that Cubuk et al. (2019a) found on CIFAR-10, as torchvision has it;
``randaugment(n=2,m=9)`` that of Cubuk et al. (2019b) in torchvision's form, n of 14 operations at strength m of
0 … 30. ``fast-autoaugment(path='archive.py')`` is Fast AutoAugment (Lim et al. 2019). What its search found on CIFAR-10
is a list of some 500 sub-policies in its authors' code, which is not ours to publish, and is read from a file: that
``archive.py`` itself, which is not run, or JSON, a list of sub-policies such as

    [[["Contrast", 0.8, 0.5], ["TranslateX", 0.4, 0.25]], …]

each of as many operations as the others, with their chance and their level in 0 … 1. What a level means is of the same
code: shears of up to 0.3, shifts of up to 0.45 widths and rotations of up to 30°, each to either side; contrast,
colour, brightness and sharpness times 0.1 … 1.9; thresholds of 0 … 256; 4 … 8 bits; squares of up to 0.2 widths.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torchvision.transforms import AutoAugment, AutoAugmentPolicy

from ..errors import InputError, first_line, unknown
from ..spec import Spec, read_spec, without_defaults
from .operations import OPERATIONS

KIND = "transforms"
NONE = "none"
AUTHORS = "https://github.com/kakaobrain/fast-autoaugment, FastAutoAugment/archive.py"
FUNCTION = "fa_reduced_cifar10"  # of that file: what it returns was found on CIFAR-10
BINS, RAND_BINS = 10, 31  # strengths that AutoAugment and RandAugment tell apart

_NUMBERS = {name: number for number, name in enumerate(OPERATIONS, start=1)}  # 0: none


class Step(NamedTuple):
    """An operation, the chance with which it is applied, its strength, and whether that may as well be negative."""

    operation: str
    chance: float
    strength: float = 0.0
    mirrored: bool = False


@dataclass(frozen=True)
class SubPolicies:
    """In each of ``rounds`` one of ``listed`` is drawn for each image, and its steps are applied in turn."""

    listed: tuple[tuple[Step, ...], ...]
    rounds: int = 1
    _tables: dict[torch.device, list[Tensor]] = field(default_factory=dict, repr=False, compare=False)

    def __call__(self, images: Tensor, uniform: Callable[[int], Tensor]) -> Tensor:
        """Images (B, C, H, W) uint8 on any device, C = 1 or 3; on grey ones colour is left as it is.

        Args:
            uniform: rows → draws (rows, B) from [0, 1); as many are drawn whatever comes of them.

        Raises:
            InputError: other images.
        """
        if images.dtype != torch.uint8 or images.shape[1] not in (1, 3):
            raise InputError(
                f"{KIND} are of bytes with 1 or 3 channels; these images are {images.dtype} with {images.shape[1]}. "
                "Leave out --transforms."
            )
        steps = len(self.listed[0])
        for _ in range(self.rounds):
            which = (uniform(1)[0] * len(self.listed)).long().clamp_(max=len(self.listed) - 1)
            for step in range(steps):
                chance, side, *places = uniform(4)
                number, least, strength, mirrored = (table[which, step] for table in self._on(images.device))
                strength = torch.where((mirrored > 0) & (side < 0.5), -strength, strength)
                number = torch.where(chance < least, number, 0)
                images = _applied(images, number, strength, torch.stack(places, 1), self._at(step))
        return images

    def _at(self, step: int) -> list[str]:
        return [name for name in OPERATIONS if any(steps[step].operation == name for steps in self.listed)]

    def _on(self, device: torch.device) -> list[Tensor]:
        """Number, chance, strength and mirrored of every step, (sub-policies, steps) each, once on every device."""
        if device not in self._tables:
            rows = [[(_NUMBERS.get(s.operation, 0), *s[1:]) for s in steps] for steps in self.listed]
            self._tables[device] = list(torch.tensor(rows, dtype=torch.float32).to(device).unbind(2))
        return self._tables[device]


def _applied(images: Tensor, number: Tensor, strength: Tensor, places: Tensor, names: Sequence[str]) -> Tensor:
    """To each image the operation of its number, all images of one operation at once.

    On a CPU each operation sees its images alone. A GPU would have to be waited for to know which these are; there it
    sees all of them, and of the others nothing is kept.
    """
    out = images.clone()
    for name in names:
        chosen = number == _NUMBERS[name]
        if images.device.type == "cpu":
            rows = chosen.nonzero().squeeze(1)
            if len(rows):
                out[rows] = OPERATIONS[name](images[rows], strength[rows], places[rows])
        else:
            out = torch.where(chosen.view(-1, 1, 1, 1), OPERATIONS[name](images, strength, places), out)
    return out


# What an operation's name and level are in each of the three: operation, level in [0, 1] → strength, mirrored

Meaning = Mapping[str, tuple[str, Callable[[float], float], bool]]
_UNUSED: tuple[Callable[[float], float], bool] = (lambda level: 0.0, False)
_ALIKE: Meaning = {
    "ShearX": ("shear-x", lambda level: 0.3 * level, True),
    "ShearY": ("shear-y", lambda level: 0.3 * level, True),
    "Rotate": ("rotate", lambda level: 30 * level, True),
    "AutoContrast": ("autocontrast", *_UNUSED),
    "Equalize": ("equalize", *_UNUSED),
    "Invert": ("invert", *_UNUSED),
}
_ENHANCE = {"Brightness": "brightness", "Color": "colour", "Contrast": "contrast", "Sharpness": "sharpness"}
TORCHVISION: Meaning = {
    **_ALIKE,
    "TranslateX": ("translate-x", lambda level: 150 / 331 * level, True),
    "TranslateY": ("translate-y", lambda level: 150 / 331 * level, True),
    **{name: (operation, lambda level: 0.9 * level, True) for name, operation in _ENHANCE.items()},
    "Posterize": ("posterize", lambda level: 8 - round(4 * level), False),
    "Solarize": ("solarize", lambda level: 255 * (1 - level), False),
}
# Here shears, shifts and rotations go from one side to the other, and are mirrored besides.
FAST: Meaning = {
    **_ALIKE,
    "ShearX": ("shear-x", lambda level: 0.3 * (2 * level - 1), True),
    "ShearY": ("shear-y", lambda level: 0.3 * (2 * level - 1), True),
    "Rotate": ("rotate", lambda level: 30 * (2 * level - 1), True),
    "TranslateX": ("shift-x", lambda level: 0.45 * (2 * level - 1), True),
    "TranslateY": ("shift-y", lambda level: 0.45 * (2 * level - 1), True),
    **{name: (operation, lambda level: 0.9 * (2 * level - 1), False) for name, operation in _ENHANCE.items()},
    "Posterize": ("posterize", lambda level: 4 + int(4 * level), False),
    "Solarize": ("solarize", lambda level: 256 * level, False),
    "Cutout": ("cutout", lambda level: 0.2 * level, False),
}


def _step(meaning: Meaning, name: str, chance: float, level: float) -> Step:
    operation, strength, mirrored = meaning[name]
    return Step(operation, chance, strength(level), mirrored)


def autoaugment() -> SubPolicies:
    """The policy for CIFAR-10 that torchvision publishes."""
    found = AutoAugment(AutoAugmentPolicy.CIFAR10).policies
    return SubPolicies(
        tuple(
            tuple(_step(TORCHVISION, name, chance, (bin_ or 0) / (BINS - 1)) for name, chance, bin_ in steps)
            for steps in found
        )
    )


def randaugment(n: int, m: int) -> SubPolicies:
    """n operations, each as likely as the others, at strength m of 0 … 30. Raises InputError for other numbers."""
    if type(n) is not int or not 1 <= n <= 100:
        raise InputError(f"randaugment takes n operations, a whole number of 1 to 100, got {n!r}.")
    if type(m) is not int or not 0 <= m < RAND_BINS:
        raise InputError(f"randaugment's strength m is a whole number of 0 to {RAND_BINS - 1}, got {m!r}.")
    names = [name for name in TORCHVISION if name != "Invert"]
    each = [(_step(TORCHVISION, name, 1.0, m / (RAND_BINS - 1)),) for name in names]
    return SubPolicies(((Step("identity", 1.0),), *each), rounds=n)


def fast_autoaugment(path: str) -> SubPolicies:
    """The sub-policies in a file, as this module describes it. Raises InputError."""
    where = f"the sub-policies of fast-autoaugment in {path!r}"
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
        values = _assigned(text, where) if path.endswith(".py") else json.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        raise InputError(f"cannot read {where}: {reason}. They are in their authors' code: {AUTHORS}.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InputError(f"cannot read {where}: {first_line(error)}.") from error
    if not isinstance(values, list) or not values:
        raise InputError(f"{where} must be a list of sub-policies, such as [[['Invert', 0.5, 0.1]]].")
    listed = tuple(_sub_policy(one, f"{where}, number {number},") for number, one in enumerate(values, start=1))
    for number, steps in enumerate(listed, start=1):
        if len(steps) != len(listed[0]):
            raise InputError(f"{where}: number {number} has {len(steps)} operations, the first {len(listed[0])}.")
    return SubPolicies(listed)


def _assigned(text: str, where: str) -> Any:
    """The list that a Python file's function of CIFAR-10's policies assigns: its literal, and nothing is run."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and node.name.endswith(FUNCTION):
            for line in node.body:
                if isinstance(line, ast.Assign | ast.Return) and isinstance(line.value, ast.List):
                    return ast.literal_eval(line.value)
    raise InputError(f"{where}: it has no function {FUNCTION} that holds a list; expected {AUTHORS}, or JSON.")


def _sub_policy(value: Any, where: str) -> tuple[Step, ...]:
    if not isinstance(value, list | tuple) or not value:
        raise InputError(f"{where} must be a list of operations [name, chance, level], got {value!r:.80}.")
    steps = []
    for one in value:
        if not isinstance(one, list | tuple) or len(one) != 3 or not isinstance(one[0], str):
            raise InputError(f"{where} must be a list of operations [name, chance, level], got {one!r:.80}.")
        name, *numbers = one
        if name not in FAST:
            raise InputError(f"{where} has an unknown operation: {unknown('operation', name, FAST)}")
        if not all(type(number) in (int, float) and 0 <= number <= 1 for number in numbers):
            raise InputError(f"{where} has a chance or a level that is no number of 0 to 1: {one!r:.80}.")
        steps.append(_step(FAST, name, *numbers))
    return tuple(steps)


# By name


class Named(NamedTuple):
    """What was asked for by name: the one way to write it, which says of a file what it held, and what it is."""

    text: str
    policies: SubPolicies | None


_DEFAULTS: dict[str, dict[str, Any]] = {"autoaugment": {}, "randaugment": {"n": 2, "m": 9}}
_FROM_FILE = "fast-autoaugment"


def read_transforms(text: str) -> Named:
    """Sub-policies by name, none for an empty text or ``none``.

    A file's are known by the SHA-256 of what they are: the text gets it as the argument ``policies``. How the file is
    written makes no others of them, nor where it lies (`without_path`).

    Raises:
        InputError: an unknown name or argument, a value out of range, a file that cannot be read or that does not hold
            what the text says.
    """
    if text in ("", NONE):
        return Named("", None)
    spec = read_spec(text, KIND)
    if spec.use == _FROM_FILE:
        given = without_defaults(spec.arguments, {"path": "", "policies": ""}, f"{KIND} {text!r}")
        path = given.get("path", "")
        if not isinstance(path, str) or not path:
            raise InputError(
                f"{_FROM_FILE} needs the file of its sub-policies: {_FROM_FILE}(path='archive.py'), as it is in their "
                f"authors' code ({AUTHORS}), or the same as JSON."
            )
        policies = fast_autoaugment(path)
        digest = hashlib.sha256(json.dumps(policies.listed).encode()).hexdigest()
        if given.get("policies", digest) != digest:
            raise InputError(f"the sub-policies in {path!r} are others than when the study began; run it again.")
        return Named(Spec(_FROM_FILE, {"path": path, "policies": digest}).text, policies)
    if spec.use not in _DEFAULTS:
        raise unknown(f"{KIND}:", spec.use, (NONE, *_DEFAULTS, _FROM_FILE))
    kept = without_defaults(spec.arguments, _DEFAULTS[spec.use], f"{KIND} {text!r}")
    policies = autoaugment() if spec.use == "autoaugment" else randaugment(**{**_DEFAULTS[spec.use], **kept})
    return Named(Spec(spec.use, kept).text, policies)
