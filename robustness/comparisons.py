"""Tables that compare networks on the same images: with the baseline attack by attack, and every pair. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..analysis.comparison import Measured, baseline_of, difference
from ..analysis.store.record import StudyRecord
from ..analysis.style import Table, label
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

    ``rows`` are the section's, with columns of their own for attack, epsilon and protocol.
    """
    names, attacks = augmentations_of(rows), attacks_of(rows)
    accuracy = rows[rows["quantity"] == "accuracy"]
    reference = "baseline" if "baseline" in names else names[0]  # whose curve chooses the ε
    columns = {attack: _half(accuracy, reference, attack) for attack in attacks}
    networks = _Networks(record, accuracy, attacks)
    made = []
    if reference == "baseline" and len(names) > 1:
        made.append(_to_the_baseline(networks, columns, [name for name in names if name != baseline_of(name)]))
    if columns.get(WORST) and len(names) > 2:
        made.append(_every_pair(networks, columns[WORST], names))
    return made


def measured(record: StudyRecord, rows: pd.DataFrame) -> list[Measured]:
    """What the front page and the claims compare: accuracy under each attack at one ε (see `_half`)."""
    accuracy = rows[rows["quantity"] == "accuracy"]
    names, attacks = augmentations_of(rows), attacks_of(rows)
    networks = _Networks(record, accuracy, attacks)
    found = []
    for attack in attacks:
        at = _half(accuracy, "baseline" if "baseline" in names else names[0], attack)
        if at is not None:
            terms = {key: ~networks.broken(*key, attack, at[0]) for key in networks.runs}
            heading = f"{title(attack)} accuracy at ε = {at[0]:g}"
            front = "Robustness" if attack == WORST else ""
            found.append(Measured(attack, heading, "%", terms, factor=100, front=front, figure="robustness-attacks"))
    return found


class _Networks:
    """The bits of each augmentation's networks, read once."""

    def __init__(self, record: StudyRecord, accuracy: pd.DataFrame, attacks: Sequence[str]) -> None:
        columns = (accuracy["augmentation"], accuracy["seed"], accuracy["run"])
        self.runs = {(str(name), int(seed)): str(run) for name, seed, run in zip(*columns, strict=True)}
        self._epsilons = sorted(set(accuracy["epsilon"]))
        self._attacks = [attack for attack in attacks if attack != WORST]
        self._record = record
        self._bits: dict[str, np.ndarray[Any, Any]] = {}
        # Networks that were brought along share nothing but their place in the list.
        brought = any(task.kind == "classifier-load" for task in record.tasks)
        self.words = (
            f"mean over {'networks, paired by their place in the list,' if brought else 'training seeds'} with its 95% "
            "Student t interval, each by itself (not corrected for their number); with fewer than three one cannot "
            "tell what another training would give. After the semicolon: how many networks McNemar's exact test, on "
            f"these images, finds more or less accurate than their partners at {SIGNIFICANT:.0%}. {how(accuracy)}."
        )

    def compare(self, first: str, second: str, attack: str, epsilon: float) -> str:
        """Accuracy of the first minus the second's, in points, and what the networks one by one say."""
        seeds = [seed for (name, seed) in self.runs if name == first and (second, seed) in self.runs]
        if not seeds:
            return "—"
        found = [paired(*(self.broken(name, seed, attack, epsilon) for name in (first, second))) for seed in seeds]
        up = sum(p < SIGNIFICANT and change > 0 for change, p in found)
        down = sum(p < SIGNIFICANT and change < 0 for change, p in found)
        points = pd.Series([100 * change for change, _ in found])
        return f"{difference(points)}; {up} up, {down} down of {len(seeds)}"

    def broken(self, name: str, seed: int, attack: str, epsilon: float) -> np.ndarray[Any, Any]:
        run = self.runs[name, seed]
        if run not in self._bits:
            self._bits[run] = self._record.run(run).read_arrays("bits")["bits"]
        return broken_by(self._bits[run], self._attacks, attack)[self._epsilons.index(epsilon)]


def _to_the_baseline(
    networks: _Networks, columns: dict[str, tuple[float, float] | None], names: Sequence[str]
) -> Table:
    body = [
        (
            label(name),
            *(
                networks.compare(name, baseline_of(name), attack, at[0]) if at else "—"
                for attack, at in columns.items()
            ),
        )
        for name in names
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


def _every_pair(networks: _Networks, at: tuple[float, float] | None, names: Sequence[str]) -> Table:
    assert at is not None
    body = [
        (label(row), *("" if row == column else networks.compare(row, column, WORST, at[0]) for column in names))
        for row in names
    ]
    return Table(
        "robustness-pairs",
        f"Worst case at ε = {at[0]:g}, every pair (points of accuracy)",
        f"The row's accuracy minus the column's: {networks.words}",
        ("Augmentation", *map(label, names)),
        tuple(body),
    )


def _half(accuracy: pd.DataFrame, reference: str, attack: str) -> tuple[float, float] | None:
    """The ε > 0 at which the reference's accuracy is nearest to half of its first one, and that accuracy."""
    own = accuracy[(accuracy["augmentation"] == reference) & (accuracy["attack"] == attack)]
    curve = own.groupby("epsilon")["value"].mean()
    attacked = curve[curve.index > 0]
    if attacked.empty:
        return None
    epsilon = float((attacked - curve.iloc[0] / 2).abs().idxmin())
    return epsilon, float(attacked[epsilon])


def attacks_of(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows.loc[rows["quantity"] == "accuracy", "attack"]))


def augmentations_of(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(rows["augmentation"]))


def title(attack: str) -> str:
    """The name people know: ``pgd`` → PGD; arguments stay."""
    head, _, rest = attack.partition("(")
    return TITLES.get(head, head) + (f" ({rest}" if rest else "")


def how(rows: pd.DataFrame) -> str:
    """What was attacked, for captions."""
    images = " and ".join(f"{n:,}" for n in sorted(set(rows["n"])))
    protocols = ", ".join(dict.fromkeys(rows["protocol"]))
    return f"{images} test images, protocol {protocols}; images that were wrong as they are count as broken"
