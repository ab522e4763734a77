"""Tables that compare networks on the same images: with the baseline attack by attack, and every pair. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..analysis.interface import Arm
from ..analysis.presentation.numbers import difference
from ..analysis.presentation.parts import Table
from ..analysis.statistics.effect import EACH, Measured, Terms
from ..analysis.store.record import StudyRecord
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
    """Each attack against the baseline, and the worst case of every pair, where there is something to compare.

    ``rows`` are the section's.
    """
    arms, attacks = arms_of(rows), attacks_of(rows)
    accuracy = rows[rows["quantity"] == "accuracy"]
    reference = _reference(arms)
    columns = {attack: _half(accuracy, reference, attack) for attack in attacks}
    networks = _Networks(record, accuracy)
    shown = []
    if reference.is_baseline and len(arms) > 1:
        shown.append(_to_the_baseline(networks, columns, [arm for arm in arms if not arm.is_baseline]))
    if columns.get(WORST) and len(arms) > 2:
        shown.append(_every_pair(networks, columns[WORST], arms))
    return shown


def measured(record: StudyRecord, rows: pd.DataFrame) -> list[Measured]:
    """What the front page and the claims compare: accuracy under each attack at one ε (see `_half`).

    And at each ε, for a claim about all of them and for studies whose ε are others.
    """
    accuracy = rows[rows["quantity"] == "accuracy"]
    attacks, reference = attacks_of(rows), _reference(arms_of(rows))
    networks = _Networks(record, accuracy)
    shown = []
    for attack in attacks:
        at = _half(accuracy, reference, attack)
        if at is not None:
            terms = networks.held(attack, at[0])
            heading = f"{title(attack)} accuracy at ε = {at[0]:g}"
            front = "Robustness" if attack == WORST else ""
            shown.append(Measured(attack, heading, "%", terms, factor=100, front=front, figure="robustness-attacks"))
    for attack in attacks:
        for epsilon in sorted(set(accuracy.loc[accuracy["attack"] == attack, "epsilon"])):
            if epsilon > 0:
                heading = f"{title(attack)} accuracy at ε = {epsilon:g}"
                terms, name = networks.held(attack, epsilon), f"{attack}{EACH}"
                shown.append(Measured(name, heading, "%", terms, factor=100, figure="robustness-attacks", apart=True))
    return shown


def _reference(arms: Sequence[Arm]) -> Arm:
    """Whose curve chooses the ε: the first baseline's, or the first arm's where there is none."""
    return next((arm for arm in arms if arm.is_baseline), arms[0])


class _Networks:
    """The bits of each arm's networks, read once."""

    def __init__(self, record: StudyRecord, accuracy: pd.DataFrame) -> None:
        self.bits = record.terms(SECTION.name, "bits")
        self.label = record.label
        # Studies side by side may have other ε and attacks.
        by_arm = {arm: accuracy[accuracy["arm"] == arm] for arm in arms_of(accuracy)}
        self._epsilons = {arm: sorted(set(own["epsilon"])) for arm, own in by_arm.items()}
        self._attacks = {arm: [attack for attack in attacks_of(own) if attack != WORST] for arm, own in by_arm.items()}
        # Networks that were brought along share nothing but their place in the list.
        brought = any(task.kind == "classifier-load" for task in record.tasks)
        self.words = (
            f"mean over {'networks, paired by their place in the list,' if brought else 'training seeds'} with its 95% "
            "Student t interval, each by itself (not corrected for their number); with fewer than three one cannot "
            "tell what another training would give. After the semicolon: how many networks McNemar's exact test, on "
            f"these images, finds more or less accurate than their partners at {SIGNIFICANT:.0%}. {how(accuracy)}."
        )

    def compare(self, first: Arm, second: Arm, attack: str, epsilon: float) -> str:
        """Accuracy of the first minus the second's, in points, and what the networks one by one say."""
        seeds = [seed for (arm, seed) in self.bits if arm == first and (second, seed) in self.bits]
        if not seeds or not all(self.has(arm, attack, epsilon) for arm in (first, second)):
            return "—"
        changes = [paired(*(self.broken(arm, seed, attack, epsilon) for arm in (first, second))) for seed in seeds]
        up = sum(p < SIGNIFICANT and change > 0 for change, p in changes)
        down = sum(p < SIGNIFICANT and change < 0 for change, p in changes)
        points = pd.Series([100 * change for change, _ in changes])
        return f"{difference(points)}; {up} up, {down} down of {len(seeds)}"

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


def _to_the_baseline(networks: _Networks, columns: dict[str, tuple[float, float] | None], arms: Sequence[Arm]) -> Table:
    body = [
        (
            networks.label(arm),
            *(networks.compare(arm, arm.baseline, attack, at[0]) if at else "—" for attack, at in columns.items()),
        )
        for arm in arms
    ]
    heads = (
        f"{title(attack)}, ε = {at[0]:g} ({100 * at[1]:.0f}%)" if at else title(attack)
        for attack, at in columns.items()
    )
    return Table(
        "robustness-differences",
        "Differences to the baseline (points of accuracy)",
        "On the same images, at the ε at which the baseline's accuracy is nearest to half of what it is unattacked "
        f"(its accuracy there stands in the column's head): {networks.words}",
        ("Augmentation", *heads),
        tuple(body),
    )


def _every_pair(networks: _Networks, at: tuple[float, float] | None, arms: Sequence[Arm]) -> Table:
    assert at is not None
    body = [
        (
            networks.label(row),
            *("" if row == column else networks.compare(row, column, WORST, at[0]) for column in arms),
        )
        for row in arms
    ]
    return Table(
        "robustness-pairs",
        f"Worst case at ε = {at[0]:g}, every pair (points of accuracy)",
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
