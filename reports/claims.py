"""The paper's claims, and what a study's rows say of each by a stated rule. Imports no torch.

A claim is a set of comparisons of two augmentations in one quantity. Each is tested twice, one-sided: whether it holds
beyond chance, and whether its contrary does. A claim *agrees* where every comparison holds, *disagrees* where the
contrary of any does, and otherwise one *cannot tell*. The contrary of "above" is "below"; "no better" means by no more
than `MARGIN`, "alike" by no more than `MARGIN` either way (two one-sided tests, Schuirmann 1987), and their contraries
are differences beyond it. The p-values are those of `mixlens.analysis.statistics.effect` at half of 1 − LEVEL, so that
tests and intervals say the same, with Holm's correction for the comparisons of the claim.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from ..analysis.interface import Arm
from ..analysis.presentation.names import label
from ..analysis.statistics.effect import Effect, Measured, effect
from ..analysis.statistics.holm import adjusted, holm
from ..analysis.statistics.level import LEVEL

Verdict = Literal["agrees", "disagrees", "cannot tell", "not run"]
Relation = Literal["above", "below", "no better", "alike"]
MARGIN = 1.0  # points of accuracy
CAPTION = (
    "A claim is a set of differences. It agrees where each of them holds beyond chance, disagrees where the contrary "
    "of any does; otherwise one cannot tell. Chance: one-sided tests at 2.5%, over seeds and images, with Holm’s "
    "correction for the differences of the claim. No better means by no more than "
    f"{MARGIN:g} point of accuracy, flat or alike by no more than that either way; shown to be more is the contrary. "
    "Power: about how often a study with this spread and number of seeds would agree if the differences were the "
    "paper’s. Of a claim about every ε the ε at which the first lies furthest above is shown. Arrows are corrected "
    "alike. These are verdicts on this study’s networks and schedules, not on the paper’s."
)


@dataclass(frozen=True)
class Comparison:
    """How ``first`` stands to ``second`` in a quantity, wherever it was measured (at every ε, for one)."""

    section: str
    quantity: str
    first: str
    second: str
    relation: Relation


@dataclass(frozen=True)
class Claim:
    name: str
    text: str
    source: str
    comparisons: tuple[Comparison, ...]
    at_every_size: bool = False  # of the training set, of which there must be several


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and the effect of each comparison, where it was measured."""

    claim: Claim
    verdict: Verdict
    effects: tuple[tuple[str, Effect], ...]  # what is compared, in words
    figure: str = ""  # that draws what was measured


def _above(section: str, quantity: str, *names: str) -> tuple[Comparison, ...]:
    """Each name above the next."""
    return tuple(Comparison(section, quantity, a, b, "above") for a, b in pairwise(names))


def _over_each(
    section: str, quantity: str, first: str, others: Sequence[str], relation: Relation = "above"
) -> tuple[Comparison, ...]:
    return tuple(Comparison(section, quantity, first, other, relation) for other in others)


_PLAIN = ("baseline", "cutmix", "fmix")
_MSDA = ("mixup", "cutmix", "fmix")
CLAIMS = (
    Claim("rate-mixup", "I(Z_A;X) falls with MixUp", "section 3, Table 1", _above("vae", "rate", "baseline", "mixup")),
    Claim(
        "rate-cutmix", "I(Z_A;X) rises with CutMix", "section 3, Table 1", _above("vae", "rate", "cutmix", "baseline")
    ),
    Claim(
        "rate-fmix", "I(Z_A;X) rises most with FMix", "section 4", _above("vae", "rate", "fmix", "cutmix", "baseline")
    ),
    Claim(
        "rate-tightest",
        "The same of a tighter bound (ours): falls with MixUp, rises with CutMix, rises most with FMix",
        "sections 3 and 4",
        _above("vae", "rate_mixture", "fmix", "cutmix", "baseline", "mixup"),
    ),
    Claim(
        "rate-reconstruction",
        "The same on reconstructions: I(Z_A;X̂) falls with MixUp, rises with CutMix, rises most with FMix",
        "sections 3 and 4",
        _above("vae", "rate_reconstruction", "fmix", "cutmix", "baseline", "mixup"),
    ),
    Claim(
        "mse-mixup",
        "Reconstruction error is worst for MixUp",
        "Table 1",
        _over_each("vae", "mse", "mixup", _PLAIN),
    ),
    Claim(
        "noise-mixup",
        "MixUp is most robust to uniform noise",
        "Fig. 1",
        _over_each("robustness", "uniform-noise", "mixup", _PLAIN),
    ),
    Claim(
        "deepfool-mixup",
        "MixUp is most robust to DeepFool",
        "Fig. 1",
        _over_each("robustness", "deepfool", "mixup", _PLAIN),
    ),
    Claim(
        "worst-case",
        "In the worst case over attacks no mixed-sample augmentation is more robust than the baseline, at any ε",
        "Fig. 1, appendix C",
        tuple(Comparison("robustness", "worst case, each ε", name, "baseline", "no better") for name in _MSDA),
    ),
    Claim(
        "heatmaps",
        "Sums of heatmaps: MixUp above the baseline, CutMix below",
        "section 3",
        _above("gradcam", "heatmap_sum", "mixup", "baseline", "cutmix"),
    ),
    Claim(
        "people",
        "Every mixed-sample augmentation lies closer to people’s labels than the baseline, masking closest",
        "appendix A, Table 6",
        (
            *(Comparison("calibration", "human_model", name, "baseline", "below") for name in _MSDA),
            *(Comparison("calibration", "human_model", name, "mixup", "below") for name in ("cutmix", "fmix")),
        ),
    ),
    Claim(
        "people-scaled",
        "The same after temperature scaling: no matter of softer outputs (the paper leaves it open)",
        "appendix A",
        tuple(Comparison("calibration", "human_model_scaled", name, "baseline", "below") for name in _MSDA),
    ),
    Claim(
        "accuracy",
        "Test accuracy: FMix, CutMix, MixUp, baseline, in that order",
        "Table 2",
        _above("classifier", "accuracy", "fmix", "cutmix", "mixup", "baseline"),
    ),
    Claim(
        "hybrid",
        "FMix + MixUp is best",
        "section 5",
        _over_each("classifier", "accuracy", "fmix+mixup", (*_MSDA, "baseline")),
    ),
    Claim(
        "hybrid-sizes",
        "FMix + MixUp leads at every size of the training set",
        "section 5, Fig. 3",
        _over_each("classifier", "accuracy", "fmix+mixup", (*_MSDA, "baseline")),
        at_every_size=True,
    ),
    Claim(
        "hybrid-masks",
        "FMix + CutMix lies below either",
        "section 5",
        _over_each("classifier", "accuracy", "fmix+cutmix", ("fmix", "cutmix"), "below"),
    ),
    Claim(
        "decay-power",
        "Accuracy falls for a decay power below 3 and is flat above",
        "appendix H",
        (
            Comparison("classifier", "accuracy", "fmix", "fmix(decay_power=1)", "above"),
            Comparison("classifier", "accuracy", "fmix(decay_power=5)", "fmix", "alike"),
        ),
    ),
    Claim(
        "alpha",
        "MixUp loses accuracy with a large α, masking does not",
        "appendix H",
        (
            Comparison("classifier", "accuracy", "mixup", "mixup(alpha=5)", "above"),
            Comparison("classifier", "accuracy", "fmix", "fmix(alpha=5)", "no better"),
        ),
    ),
)


