"""The paper's claims, and what a study's rows say of each by a stated rule. Imports no torch.

A claim is a set of comparisons, each an inequality between two augmentations in one quantity. It *agrees* where
every comparison goes the claimed way beyond chance, *disagrees* where any goes the other way beyond chance, and
otherwise one *cannot tell*. Chance: the p of `mixlens.analysis.statistics.effect`, corrected by Holm for all
comparisons of all claims. A claim that nothing is better holds within `MARGIN` of equality.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, NamedTuple

from ..analysis.interface import Arm
from ..analysis.presentation.names import label
from ..analysis.statistics.effect import Effect, Measured, effect
from ..analysis.statistics.holm import holm

Verdict = Literal["agrees", "disagrees", "cannot tell", "not run"]
MARGIN = 1.0  # points of accuracy
CAPTION = (
    "A claim is a set of differences. It agrees where each goes the claimed way beyond chance, disagrees where any "
    "goes the other way beyond chance; otherwise one cannot tell. Chance: the intervals of the summary, over seeds and "
    "images, with Holm’s correction for all differences here, at 5%. That nothing is better means: by no more than "
    f"{MARGIN:g} point of accuracy. These are verdicts on this study’s networks and schedules, not on the paper’s."
)


@dataclass(frozen=True)
class Comparison:
    """``first`` is above (+1), below (−1) or not above (0) ``second`` in a quantity."""

    section: str
    quantity: str
    first: str
    second: str
    sign: int


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
    return tuple(Comparison(section, quantity, a, b, 1) for a, b in pairwise(names))


def _over_each(section: str, quantity: str, first: str, others: Sequence[str], sign: int = 1) -> tuple[Comparison, ...]:
    return tuple(Comparison(section, quantity, first, other, sign) for other in others)


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
        "In the worst case over attacks no mixed-sample augmentation is more robust than the baseline",
        "Fig. 1, appendix C",
        tuple(Comparison("robustness", "worst case", name, "baseline", 0) for name in _MSDA),
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
            *(Comparison("calibration", "human_model", name, "baseline", -1) for name in _MSDA),
            *(Comparison("calibration", "human_model", name, "mixup", -1) for name in ("cutmix", "fmix")),
        ),
    ),
    Claim(
        "people-scaled",
        "The same after temperature scaling: no matter of softer outputs (the paper leaves it open)",
        "appendix A",
        tuple(Comparison("calibration", "human_model_scaled", name, "baseline", -1) for name in _MSDA),
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
        _over_each("classifier", "accuracy", "fmix+cutmix", ("fmix", "cutmix"), -1),
    ),
    Claim(
        "decay-power",
        "Accuracy falls for a decay power below 3 and is flat above",
        "appendix H",
        (
            Comparison("classifier", "accuracy", "fmix", "fmix(decay_power=1)", 1),
            Comparison("classifier", "accuracy", "fmix(decay_power=5)", "fmix", 0),
        ),
    ),
    Claim(
        "alpha",
        "MixUp loses accuracy with a large α, masking does not",
        "appendix H",
        (
            Comparison("classifier", "accuracy", "mixup", "mixup(alpha=5)", 1),
            Comparison("classifier", "accuracy", "fmix", "fmix(alpha=5)", 0),
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
    compared = [_differences(claim, by_size if claim.at_every_size else {"": answers}) for claim in CLAIMS]
    corrected = iter(holm([change for differences in compared for _, _, change, _ in differences]))
    judged = []
    for claim, differences in zip(CLAIMS, compared, strict=True):
        effects = [(sign, next(corrected), words) for sign, words, _, _ in differences]
        needed = len(claim.comparisons) * (len(by_size) if claim.at_every_size else 1)
        verdict = _verdict([(sign, change) for sign, change, _ in effects], complete=0 < needed == len(differences))
        figure = differences[0][3] if differences else ""
        judged.append(Judged(claim, verdict, tuple((words, change) for _, change, words in effects), figure))
    return judged


def _differences(claim: Claim, worlds: Mapping[str, Answers]) -> list[tuple[int, str, Effect, str]]:
    """Of each comparison that was measured: the claimed sign, what it is in words, the effect, the figure."""
    differences = []
    for where, answers in worlds.items():
        for comparison in claim.comparisons:
            quantities = answers.quantities.get(comparison.section, ())
            measured = next((one for one in quantities if one.quantity == comparison.quantity), None)
            pair = (Arm(answers.study, name) for name in (comparison.first, comparison.second))
            change = None if measured is None else effect(measured, *pair)
            if measured is not None and change is not None:
                unit = f" ({'points' if measured.unit == '%' else measured.unit})" if measured.unit else ""
                words = f"{label(comparison.first)} − {label(comparison.second)}, {measured.title}{unit}{where}"
                differences.append((comparison.sign, words, change, measured.figure))
    return differences


def _verdict(effects: Sequence[tuple[int, Effect]], *, complete: bool) -> Verdict:
    if not complete:
        return "not run"
    if any(change.direction == (-sign or 1) for sign, change in effects):
        return "disagrees"
    held = [
        change.direction == sign if sign else change.high is not None and change.high <= MARGIN
        for sign, change in effects
    ]
    return "agrees" if all(held) else "cannot tell"
