"""Tables that compare networks on the same images: with the baseline attack by attack, and every pair. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from ..analysis.interface import Arm
from ..analysis.presentation.numbers import extent
from ..analysis.presentation.parts import Table
from ..analysis.statistics.effect import EACH, Effect, Measured, Terms, effect
from ..analysis.store.record import StudyRecord
from . import curves
from .config import SECTION
from .measures import SIGNIFICANT, WORST, broken_by, paired

TITLES = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "bim": "BIM",
    "uniform-noise": "Uniform noise",
    "deepfool": "DeepFool",
    "autoattack": "AutoAttack",
    WORST: "Worst case",
}


def tables(record: StudyRecord, rows: pd.DataFrame) -> list[Table]:
    """Each attack against the baseline at one ε, and the worst case of every pair, where there is something to compare.

    ``rows`` are the section's.
    """
    arms = arms_of(rows)
    networks = Networks(record, rows)
    halves = _halves(networks, rows)
    shown = []
    if halves and _reference(arms).is_baseline and len(arms) > 1:
        shown.append(_to_the_baseline(networks, halves, [arm for arm in arms if not arm.is_baseline]))
    if WORST in halves and len(arms) > 2:
        shown.append(_every_pair(networks, halves[WORST], arms))
    return shown


def measured(record: StudyRecord, rows: pd.DataFrame) -> list[Measured]:
    """What the front page and the claims compare: accuracy under each attack over the whole curve (see `curves`).

    And at one ε (see `_half`), and at each, for a claim about all of them and for studies whose ε are others.
    """
    accuracy = rows[rows["quantity"] == "accuracy"]
    networks = Networks(record, rows)
    shown = [one for attack in attacks_of(rows) for one in _over_curves(networks, attack)]
    shown += [half.measured for half in _halves(networks, rows).values()]
    for attack in attacks_of(rows):
        for epsilon in sorted(set(accuracy.loc[accuracy["attack"] == attack, "epsilon"])):
            if epsilon > 0:
                shown.append(replace(_at(networks, attack, epsilon), quantity=f"{attack}{EACH}", apart=True))
    return shown


class _Half(NamedTuple):
    epsilon: float
    accuracy: float  # of the reference
    measured: Measured


def _halves(networks: Networks, rows: pd.DataFrame) -> dict[str, _Half]:
    """For each attack that was tried at an ε > 0, accuracy where the reference's is about a half."""
    accuracy = rows[rows["quantity"] == "accuracy"]
    found = ((attack, _half(accuracy, _reference(arms_of(rows)), attack)) for attack in attacks_of(rows))
    return {attack: _Half(*at, _at(networks, attack, at[0])) for attack, at in found if at is not None}


def _at(networks: Networks, attack: str, epsilon: float) -> Measured:
    heading = f"{title(attack)} accuracy at ε = {epsilon:g}"
    return Measured(attack, heading, "%", networks.held(attack, epsilon), factor=100, figure="robustness-attacks")


def _over_curves(networks: Networks, attack: str) -> list[Measured]:
    """The mean over the curve, once for each sweep: studies side by side may have other ε."""
    sweeps: dict[tuple[float, ...], dict[tuple[Arm, int], np.ndarray[Any, Any]]] = {}
    for (arm, seed), (epsilons, held) in networks.curves(attack).items():
        sweeps.setdefault(epsilons, {})[arm, seed] = curves.weights(epsilons) @ held
    front = "Robustness" if attack == WORST else ""
    shown = []
    for epsilons, terms in sweeps.items():
        where = f"over ε {epsilons[0]:g}–{epsilons[-1]:g}" if len(epsilons) > 1 else f"at ε = {epsilons[0]:g}"
        heading = f"{title(attack)} accuracy {where}"
        name = f"{attack}{curves.OVER}"
        shown.append(Measured(name, heading, "%", terms, factor=100, front=front, figure="robustness-bands"))
    return shown


def _reference(arms: Sequence[Arm]) -> Arm:
    """Whose curve chooses the ε: the first baseline's, or the first arm's where there is none."""
    return next((arm for arm in arms if arm.is_baseline), arms[0])


