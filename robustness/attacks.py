"""Attacks by name: Foolbox's own (Rauber et al. 2017, 2020), with their defaults unless arguments are given."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import foolbox.attacks
from foolbox.attacks.additive_noise import BaseAdditiveNoiseAttack, BaseRepeatedAdditiveNoiseAttack
from foolbox.attacks.base import (
    AttackWithDistance,
    FixedEpsilonAttack,
    FlexibleDistanceMinimizationAttack,
    MinimizationAttack,
)
from foolbox.attacks.carlini_wagner import L2CarliniWagnerAttack
from foolbox.attacks.ddn import DDNAttack
from foolbox.attacks.deepfool import DeepFoolAttack
from foolbox.attacks.ead import EADAttack
from foolbox.attacks.fast_minimum_norm import FMNAttackLp
from foolbox.attacks.gradient_descent_base import BaseGradientDescent
from foolbox.attacks.newtonfool import NewtonFoolAttack
from foolbox.distances import LpDistance, linf

from ..analysis.errors import InputError, first_line, unknown
from ..analysis.schema import shown
from ..analysis.spec import Spec, call, expand, load_object, read_spec, source_of, split_list
from .autoattack import AutoAttack

KIND = "attack"
SHORT = {
    "fgsm": "LinfFastGradientAttack",
    "pgd": "LinfProjectedGradientDescentAttack",
    "bim": "LinfBasicIterativeAttack",
    "uniform-noise": "LinfAdditiveUniformNoiseAttack",
    "deepfool": "LinfDeepFoolAttack",
}
GRADIENT_MINIMISERS = (DeepFoolAttack, FMNAttackLp, DDNAttack, L2CarliniWagnerAttack, EADAttack, NewtonFoolAttack)
MOST = 10**6  # steps, repeats and the like
NOT_ARGUMENTS = ("distance", "tensorboard", "init_attack")  # objects and files, which no text names
UNUSABLE = {
    "SpatialAttack": "it has no ε that a sweep could bound",
    "GenAttack": "it is targeted, and a sweep's attacks are untargeted",
    "DatasetAttack": "it has to be fed with other images",
    "BinarizationRefinementAttack": "it refines the result of another attack",
    "PointwiseAttack": "it bounds no norm by an ε",
    "L0FMNAttack": "the L0 norm cannot be clipped to an ε",
    "L0BrendelBethgeAttack": "the L0 norm cannot be clipped to an ε",
}


@dataclass(frozen=True)
class Attack:
    """One attack of a sweep: its canonical name, and Foolbox's object."""

    name: str  # arguments that equal Foolbox's defaults left out
    foolbox: AttackWithDistance
    source: str = ""  # of one of the user's own: SHA-256 of the file that makes it

    @property
    def minimises(self) -> bool:
        """Whether it seeks the smallest perturbation in one run (DeepFool) rather than the best within ε."""
        return isinstance(self.foolbox, MinimizationAttack)

    @property
    def follows_gradient(self) -> bool:
        """Whether it descends by the loss's gradient: FGSM, BIM, PGD and their kin."""
        return isinstance(self.foolbox, BaseGradientDescent) and self.steps > 0

    @property
    def iterates_gradient(self) -> bool:
        """Whether it takes many steps along gradients of any kind: PGD, BIM, DeepFool, FMN, DDN, Carlini–Wagner …"""
        return isinstance(self.foolbox, (BaseGradientDescent, *GRADIENT_MINIMISERS)) and self.steps > 1

    @property
    def by_image(self) -> bool:
        """Whether an image's result is its own: Foolbox's other attacks draw, or stop, for a batch as a whole."""
        kinds = (BaseGradientDescent, BaseAdditiveNoiseAttack, BaseRepeatedAdditiveNoiseAttack, DeepFoolAttack)
        return isinstance(self.foolbox, kinds)

    @property
    def steps(self) -> int:
        return getattr(self.foolbox, "steps", 0)

    @property
    def draws_noise(self) -> bool:
        """Whether it adds noise and looks at no gradient."""
        return isinstance(self.foolbox, BaseAdditiveNoiseAttack | BaseRepeatedAdditiveNoiseAttack)

    @property
    def norm(self) -> LpDistance:
        return self.foolbox.distance  # type: ignore[return-value]

    @property
    def cost(self) -> float:
        """For ordering alone, about the passes at each ε; what runs once for all ε counts as two steps."""
        if self.minimises:
            return 4
        return getattr(self.foolbox, "repeats", 1) if self.draws_noise else 2 * self.steps


def parse_attacks(texts: Sequence[str]) -> list[Attack]:
    """Read attacks such as ``pgd``, ``pgd(steps=[40,100])``, ``LinfAdamPGD`` or ``my_code.attacks:make(steps=3)``.

    Raises:
        InputError: unknown names or arguments, one attack twice, attacks of different norms.
    """
    attacks = [_parse(each) for text in texts for part in split_list(text) for each in expand(part, KIND)]
    if not attacks:
        raise InputError("no attack is named; give at least one, such as pgd.")
    names = [attack.name for attack in attacks]
    for position, name in enumerate(names):
        if name in names[:position]:
            raise InputError(f"attack {name!r} is listed twice.")
    for attack in attacks[1:]:
        if attack.norm.p != attacks[0].norm.p:
            raise InputError(
                f"{attack.name} bounds the L{attack.norm.p} norm and {attacks[0].name} the L{attacks[0].norm.p} norm: "
                "one ε cannot mean both. Sweep each norm by itself."
            )
    return attacks