class Answers(NamedTuple):
    """What a study measured: its name, of which its augmentations are the arms, and each section's quantities."""

    study: str
    quantities: Mapping[str, Sequence[Measured]]


def judge(answers: Answers, sizes: Mapping[int | None, Answers] | None = None) -> list[Judged]:
    """A verdict on every claim from what each section measured.

    Args:
        sizes: the same for each size of the training set (None: all of it), where there are several.
    """
    by_size = {
        f", {'all' if n is None else format(n, ',')} training images": known for n, known in (sizes or {}).items()
    }
    judged = []
    for claim in CLAIMS:
        worlds = by_size if claim.at_every_size else {"": answers}
        differences = [found for where, known in worlds.items() for found in _differences(claim, where, known)]
        changes = [(one.relation, one.change) for found in differences for one in found]
        verdict = _verdict(changes) if worlds and all(differences) else "not run"
        corrected = iter(holm([change for _, change in changes]))
        arrowed = [[one._replace(change=next(corrected)) for one in found] for found in differences if found]
        shown = [max(found, key=lambda one: one.change.value) for found in arrowed]  # of each ε the furthest above
        evidence = tuple((one.words, one.change) for one in shown)
        judged.append(Judged(claim, verdict, evidence, shown[0].figure if shown else ""))
    return judged


class _Difference(NamedTuple):
    relation: Relation
    words: str
    change: Effect
    figure: str


def _differences(claim: Claim, where: str, answers: Answers) -> list[list[_Difference]]:
    """Of each comparison the differences that were measured: none, one, or one for each ε."""
    differences = []
    for comparison in claim.comparisons:
        found = []
        for measured in answers.quantities.get(comparison.section, ()):
            pair = (Arm(answers.study, name) for name in (comparison.first, comparison.second))
            if measured.quantity == comparison.quantity and (change := effect(measured, *pair)) is not None:
                unit = f" ({'points' if measured.unit == '%' else measured.unit})" if measured.unit else ""
                words = f"{label(comparison.first)} − {label(comparison.second)}, {measured.title}{unit}{where}"
                found.append(_Difference(comparison.relation, words, change, measured.figure))
        differences.append(found)
    return differences


def _verdict(changes: Sequence[tuple[Relation, Effect]]) -> Verdict:
    chances = [_chances(relation, change) for relation, change in changes]
    known = [chance for chance in chances if chance is not None]
    holds, contrary = (adjusted([chance[side] for chance in known]) for side in (0, 1))
    if any(p < (1 - LEVEL) / 2 for p in contrary):
        return "disagrees"
    return "agrees" if len(known) == len(chances) and all(p < (1 - LEVEL) / 2 for p in holds) else "cannot tell"


def _chances(relation: Relation, change: Effect) -> tuple[float, float] | None:
    """The p of what is claimed and of its contrary; None with too few seeds."""
    above = change.chance_of(0.0)
    over, under = change.chance_of(MARGIN), change.chance_of(-MARGIN)
    if above is None or over is None or under is None:
        return None
    return {
        "above": (above, 1 - above),
        "below": (1 - above, above),
        "no better": (1 - over, over),
        "alike": (max(1 - over, under), min(1.0, 2 * min(over, 1 - under))),
    }[relation]