class Networks:
    """The bits of each arm's networks, read once."""

    def __init__(self, record: StudyRecord, rows: pd.DataFrame) -> None:
        accuracy = rows[rows["quantity"] == "accuracy"]
        self.bits = record.terms(SECTION.name, "bits")
        self.label = record.label
        self.family = record.family
        # Studies side by side may have other ε and attacks.
        by_arm = {arm: accuracy[accuracy["arm"] == arm] for arm in arms_of(accuracy)}
        self._epsilons = {arm: sorted(set(own["epsilon"])) for arm, own in by_arm.items()}
        self._attacks = {arm: [attack for attack in attacks_of(own) if attack != WORST] for arm, own in by_arm.items()}
        # Networks that were brought along share nothing but their place in the list.
        brought = any(task.kind == "classifier-load" for task in record.tasks)
        self.words = (
            f"the mean over {'networks, paired by their place in the list,' if brought else 'training seeds'} with its "
            "95% interval, each by itself. After the semicolon: how many networks McNemar's exact test, on these "
            f"images, finds more or less accurate than their partners at {SIGNIFICANT:.0%}. {how(accuracy)}."
        )

    def compare(self, half: _Half, first: Arm, second: Arm, change: Effect | None) -> str:
        """Accuracy of the first minus the second's, in points, and what the networks one by one say."""
        if change is None:
            return "—"
        held = half.measured.terms
        pairs = [(held[arm, seed], held[second, seed]) for arm, seed in held if arm == first and (second, seed) in held]
        found = [paired(~ours, ~theirs) for ours, theirs in pairs]
        up = sum(p < SIGNIFICANT and points > 0 for points, p in found)
        down = sum(p < SIGNIFICANT and points < 0 for points, p in found)
        return f"{extent(change)}; {up} up, {down} down of {len(found)}"

    def curves(self, attack: str) -> dict[tuple[Arm, int], tuple[tuple[float, ...], np.ndarray[Any, Any]]]:
        """(arm, seed) → the positive ε that an attack was tried at, and which images it leaves right (ε, images)."""
        found = {}
        for arm, seed in self.bits:
            epsilons = tuple(epsilon for epsilon in self._epsilons[arm] if epsilon > 0)
            if epsilons and self.has(arm, attack, epsilons[0]):
                broken = broken_by(self.bits[arm, seed], self._attacks[arm], attack)
                found[arm, seed] = epsilons, ~broken[-len(epsilons) :]  # ε ascend
        return found

    def has(self, arm: Arm, attack: str, epsilon: float) -> bool:
        """Whether an arm was attacked so, at that ε."""
        return epsilon in self._epsilons[arm] and (attack == WORST or attack in self._attacks[arm])

    def held(self, attack: str, epsilon: float) -> Terms:
        """Which images an attack leaves right at an ε, for each arm and seed that it was tried on."""
        return {
            (arm, seed): ~self.broken(arm, seed, attack, epsilon)
            for arm, seed in self.bits
            if self.has(arm, attack, epsilon)
        }

    def broken(self, arm: Arm, seed: int, attack: str, epsilon: float) -> np.ndarray[Any, Any]:
        at = self._epsilons[arm].index(epsilon)
        return broken_by(self.bits[arm, seed], self._attacks[arm], attack)[at]


def _to_the_baseline(networks: Networks, halves: dict[str, _Half], arms: Sequence[Arm]) -> Table:
    body = []
    for arm in arms:
        changes = ((half, networks.family.of(SECTION.name, attack, arm)) for attack, half in halves.items())
        cells = (networks.compare(half, arm, arm.baseline, change) for half, change in changes)
        body.append((networks.label(arm), *cells))
    heads = (f"{title(attack)}, ε = {half.epsilon:g} ({100 * half.accuracy:.0f}%)" for attack, half in halves.items())
    return Table(
        "robustness-differences",
        "Differences to the baseline at one ε (points of accuracy)",
        "On the same images, at the ε at which the baseline's accuracy is nearest to half of what it is unattacked "
        f"(its accuracy there stands in the column's head): {networks.words}",
        ("Augmentation", *heads),
        tuple(body),
    )


def _every_pair(networks: Networks, half: _Half, arms: Sequence[Arm]) -> Table:
    body = []
    for row in arms:
        cells = (
            "" if row == column else networks.compare(half, row, column, effect(half.measured, row, column))
            for column in arms
        )
        body.append((networks.label(row), *cells))
    return Table(
        "robustness-pairs",
        f"Worst case at ε = {half.epsilon:g}, every pair (points of accuracy)",
        f"The row's accuracy minus the column's: {networks.words}",
        ("Augmentation", *map(networks.label, arms)),
        tuple(body),
    )


def _half(accuracy: pd.DataFrame, reference: Arm, attack: str) -> tuple[float, float] | None:
    """The ε > 0 at which the reference's accuracy is nearest to half of its first one, and that accuracy."""
    own = accuracy[(accuracy["arm"] == reference) & (accuracy["attack"] == attack)]
    curve = own.groupby("epsilon")["value"].mean()
    attacked = curve[curve.index > 0]
    if attacked.empty:
        return None
    epsilon = float((attacked - curve.iloc[0] / 2).abs().idxmin())
    return epsilon, float(attacked[epsilon])


def attacks_of(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows.loc[rows["quantity"] == "accuracy", "attack"]))


def arms_of(rows: pd.DataFrame) -> list[Arm]:
    return list(dict.fromkeys(rows["arm"]))


def title(attack: str) -> str:
    """The name people know: ``pgd`` → PGD; arguments stay."""
    head, _, rest = attack.partition("(")
    return TITLES.get(head, head) + (f" ({rest}" if rest else "")


def how(rows: pd.DataFrame) -> str:
    """What was attacked, for captions."""
    images = " and ".join(f"{n:,}" for n in sorted(set(rows["n"])))
    protocols = ", ".join(dict.fromkeys(rows["protocol"]))
    return f"{images} test images, protocol {protocols}; images that were wrong as they are count as broken"
