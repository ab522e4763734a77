"""From a sweep's bits to numbers: accuracy at every ε, the worst case, the median ε, paired comparisons, warnings.

Everything here reads the int8 array [attack, ε, image] of `mixlens.robustness.sweep`; numpy alone, no torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

from ..analysis.errors import InputError
from ..analysis.interface import Estimate, Interval
from ..analysis.proportion import LEVEL, mcnemar, proportion

BROKEN, NOT_RUN = 1, -1
WORST = "worst case"
SIGNIFICANT = 0.01  # of a warning, over all ε together

Bits = np.ndarray[Any, Any]


def broken_by(bits: Bits, attacks: Sequence[str], attack: str) -> Bits:
    """Which images one attack, or any (``"worst case"``), breaks at each ε: bool (ε, images).

    Raises:
        InputError: no such attack, or one that was not run on every image (``nested-worst``).
    """
    if attack == WORST:
        return (bits == BROKEN).any(0)
    if attack not in attacks:
        raise InputError(f"the sweep has no attack {attack!r}; it has {', '.join(attacks)}.")
    own = bits[list(attacks).index(attack)]
    if (own == NOT_RUN).any():
        raise InputError(f"{attack} was not run on every image; under nested-worst only the worst case is defined.")
    return own == BROKEN


def accuracy(broken: Bits) -> list[Estimate]:
    """The fraction of images held at each ε, with Wilson's interval over images."""
    return [proportion(int((~at).sum()), len(at)) for at in broken]


def smallest_epsilon(broken: Bits, epsilons: Sequence[float]) -> Bits:
    """For each image the smallest ε of the sweep at which it is broken (0: wrong as it is; inf: at none)."""
    grid = np.append(np.asarray(epsilons, float), math.inf)
    first = np.where(broken.any(0), broken.argmax(0), len(epsilons))
    return grid[first]


def median(values: Bits, unit: str) -> Estimate:
    """The median over images (the lower one of two), with the distribution-free interval between order statistics.

    The interval's ranks are those of Binomial(n, ½) at 2.5% on each side, so that it covers at least 95%. It is None
    for fewer than six images, whose whole range covers less, and where it reaches images that nothing broke (inf).
    """
    ordered, n = np.sort(values), len(values)
    rank = int(binom.ppf((1 - LEVEL) / 2, n, 0.5))
    interval = None
    if rank > 0 and math.isfinite(high := float(ordered[n - rank])):
        interval = Interval(float(ordered[rank - 1]), high, LEVEL, "order statistics")
    return Estimate(float(ordered[(n - 1) // 2]), None, n, "none", unit, interval)


def paired(first: Bits, second: Bits) -> tuple[float, float]:
    """Accuracy of the first network minus the second's on the same images, and McNemar's exact p; broken (images,)."""
    only_first, only_second = int((~first & second).sum()), int((first & ~second).sum())
    return (only_first - only_second) / len(first), mcnemar(only_first, only_second)


class Sign(NamedTuple):
    """A sign of masked gradients, and the fraction of the images that shows it."""

    text: str
    size: float


def masking_signs(
    bits: Bits,
    attacks: Sequence[str],
    epsilons: Sequence[float],
    zero_gradient: Bits,
    *,
    gradient_attacks: Sequence[str],
    single_step: Sequence[str],
    noise: Sequence[str],
    classes: int,
) -> list[Sign]:
    """Signs that gradients do not show the way to what breaks the network (Athalye et al. 2018; Carlini et al. 2019).

    A difference between attacks counts where McNemar's exact test on the images rejects it at 1%, Bonferroni-corrected
    over the ε. Finding none proves nothing.

    Args:
        zero_gradient: (images,) 1 where the loss's gradient is exactly zero, −1 where it was not computed.
        gradient_attacks, single_step, noise: which of the attacks are of these kinds.
    """
    signs: list[Sign] = []
    defined = [a for a in attacks if not (bits[list(attacks).index(a)] == NOT_RUN).any()]
    broken = {attack: broken_by(bits, attacks, attack) for attack in defined}
    iterated = [a for a in gradient_attacks if a in broken and a not in single_step]

    def beaten(weak: Sequence[str], strong: Sequence[str], what: str) -> None:
        weaker, stronger = ([broken[a] for a in names if a in broken] for names in (weak, strong))
        if not (weaker and stronger):
            return
        either, best = np.any(weaker, axis=0), np.any(stronger, axis=0)
        for k in np.flatnonzero(np.asarray(epsilons) > 0)[::-1]:
            difference, p = paired(best[k], either[k])
            if difference > 0 and p < SIGNIFICANT / len(epsilons):
                signs.append(Sign(f"{what} at ε = {epsilons[k]:g}", difference))
                return

    beaten(noise, [a for a in gradient_attacks if a in broken], "random noise breaks more images than gradient attacks")
    beaten([a for a in single_step if a in broken], iterated, "one gradient step breaks more images than many steps")
    if (zero_gradient == 1).any():
        fraction = float((zero_gradient == 1).sum() / (zero_gradient != NOT_RUN).sum())
        signs.append(Sign("the loss's gradient is exactly zero on some of the images that were right", fraction))
    if 1.0 in epsilons:
        last = list(epsilons).index(1.0)
        for attack in [*iterated, WORST]:
            held = float((~broken_by(bits, attacks, attack)[last]).mean())
            if held > 0:
                signs.append(Sign(f"{attack}: images are left unbroken at ε = 1, where any image is allowed", held))
        for attack in [a for a in noise if a in broken]:
            found = proportion(int((~broken[attack][last]).sum()), broken[attack].shape[1])
            if found.interval is not None and found.interval.low > 1 / classes:
                signs.append(Sign(f"{attack}: accuracy at ε = 1 is above chance", found.value))
    return signs
