"""The verdicts on the paper's claims: rules by hand."""

import pytest
from terms import measured

from mixlens.analysis.statistics.effect import Effect
from mixlens.reports.claims import CLAIMS, MARGIN, Answers, _verdict, judge


def judged_by(quantities, sizes=None):
    """The verdicts of a study named ``s``."""
    return judge(Answers("s", quantities), {size: Answers("s", own) for size, own in (sizes or {}).items()})


def found(value, p):
    return Effect(value, value - 1, value + 1, p, 3, 100)


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
    ("effects", "verdict"),
    [
        ([(1, found(5, 0.01)), (1, found(3, 0.01))], "agrees"),
        ([(1, found(5, 0.01)), (1, found(3, 0.2))], "cannot tell"),
        ([(1, found(5, 0.01)), (1, found(-3, 0.01))], "disagrees"),
        ([(-1, found(-5, 0.01))], "agrees"),
        ([(-1, found(5, 0.01))], "disagrees"),
        ([(0, found(-5, 0.01))], "agrees"),
        ([(0, found(0.0 + MARGIN - 1, 0.9))], "agrees"),
        ([(0, found(0.1 + MARGIN - 1, 0.9))], "cannot tell"),
        ([(0, found(5, 0.01))], "disagrees"),
        ([(0, Effect(-5, None, None, None, 2, 9))], "cannot tell"),
    ],
)
def test_the_rule(effects, verdict):
    assert _verdict(effects, complete=True) == verdict
    assert _verdict(effects, complete=False) == "not run"


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