def _parse(text: str) -> Attack:
    spec = read_spec(text, KIND)
    return _own(spec) if spec.is_own else _of_foolbox(text, spec.use, spec.arguments)


def _own(spec: Spec) -> Attack:
    """An attack of the user's own: whatever factory makes one of Foolbox's kinds."""
    returned = call(load_object(spec.use, KIND), spec.arguments, f"{KIND} {spec.text!r}")
    if not isinstance(returned, FixedEpsilonAttack | MinimizationAttack):
        raise InputError(
            f"{KIND} {spec.text!r}: its factory gave {type(returned).__name__}; expected an attack of Foolbox's kinds, "
            "FixedEpsilonAttack or MinimizationAttack."
        )
    return Attack(spec.text, returned, source_of(spec.use, KIND))


def _of_foolbox(text: str, name: str, arguments: Mapping[str, Any]) -> Attack:
    if name in UNUSABLE:
        raise InputError(f"attack {name!r} cannot be swept: {UNUSABLE[name]}.")
    kind = _kind(name)
    if not (inspect.isclass(kind) and issubclass(kind, FixedEpsilonAttack | MinimizationAttack)):
        raise InputError(
            f"{unknown(KIND, name, [*SHORT, 'autoattack'], _known())} Or any class of foolbox.attacks by its name, or "
            "your own as package.module:factory."
        )
    parameters = inspect.signature(kind.__init__).parameters
    accepted = {key for key, value in parameters.items() if value.kind is not value.VAR_KEYWORD} - {
        "self",
        "args",
        *NOT_ARGUMENTS,
    }
    for key in arguments:
        if key not in accepted:
            raise InputError(f"attack {text!r}: {unknown('argument', key, accepted)}")
    _check_arguments(f"attack {text!r}", arguments, {key: parameters[key].default for key in accepted})
    given: dict[str, Any] = {k: v for k, v in arguments.items() if v != parameters[k].default}
    if issubclass(kind, FlexibleDistanceMinimizationAttack):
        given["distance"] = linf
    try:
        returned = kind(**given)
        returned.distance  # noqa: B018  some raise here when it is unknown
    except ImportError as error:
        raise InputError(f"attack {text!r} needs another package: {_install(error)}.") from error
    except (Exception, SystemExit) as error:  # whatever the attack's constructor raises
        raise InputError(f"attack {text!r}: {type(error).__name__}: {error}") from error
    steps = getattr(returned, "steps", 0)
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
        raise InputError(f"attack {text!r}: steps must be a whole number of at least 0, got {steps!r}.")
    listed = ",".join(f"{key}={value!r}" for key, value in sorted(given.items()) if key != "distance")
    known = {long: short for short, long in SHORT.items()} | {AutoAttack.__name__: "autoattack"}
    name = known.get(kind.__name__, kind.__name__)
    return Attack(f"{name}({listed})" if listed else name, returned)


def _check_arguments(where: str, arguments: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    """Refuse what Foolbox would take and attack nothing with, so that every image would look robust."""
    starts_at_random = arguments.get("random_start", defaults.get("random_start", False))
    for key, value in arguments.items():
        if isinstance(defaults[key], bool) and not isinstance(value, bool):
            raise InputError(f"{where}: {key} must be True or False, got {shown(value)}.")
        if type(value) not in (int, float):
            continue
        counts = type(defaults[key]) is int and defaults[key] > 0 and not (key == "steps" and starts_at_random)
        least = 1 if counts else 0  # no step at all leaves a random start
        if value < least:
            raise InputError(f"{where}: {key} must be at least {least}, got {shown(value)}.")
        if type(value) is int and value > MOST:
            raise InputError(f"{where}: {key} must be at most {MOST:,}, got {shown(value)}.")


def _install(error: ImportError) -> str:
    missing = (error.name or "").partition(".")[0]
    if missing == "pyautoattack":
        return "pip install 'mixlens[autoattack]'"
    absent = isinstance(error, ModuleNotFoundError) and missing
    return f"pip install {missing}" if absent else f"{missing or 'one'} fails to import ({first_line(error)})"


def _kind(name: str) -> Any:
    if name == "autoattack":
        return AutoAttack
    return None if name.startswith("_") else getattr(foolbox.attacks, SHORT.get(name, name), None)


def _known() -> list[str]:
    found = vars(foolbox.attacks).items()
    return [
        name
        for name, kind in found
        if inspect.isclass(kind) and issubclass(kind, FixedEpsilonAttack | MinimizationAttack) and name not in UNUSABLE
    ]
