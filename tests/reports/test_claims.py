"""The verdicts on the paper's claims: rules by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm
from terms import measured

from mixlens.analysis.interface import Arm
from mixlens.analysis.presentation.numbers import chance
from mixlens.analysis.statistics.effect import Effect, Measured, effect
from mixlens.analysis.statistics.family import family_of
from mixlens.reports.claims import CLAIMS, MARGIN, Answers, _tests, _verdict, by_verdict, judge


def judged_by(quantities, sizes=None):
    """The verdicts of a study named ``s``."""
    return judge(Answers("s", quantities), {size: Answers("s", own) for size, own in (sizes or {}).items()})


def verdict_on(changes):
    return _verdict(_tests(changes))


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
    (evidence,) = verdicts["rate-mixup"].evidence
    assert evidence.words == "MixUp − Baseline, Rate", "as the rest of the report has it"
    assert evidence.change.value == pytest.approx(-10)
    assert evidence.line.endswith("p < .001; the paper’s −7.67")


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
    assert verdict_on(changes) == verdict


def test_tests_and_intervals_say_the_same():
    for relation, bounds in {"above": (0, 0), "no better": (MARGIN, None), "alike": (MARGIN, -MARGIN)}.items():
        for end in (value for value in bounds if value is not None):
            for inside in (0.01, -0.01):
                value = end + (0.4 if relation == "above" else -0.4 if end > 0 else 0.4)
                half = 0.4 - inside
                assert (verdict_on([(relation, found(value, half))]) == "agrees") == (inside > 0), (
                    relation,
                    end,
                    inside,
                )


@pytest.mark.slow
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
            wrong[relation] += verdict_on([(relation, change)]) == "agrees"
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
    assert [round(one.change.value) for one in judged.evidence] == [5, -10, 0]
    assert [one.words.partition(", ")[2].startswith("At ε") for one in judged.evidence] == [False, True, True], (
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
    assert len(both.evidence) == 8
    assert both.evidence[0].words == "FMix + MixUp − MixUp, Accuracy (points), 500 training images"
    assert both.evidence[4].words.endswith("all training images")
    assert verdict({500: accuracies(0.9), None: accuracies(0.825)}).verdict == "disagrees"


def test_robustness_is_judged_over_the_whole_curve():
    """MixUp above at one ε alone says nothing; above over the curve it does."""
    values = {"baseline": 0.5, "mixup": 0.6, "cutmix": 0.5, "fmix": 0.5}
    at = measured("deepfool", values, factor=100, unit="%")
    over = measured("deepfool, over ε", values, factor=100, unit="%")
    verdicts = [{one.claim.name: one.verdict for one in judged_by({"robustness": [one]})} for one in (at, over)]
    assert [verdict["deepfool-mixup"] for verdict in verdicts] == ["not run", "agrees"]


def test_what_decides_a_claim_has_its_p_and_what_speaks_against_it_says_so():
    rate = measured("rate", {"baseline": 50.0, "cutmix": 40.0, "fmix": 60.0})
    judged = {one.claim.name: one for one in judged_by({"vae": [rate]})}
    (against,) = judged["rate-cutmix"].evidence
    assert "; against it p < .001" in against.line
    first, second = judged["rate-fmix"].evidence
    assert ("against it" in first.line, "against it" in second.line) == (False, True)
    assert first.p == pytest.approx(2 * effect(rate, Arm("s", "fmix"), Arm("s", "cutmix")).p / 2), "Holm, of two"


def test_of_one_seed_there_is_an_interval_and_no_p():
    rate = measured("rate", {"baseline": 50.0, "mixup": 40.0}, spread=1.0)
    one = replace(rate, terms={key: terms for key, terms in rate.terms.items() if key[1] == 0})
    (judged,) = [each for each in judged_by({"vae": [one]}) if each.claim.name == "rate-mixup"]
    assert judged.verdict == "cannot tell"
    assert judged.evidence[0].line.endswith("]; images alone; the paper’s −7.67")


def test_a_claim_that_agrees_without_an_arrow_on_the_front_page_says_why():
    """p is 0.04, one-sided 0.02: enough for the claim alone, not for one of two differences."""
    seeds = [-0.8, 0.0, 0.8]
    terms = {(Arm("s", "mixup"), seed): np.full(200, -2.2 + moved) for seed, moved in enumerate(seeds)}
    terms |= {(Arm("s", "baseline"), seed): np.zeros(200) for seed in range(3)}
    rate = Measured("rate", "Rate", "nats", terms, front="Bound")
    other = measured("accuracy", {"baseline": 0.0, "mixup": 0.0}, front="Accuracy")
    quantities = {"vae": [rate], "classifier": [other]}
    family = family_of(quantities)
    own = family.of("vae", "rate", Arm("s", "mixup"))
    assert own.p < 0.05 < own.adjusted
    (judged,) = [one for one in judge(Answers("s", quantities), {}, family) if one.claim.name == "rate-mixup"]
    assert judged.verdict == "agrees"
    why = f"all 2 differences of the summary there is no arrow for MixUp ({chance(own.adjusted)})."
    assert judged.note.endswith(why)
    alone = {"vae": [rate]}
    assert not any(one.note for one in judge(Answers("s", alone), {}, family_of(alone))), "its arrow is there"


def test_verdicts_stand_together():
    rate = measured("rate", {"baseline": 50.0, "mixup": 40.0, "cutmix": 45.0})
    groups = by_verdict(judged_by({"vae": [rate]}))
    assert {verdict: [one.claim.name for one in group] for verdict, group in groups.items()} == {
        "agrees": ["rate-mixup"],
        "disagrees": ["rate-cutmix"],
    }
