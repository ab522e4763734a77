"""Seeds that claims need, and how likely a study was to agree with them."""

import math
from dataclasses import replace

import pytest

from mixlens.analysis.statistics.effect import Effect
from mixlens.analysis.statistics.power import power
from mixlens.reports.claims import CLAIMS, Evidence, Judged
from mixlens.reports.power import chance_to_agree, in_words, seeds_needed

ALL = ("baseline", "mixup", "cutmix", "fmix", "fmix+mixup", "fmix+cutmix")
SECTIONS = ("vae", "classifier", "gradcam", "calibration", "robustness")


def claim(name):
    return next(each for each in CLAIMS if each.name == name)


def test_the_seeds_of_a_claim_with_one_comparison():
    """MixUp's rate: 78.05 ± 0.53 and 70.38 ± 0.90."""
    found = {needed.claim.name: needed.seeds for needed in seeds_needed(SECTIONS, ALL)}
    deviation = math.hypot(0.53, 0.90)
    seeds = found["rate-mixup"]
    assert power(78.05 - 70.38, deviation, seeds, 0.025) >= 0.8
    assert seeds == 3 or power(78.05 - 70.38, deviation, seeds - 1, 0.025) < 0.8


def test_only_claims_about_the_study_with_printed_numbers():
    assert [needed.claim.name for needed in seeds_needed(("vae",), ("baseline", "mixup"))] == ["rate-mixup"]
    assert seeds_needed(("classifier",), ("baseline", "mixup")) == []
    names = {needed.claim.name for needed in seeds_needed(SECTIONS, ALL)}
    assert not names & {"worst-case", "noise-mixup", "decay-power", "hybrid-sizes"}, (
        "the paper prints no numbers of these"
    )


def test_a_claim_that_the_papers_own_numbers_hardly_show():
    """FMix 83.67 ± 0.89 above CutMix 83.17 ± 0.72."""
    assert next(each for each in seeds_needed(SECTIONS, ALL) if each.claim.name == "rate-fmix").seeds is None


def of(spread, seeds=3, p=0.5):
    return Effect(1.0, 0.0, 2.0, p, seeds, 100, over_seeds=spread**2 / seeds)


def test_the_chance_to_agree_falls_with_the_spread():
    chances = [chance_to_agree(claim("rate-mixup"), [of(spread)]) for spread in (0.1, 1.0, 3.0, 30.0)]
    assert chances == sorted(chances, reverse=True)
    assert chances[0] > 0.999
    assert chances[2] == pytest.approx(power(78.05 - 70.38, 3.0, 3, 0.025))
    assert chance_to_agree(claim("rate-fmix"), [of(30.0)] * 2) == pytest.approx(0, abs=0.1)


def test_what_is_not_known_is_not_said():
    assert chance_to_agree(claim("rate-mixup"), [of(1.0, seeds=2, p=None)]) is None
    assert chance_to_agree(claim("worst-case"), [of(1.0)] * 3) is None
    judged = Judged(claim("rate-mixup"), "cannot tell", (Evidence("words", of(3.0), 0.2, 0.8),), "s")
    assert in_words(judged) == f"power {chance_to_agree(claim('rate-mixup'), [of(3.0)]):.0%}"
    assert in_words(replace(judged, verdict="not run")) == ""
