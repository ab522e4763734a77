"""How many seeds a claim needs, by the paper's own numbers, and how likely a study was to agree with it. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..analysis.statistics.effect import Effect
from ..analysis.statistics.level import ENOUGH_SEEDS, LEVEL
from ..analysis.statistics.power import power
from . import paper
from .claims import Claim, Comparison, Judged, claims_of

WANTED = 0.8
MOST_SEEDS = 50


class Needed(NamedTuple):
    claim: Claim
    seeds: int | None  # None: more than `MOST_SEEDS`


def seeds_needed(
    sections: Sequence[str], augmentations: Sequence[str], setup: paper.Setup = paper.CIFAR10
) -> list[Needed]:
    """Of each claim about these, for which the paper prints numbers: the seeds with which it would agree at 80% power.

    As if its printed means were true and its trainings, whose standard deviations it prints, independent; the level of
    each comparison is corrected for their number (Bonferroni). What images add to the error is not in it.
    """
    found = []
    for claim in claims_of(setup):
        printed = [_printed(comparison, claim.setup) for comparison in claim.comparisons]
        told = all({one.first, one.second} <= {*augmentations} and one.section in sections for one in claim.comparisons)
        if claim.at_every_size or not told or any(difference is None for difference in printed):
            continue
        level = (1 - LEVEL) / 2 / len(printed)
        seeds = range(ENOUGH_SEEDS, MOST_SEEDS + 1)
        missed = {n: sum(1 - power(*one, n, level) for one in printed if one is not None) for n in seeds}
        found.append(Needed(claim, next((n for n in seeds if missed[n] <= 1 - WANTED), None)))
    return found


def chance_to_agree(claim: Claim, effects: Sequence[Effect]) -> float | None:
    """About how often a study of this spread would agree with the claim if the differences were the paper's.

    At least that often: the misses of the comparisons are added up, each at its corrected level. None where the paper
    prints no numbers, or there are too few seeds.
    """
    printed = [_printed(comparison, claim.setup) for comparison in claim.comparisons]
    if len(printed) != len(effects) or any(one is None for one in printed) or any(one.p is None for one in effects):
        return None
    missed = 0.0
    for one, change in zip(printed, effects, strict=True):
        assert one is not None
        deviation = math.sqrt((change.over_seeds + change.over_images) * change.seeds)
        missed += 1 - power(one[0], deviation, change.seeds, (1 - LEVEL) / 2 / len(effects))
    return max(0.0, 1 - missed)


def in_words(judged: Judged) -> str:
    """Where one cannot tell: how likely it was to agree. Empty where that is not known."""
    if judged.verdict != "cannot tell":
        return ""
    chance = chance_to_agree(judged.claim, [one.change for one in judged.evidence])
    return "" if chance is None else f"power {chance:.0%}"


def _printed(comparison: Comparison, setup: paper.Setup) -> tuple[float, float] | None:
    """The difference in the claimed direction, and its deviation between two independent trainings, where printed."""
    found = paper.difference(comparison.section, comparison.quantity, comparison.first, comparison.second, setup)
    if found is None or math.isnan(found.sd) or comparison.relation not in ("above", "below"):
        return None
    return (found.value if comparison.relation == "above" else -found.value), found.sd
