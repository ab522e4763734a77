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

from ..analysis.interface import BASELINE, Arm
from ..analysis.presentation.names import label
from ..analysis.presentation.numbers import chance, extent, signed
from ..analysis.statistics.effect import Effect, Measured, effect
from ..analysis.statistics.family import Family
from ..analysis.statistics.holm import adjusted
from ..analysis.statistics.level import LEVEL
from . import paper

Verdict = Literal["agrees", "disagrees", "cannot tell", "not run"]
Relation = Literal["above", "below", "no better", "alike"]
MARGIN = 1.0  # points of accuracy
SIGNIFICANT = (1 - LEVEL) / 2  # of each one-sided test
CAPTION = (
    "A claim is a set of differences. It agrees where each of them holds beyond chance, disagrees where the contrary "
    "of any does (its p is said to be against it); otherwise one cannot tell. The p beside each is the claim’s own: "
    "one-sided, over seeds and images, with Holm’s correction for the differences of the claim; beyond chance is "
    f"below {SIGNIFICANT:g}. Differences and intervals are those of the rest of the report. No better means by no "
    f"more than {MARGIN:g} point of accuracy, flat or alike by no more than that either way; shown to be more is the "
    "contrary. Power, where one cannot tell: about how often a study with this spread and number of seeds would "
    "agree if the differences were the paper’s. Of a claim about every ε the ε at which the first lies furthest "
    "above is shown. These are verdicts on this study’s networks and schedules, not on the paper’s. The paper: "
    f"{paper.CITATION}."
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
    setup: paper.Setup = paper.CIFAR10  # of what it was claimed


class Evidence(NamedTuple):
    """One difference of a claim, as the rest of the report shows it: less the baseline, if that is one of the two."""

    words: str  # what is compared, in which quantity
    change: Effect
    p: float | None  # of what is claimed, one-sided and corrected within the claim
    contrary: float | None
    printed: str = ""  # the paper's difference

    @property
    def line(self) -> str:
        """``MixUp − Baseline, Rate (nats): −6.4 [−7.4, −5.3]; p = .004; the paper’s −7.67``."""
        said = [f"{self.words}: {extent(self.change)}"]
        if self.p is None or self.contrary is None:
            said.append("images alone" if self.change.low is not None else "cannot tell")
        else:
            said.append(chance(self.p) if self.contrary >= SIGNIFICANT else f"against it {chance(self.contrary)}")
        return "; ".join([*said, *([f"the paper’s {self.printed}"] if self.printed else [])])


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict and each of its differences, where it was measured."""

    claim: Claim
    verdict: Verdict
    evidence: tuple[Evidence, ...]
    study: str  # whose networks were measured
    figure: str = ""  # that draws what was measured
    note: str = ""  # where the front page, which corrects for more differences, has no arrow for what decided


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
        _over_each("robustness", "uniform-noise, over ε", "mixup", _PLAIN),
    ),
    Claim(
        "deepfool-mixup",
        "MixUp is most robust to DeepFool",
        "Fig. 1",
        _over_each("robustness", "deepfool, over ε", "mixup", _PLAIN),
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


_NO_BETTER = tuple(Comparison("classifier", "accuracy", name, "baseline", "no better") for name in ("mixup", "cutmix"))


def _leads(*leaders: str) -> tuple[Comparison, ...]:
    """Each leader above every other of the paper's four."""
    others = [name for name in ("fmix", "cutmix", "mixup", "baseline") if name not in leaders]
    return tuple(one for leader in leaders for one in _over_each("classifier", "accuracy", leader, others))


# Table 2 beside CIFAR-10 with PreAct-ResNet18: what it prints in bold of its own trainings. Of CIFAR-100 with
# WideResNet-28-10 that is another paper's number.
_LEADERS = {
    ("cifar10", "wide-resnet"): ("mixup", "cutmix"),
    ("cifar10", "densenet-bc"): ("fmix",),
    ("cifar10", "pyramidnet"): ("fmix",),
    ("cifar100", "preact-resnet18"): ("fmix",),
    ("cifar100", "densenet-bc"): ("fmix",),
    ("fashion_mnist", "preact-resnet18"): ("fmix",),
    ("fashion_mnist", "wide-resnet"): ("fmix",),
    ("fashion_mnist", "densenet-bc"): ("fmix", "mixup"),
    ("tiny_imagenet", "preact-resnet18"): ("cutmix",),
}
_IMAGENET, _BENGALI = (
    paper.Setup("imagenet", "torchvision:resnet101"),
    paper.Setup("bengali", "timm:seresnext50_32x4d"),
)
_SEQUENCES = ("text-cnn", "text-lstm")
OTHER_CLAIMS = (
    *(
        Claim(
            "accuracy",
            f"Test accuracy: {' and '.join(map(label, leaders))} above all others",
            "Table 2",
            _leads(*leaders),
            setup=paper.Setup(*setup),
        )
        for setup, leaders in _LEADERS.items()
    ),
    Claim(
        "accuracy",
        "Test accuracy: FMix above the baseline, MixUp and CutMix no better than it",
        "section 5, Table 3",
        (*_above("classifier", "accuracy", "fmix", "baseline"), *_NO_BETTER),
        setup=_IMAGENET,
    ),
    Claim(
        "adversarial",
        "ImageNet-a: every mixed-sample augmentation above the baseline, MixUp most",
        "section 5, Table 3",
        (
            *(Comparison("classifier", "other_accuracy:imagenet-a", name, "baseline", "above") for name in _MSDA),
            *_over_each("classifier", "other_accuracy:imagenet-a", "mixup", ("fmix", "cutmix")),
        ),
        setup=_IMAGENET,
    ),
    Claim(
        "graphemes",
        "Whole graphemes: FMix above CutMix, CutMix above MixUp and the baseline",
        "section 5, Table 4",
        (
            *_above("classifier", "accuracy", "fmix", "cutmix"),
            *_over_each("classifier", "accuracy", "cutmix", ("mixup", "baseline")),
        ),
        setup=_BENGALI,
    ),
    Claim(
        "grapheme-heads",
        "Root and vowel: FMix above CutMix",
        "section 5, Table 4",
        tuple(Comparison("classifier", f"accuracy:{head}", "fmix", "cutmix", "above") for head in ("root", "vowel")),
        setup=_BENGALI,
    ),
    *(
        Claim(
            "accuracy",
            f"Test accuracy of the {head}: FMix above CutMix",
            "section 5, Table 4",
            _above("classifier", "accuracy", "fmix", "cutmix"),
            setup=_BENGALI._replace(head=head),
        )
        for head in ("root", "vowel")
    ),
    *(
        Claim(
            "toxic",
            "Toxic comments, ROC-AUC: FMix above MixUp, MixUp above the baseline",
            "section 5, Table 5",
            _above("classifier", "roc_auc", "fmix", "mixup", "baseline"),
            setup=paper.Setup("toxic", model),
        )
        for model in _SEQUENCES
    ),
    Claim(
        "toxic",
        "Toxic comments, ROC-AUC: FMix above the baseline",
        "section 5, Table 5",
        _above("classifier", "roc_auc", "fmix(alpha=0.1)", "baseline"),
        setup=paper.Setup("toxic", "bert"),
    ),
    *(
        Claim(
            "accuracy",
            "Test accuracy: MixUp above FMix and the baseline, each at α = 0.2",
            "section 5, Table 5",
            _over_each("classifier", "accuracy", "mixup(alpha=0.2)", ("fmix(alpha=0.2)", "baseline")),
            setup=paper.Setup("imdb", model),
        )
        for model in _SEQUENCES
    ),
    *(
        Claim(
            "accuracy",
            "Test accuracy: FMix and MixUp above the baseline",
            "Table 5",
            tuple(Comparison("classifier", "accuracy", name, "baseline", "above") for name in ("fmix", "mixup")),
            setup=paper.Setup(data, model),
        )
        for data in ("yelp_polarity", "yelp_full")
        for model in _SEQUENCES
    ),
    Claim(
        "shapes",
        "Median accuracy of the last epochs: FMix above the baseline",
        "appendix D, Table 7",
        _above("classifier", "accuracy_median", "fmix", "baseline"),
        setup=paper.Setup("modelnet10", "pointnet"),
    ),
    Claim(
        "accuracy",
        # The text says it of CutMix at α = 1 too, where the table has it equal to MixUp.
        "Test accuracy: FMix above MixUp at α = 1 and 0.2, CutMix at 0.2",
        "appendix D, Table 7",
        tuple(
            Comparison("classifier", "accuracy", f"{name}{alpha}", f"mixup{alpha}", "above")
            for name, alpha in (("fmix", ""), ("fmix", "(alpha=0.2)"), ("cutmix", "(alpha=0.2)"))
        ),
        setup=paper.Setup("speech_commands"),
    ),
)


def claims_of(setup: paper.Setup) -> tuple[Claim, ...]:
    """What the paper claims of such networks on such data; of CIFAR-10 all of it, whatever the network.

    Of CIFAR-10 with a network that has a line of its own in Table 2, that line's order stands for the first's.
    """
    own = tuple(claim for claim in OTHER_CLAIMS if claim.setup == setup)
    if setup.data != paper.CIFAR10.data:
        return own
    named = {claim.name for claim in own}
    return (*(claim for claim in CLAIMS if claim.name not in named), *own)


class Answers(NamedTuple):
    """What a study measured: its name, of which its augmentations are the arms, and each section's quantities."""

    study: str
    quantities: Mapping[str, Sequence[Measured]]


def by_verdict(judged: Sequence[Judged]) -> dict[Verdict, list[Judged]]:
    """The claims that were run: what agrees, what disagrees, what one cannot tell."""
    verdicts: tuple[Verdict, ...] = ("agrees", "disagrees", "cannot tell")
    groups = {verdict: [one for one in judged if one.verdict == verdict] for verdict in verdicts}
    return {verdict: group for verdict, group in groups.items() if group}


def judge(
    answers: Answers,
    sizes: Mapping[int | None, Answers] | None = None,
    family: Family | None = None,
    setup: paper.Setup = paper.CIFAR10,
) -> list[Judged]:
    """A verdict on every claim about such networks and data from what each section measured.

    Args:
        sizes: the same for each size of the training set (None: all of it), where there are several.
        family: the differences of the report, which are judged more strictly.
    """
    by_size = {
        f", {'all' if n is None else format(n, ',')} training images": known for n, known in (sizes or {}).items()
    }
    judged = []
    for claim in claims_of(setup):
        worlds = by_size if claim.at_every_size else {"": answers}
        differences = [found for where, known in worlds.items() for found in _differences(claim, where, known)]
        tests = _tests([(one.comparison.relation, one.change) for found in differences for one in found])
        verdict = _verdict(tests) if worlds and all(differences) else "not run"
        tested = iter(tests)
        # Of each ε the furthest above.
        shown = [
            max(((one, next(tested)) for one in found), key=lambda pair: pair[0].change.value)
            for found in differences
            if found
        ]
        evidence = tuple(_evidence(one, test, claim.setup) for one, test in shown)
        figure = shown[0][0].figure if shown else ""
        decided = [one for one, test in shown if test and _decides(test, verdict)]
        note = "" if claim.at_every_size else _note(decided, answers.study, family or Family())
        judged.append(Judged(claim, verdict, evidence, answers.study, figure, note))
    return judged


class _Difference(NamedTuple):
    comparison: Comparison
    where: str  # in which quantity, and at which size
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
                found.append(_Difference(comparison, f"{measured.title}{unit}{where}", change, measured.figure))
        differences.append(found)
    return differences


def _evidence(one: _Difference, test: _Test | None, setup: paper.Setup) -> Evidence:
    comparison, change = one.comparison, one.change
    first, second = comparison.first, comparison.second
    if first == BASELINE:
        first, second, change = second, first, change.turned
    printed = paper.difference(comparison.section, comparison.quantity, first, second, setup)
    shown = signed(printed.value, printed.decimals) if printed else ""
    words = f"{label(first)} − {label(second)}, {one.where}"
    return Evidence(words, change, test and test.holds, test and test.contrary, shown)


def _decides(test: _Test, verdict: Verdict) -> bool:
    return verdict == "agrees" or (verdict == "disagrees" and test.contrary < SIGNIFICANT)


def _note(decided: Sequence[_Difference], study: str, family: Family) -> str:
    """Which of the differences that decided a claim stand without an arrow elsewhere."""
    unsure = {}
    for one in (each.comparison for each in decided):
        arm = Arm(study, one.second if one.first == BASELINE else one.first)
        change = family.of(one.section, one.quantity, arm) if BASELINE in (one.first, one.second) else None
        if change is not None and change.adjusted is not None and not change.direction:
            unsure[label(arm.augmentation)] = chance(change.adjusted)
    if not unsure:
        return ""
    names = " and ".join(f"{name} ({p})" for name, p in unsure.items())
    return (
        f"The claim’s own test decided it. Corrected for all {family.size} differences of the summary there is no "
        f"arrow for {names}."
    )


class _Test(NamedTuple):
    """p of what is claimed of one difference and of its contrary, each corrected for those of the claim."""

    holds: float
    contrary: float


def _tests(changes: Sequence[tuple[Relation, Effect]]) -> list[_Test | None]:
    """None with too few seeds."""
    chances = [_chances(relation, change) for relation, change in changes]
    holds, contrary = (iter(adjusted([chance[side] for chance in chances if chance is not None])) for side in (0, 1))
    return [None if chance is None else _Test(next(holds), next(contrary)) for chance in chances]


def _verdict(tests: Sequence[_Test | None]) -> Verdict:
    if any(test is not None and test.contrary < SIGNIFICANT for test in tests):
        return "disagrees"
    return "agrees" if all(test is not None and test.holds < SIGNIFICANT for test in tests) else "cannot tell"


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
