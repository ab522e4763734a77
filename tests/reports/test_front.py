"""The front page and the verdicts on the paper's claims: cells, sentences and rules by hand."""

import numpy as np
import pytest

from mixlens.analysis.comparison import Effect, Measured
from mixlens.reports.claims import CLAIMS, MARGIN, _verdict, judge
from mixlens.reports.front import front_page


def measured(quantity, values, *, front="", factor=1.0, unit="", spread=0.0):
    """Terms of 3 seeds and 200 images around the augmentations' means."""
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((3, 200))
    noise -= noise.mean(1, keepdims=True)
    terms = {
        (name, seed): value + noise[seed] * spread + seed * 0.002 for name, value in values.items() for seed in range(3)
    }
    return Measured(quantity, quantity.title(), unit, terms, factor, front)


def found(value, p):
    return Effect(value, value - 1, value + 1, p, 3, 100)


def test_a_cell_has_the_mean_its_spread_and_the_change():
    own = measured("accuracy", {"baseline": 0.8, "mixup": 0.9}, factor=100, unit="%", front="Accuracy")
    front = front_page({"classifier": [own]}, ["baseline", "mixup"])
    (column,) = front.columns
    assert front.augmentations == ("baseline", "mixup")
    assert column.question == "Accuracy"
    assert column.quantity == "Accuracy (%)"
    assert [cell.value for cell in column.cells] == ["80.20 ± 0.20", "90.20 ± 0.20"]
    assert column.cells[0].change is None
    assert column.cells[1].change.value == pytest.approx(10)
    assert column.cells[1].change.direction == 1


def test_only_front_quantities_stand_there_and_what_is_missing_is_empty():
    one = measured("rate", {"baseline": 50.0, "mixup": 40.0}, front="Information kept")
    hidden = measured("mse", {"baseline": 1.0})
    two = measured("accuracy", {"baseline": 0.8, "fmix": 0.8}, front="Accuracy")
    front = front_page({"vae": [one, hidden], "classifier": [two]}, ["baseline", "mixup", "fmix"])
    assert [column.question for column in front.columns] == ["Information kept", "Accuracy"]
    assert [cell.value == "" for cell in front.columns[0].cells] == [False, False, True]
    assert front.columns[1].cells[1].change is None


def test_a_sentence_says_what_rises_what_falls_and_what_one_cannot_tell():
    answers = {
        "vae": [measured("rate", {"baseline": 50.0, "mixup": 40.0}, front="Information kept")],
        "robustness": [measured("worst case", {"baseline": 1.0, "mixup": 2.0}, front="Robustness")],
        "gradcam": [measured("sum", {"baseline": 1.0, "mixup": 1.0}, spread=1.0, front="Evidence spread")],
    }
    front = front_page(answers, ["baseline", "mixup"])
    assert front.sentence(0) == ""
    expected = "MixUp: raises robustness; lowers information kept; one cannot tell for evidence spread."
    assert front.sentence(1) == expected


def test_every_claim_that_is_not_measured_is_not_run():
    assert {judged.verdict for judged in judge({})} == {"not run"}
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


def test_claims_are_judged_by_their_differences():
    rate = measured("rate", {"baseline": 50.0, "mixup": 40.0, "cutmix": 45.0})
    verdicts = {judged.claim.name: judged for judged in judge({"vae": [rate]})}
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
        (judged,) = [one for one in judge(accuracies(0.9), sizes) if one.claim.at_every_size]
        return judged

    assert verdict({}).verdict == "not run"
    both = verdict({500: accuracies(0.9), None: accuracies(0.85)})
    assert both.verdict == "agrees"
    assert len(both.effects) == 8
    assert both.effects[0][0] == "FMix + MixUp − MixUp, Accuracy (points), 500 training images"
    assert both.effects[4][0].endswith("all training images")
    assert verdict({500: accuracies(0.9), None: accuracies(0.825)}).verdict == "disagrees"
