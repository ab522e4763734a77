"""From a sweep's bits to numbers: accuracy at every ε, the worst case, the median ε, paired comparisons, warnings.

Everything here reads the int8 array [attack, ε, image] of `mixlens.robustness.sweep`; numpy alone, no torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

from ..analysis.errors import InputError
from ..analysis.interface import Estimate, Interval
from ..analysis.statistics.level import LEVEL
from ..analysis.statistics.proportion import mcnemar, proportion

HELD, BROKEN, NOT_RUN = 0, 1, -1
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
    """For each image the smallest ε of the sweep at which it is broken (the first if wrong as it is; inf: at none)."""
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
    """A sign of masked gradients."""

    kind: str  # "noise", "single step", "zero gradient", "left over", "noise at 1"
    text: str
    size: float  # fraction of all images that shows it
    params: Mapping[str, Any]  # the attack and the ε, where there are


def masking_signs(
    bits: Bits,
    attacks: Sequence[str],
    epsilons: Sequence[float],
    zero_gradient: Bits,
    *,
    iterated: Sequence[str],
    single_step: Sequence[str],
    noise: Sequence[str],
    whole_range: bool,
    classes: int,
) -> list[Sign]:
    """Signs that gradients do not show the way to what breaks the network (Athalye et al. 2018; Carlini et al. 2019).

    A difference between attacks counts where McNemar's exact test on the images rejects it at 1%, Bonferroni-corrected
    over the ε. Finding none proves nothing.

    Args:
        zero_gradient: (images,) 1 where the loss's gradient is exactly zero, −1 where it was not computed.
        iterated, single_step, noise: which of the attacks take many gradient steps, one, or none.
        whole_range: whether ε = 1 allows every image (L∞, images in [0, 1]).
    """
    signs: list[Sign] = []
    defined = [a for a in attacks if not (bits[list(attacks).index(a)] == NOT_RUN).any()]
    broken = {attack: broken_by(bits, attacks, attack) for attack in defined}
    positive = [k for k, epsilon in enumerate(epsilons) if epsilon > 0]

    def beaten(kind: str, attack: str, rivals: Sequence[str], what: str) -> None:
        """At the largest ε at which the rivals together break more images than the attack, if at any."""
        if attack not in broken or not (stronger := [broken[rival] for rival in rivals if rival in broken]):
            return
        best = np.any(stronger, axis=0)
        for k in reversed(positive):
            difference, p = paired(best[k], broken[attack][k])
            if difference < 0 and p < SIGNIFICANT / len(epsilons):
                text = f"{what} breaks more images than {attack} at ε = {epsilons[k]:g}"
                signs.append(Sign(kind, text, -difference, {"attack": attack, "epsilon": epsilons[k]}))
                return

    for attack in iterated:
        beaten("noise", attack, noise, "random noise")
        beaten("single step", attack, single_step, "a single gradient step")
    if (zero_gradient == 1).any():
        text = "the loss's gradient is exactly zero on images that are classified correctly"
        signs.append(Sign("zero gradient", text, float((zero_gradient == 1).mean()), {}))
    last = next((k for k in positive if epsilons[k] >= 1), None)
    if not whole_range or last is None:
        return signs
    for attack in [*(a for a in iterated if a in broken), WORST]:
        held = float((~broken_by(bits, attacks, attack)[last]).mean())
        if held > 0:
            text = f"{attack} leaves images unbroken at ε = {epsilons[last]:g}, where any image is allowed"
            signs.append(Sign("left over", text, held, {"attack": attack, "epsilon": epsilons[last]}))
    for attack in [a for a in noise if a in broken]:
        held_images = int((~broken[attack][last]).sum())
        found = proportion(held_images, broken[attack].shape[1])
        if found.interval is not None and found.interval.low > 1 / classes:
            text = (
                f"accuracy under {attack} at ε = {epsilons[last]:g} is above chance (weak: clipped noise leaves the "
                "image in its mean)"
            )
            signs.append(Sign("noise at 1", text, found.value, {"attack": attack, "epsilon": epsilons[last]}))
    return signs
