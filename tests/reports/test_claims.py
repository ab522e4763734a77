"""The verdicts on the paper's claims: rules by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from terms import measured

from mixlens.analysis.interface import Arm
from mixlens.analysis.statistics.effect import Effect, Measured, effect
from mixlens.reports.claims import CLAIMS, MARGIN, Answers, _verdict, judge


def judged_by(quantities, sizes=None):
    """The verdicts of a study named ``s``."""
    return judge(Answers("s", quantities), {size: Answers("s", own) for size, own in (sizes or {}).items()})


def found(value, half):
    """A difference whose 95% interval is ± half; its variance is all of the images'."""
    width = half / norm.isf(0.025)
    p = max(2 * norm.sf(abs(value) / width), 1e-12)
    return Effect(value, value - half, value + half, p, 3, 100, over_images=width**2)


def test_every_claim_that_is_not_measured_is_not_run():
    assert {judged.verdict for judged in judged_by({})} == {"not run"}
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


def test_claims_are_judged_by_their_differences():
    rate = measured("rate", {"baseline": 50.0, "mixup": 40.0, "cutmix": 45.0})
    verdicts = {judged.claim.name: judged for judged in judged_by({"vae": [rate]})}
    assert verdicts["rate-mixup"].verdict == "agrees"
    assert verdicts["rate-cutmix"].verdict == "disagrees"
    assert verdicts["rate-fmix"].verdict == "not run", "its differences to FMix are missing"
    ((words, effect),) = verdicts["rate-mixup"].effects
    assert words == "Baseline − MixUp, Rate"
    assert effect.value == pytest.approx(10)


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ([("above", found(5, 2)), ("above", found(3, 2))], "agrees"),
        ([("above", found(5, 2)), ("above", found(3, 4))], "cannot tell"),
        ([("above", found(5, 2)), ("above", found(-3, 2))], "disagrees"),
        ([("below", found(-5, 2))], "agrees"),
        ([("below", found(5, 2))], "disagrees"),
        ([("no better", found(-5, 2))], "agrees"),
        ([("no better", found(0.5, 0.3))], "agrees"),  # better, but by less than a point
        ([("no better", found(0.5, 0.6))], "cannot tell"),
        ([("no better", found(1.5, 0.6))], "cannot tell"),
        ([("no better", found(1.5, 0.4))], "disagrees"),
        ([("alike", found(0.5, 0.3))], "agrees"),
        ([("alike", found(-10, 2))], "disagrees"),  # a fall is as little flat as a rise
        ([("alike", found(10, 2))], "disagrees"),
        ([("alike", found(-0.5, 0.6))], "cannot tell"),
        ([("alike", found(0.0, 2))], "cannot tell"),
        ([("above", found(3, 2.8))] * 2, "cannot tell"),  # alone it would agree: two are corrected
        ([("above", found(3, 2.8))], "agrees"),
        ([("no better", Effect(-5, None, None, None, 2, 9))], "cannot tell"),
        ([("no better", Effect(-5, None, None, None, 2, 9)), ("above", found(-5, 2))], "disagrees"),
    ],
)
def test_the_rule(changes, verdict):
    assert _verdict(changes) == verdict


def test_tests_and_intervals_say_the_same():
    for relation, bounds in {"above": (0, 0), "no better": (MARGIN, None), "alike": (MARGIN, -MARGIN)}.items():
        for end in (value for value in bounds if value is not None):
            for inside in (0.01, -0.01):
                value = end + (0.4 if relation == "above" else -0.4 if end > 0 else 0.4)
                half = 0.4 - inside
                assert (_verdict([(relation, found(value, half))]) == "agrees") == (inside > 0), (relation, end, inside)


def test_verdicts_are_wrong_as_seldom_as_they_say():
    """400 worlds of 3 seeds and 60 images, at the border of each relation: 2.5% go over it, within 4 errors."""
    rng = np.random.default_rng(0)
    wrong = dict.fromkeys(("above", "no better", "alike"), 0)
    worlds = 400
    for _ in range(worlds):
        noise = 0.6 * rng.standard_normal((3, 1)) + 3 * rng.standard_normal((1, 60)) + rng.standard_normal((3, 60))
        for relation, border in (("above", 0.0), ("no better", MARGIN), ("alike", -MARGIN)):
            terms = {(Arm("s", "a"), seed): border + noise[seed] for seed in range(3)}
            terms |= {(Arm("s", "b"), seed): np.zeros(60) for seed in range(3)}
            change = effect(Measured("q", "Q", "%", terms), Arm("s", "a"), Arm("s", "b"))
            wrong[relation] += _verdict([(relation, change)]) == "agrees"
    limit = 0.025 + 4 * math.sqrt(0.025 * 0.975 / worlds)
    assert all(count / worlds < limit for count in wrong.values()), wrong
    assert wrong["above"] > 0, "it is a test that can fail"


def test_the_worst_case_is_judged_at_every_epsilon():
    """No better at one ε, much better at another: the claim disagrees, and shows where."""
    values = {"baseline": 0.5, "mixup": 0.5, "cutmix": 0.4, "fmix": 0.5}
    small = replace(measured("worst case, each ε", values, factor=100, unit="%"), title="At ε = 0.01")
    large = measured("worst case, each ε", values | {"mixup": 0.55, "cutmix": 0.1}, factor=100, unit="%")
    (judged,) = [one for one in judged_by({"robustness": [small]}) if one.claim.name == "worst-case"]
    assert judged.verdict == "agrees"
    (judged,) = [one for one in judged_by({"robustness": [small, large]}) if one.claim.name == "worst-case"]
    assert judged.verdict == "disagrees"
    assert [round(change.value) for _, change in judged.effects] == [5, -10, 0]
    assert [words.partition(", ")[2].startswith("At ε") for words, _ in judged.effects] == [False, True, True], (
        "the ε that speaks most against the claim"
    )


def test_a_claim_at_every_size_needs_several_sizes_and_to_hold_at_each():
    def accuracies(best):
        values = {"baseline": 0.8, "mixup": 0.81, "cutmix": 0.82, "fmix": 0.83, "fmix+mixup": best}
        return {"classifier": [measured("accuracy", values, factor=100, unit="%")]}

    def verdict(sizes):
        (judged,) = [one for one in judged_by(accuracies(0.9), sizes) if one.claim.at_every_size]
        return judged

    assert verdict({}).verdict == "not run"
    both = verdict({500: accuracies(0.9), None: accuracies(0.85)})
    assert both.verdict == "agrees"
    assert len(both.effects) == 8
    assert both.effects[0][0] == "FMix + MixUp − MixUp, Accuracy (points), 500 training images"
    assert both.effects[4][0].endswith("all training images")
    assert verdict({500: accuracies(0.9), None: accuracies(0.825)}).verdict == "disagrees"
