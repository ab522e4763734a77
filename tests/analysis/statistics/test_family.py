"""One family a report: what is judged together, and what is not."""

from dataclasses import replace

import numpy as np
import pytest
from terms import measured

from mixlens.analysis.interface import Arm
from mixlens.analysis.statistics.effect import effect
from mixlens.analysis.statistics.family import Family, family_of


def arm(name):
    return Arm("s", name)


def test_the_front_pages_differences_are_corrected_for_their_number_and_the_others_not_judged():
    """Three differences on the front page: the least p is tripled, the next doubled (Holm)."""
    values = {"baseline": 0.0, "mixup": 0.10, "cutmix": 0.15}
    one = measured("accuracy", values, spread=1.0, front="Accuracy")
    two = measured("sum", {"baseline": 0.0, "mixup": 1.0}, front="Spread")
    other = measured("sum:layer", {"baseline": 0.0, "mixup": 1.0})
    apart = replace(measured("worst case, each ε", values), apart=True)
    found = family_of({"classifier": [one], "gradcam": [two, other], "robustness": [apart]})
    alone = {
        ("classifier", "accuracy", "mixup"): effect(one, arm("mixup"), arm("baseline")),
        ("classifier", "accuracy", "cutmix"): effect(one, arm("cutmix"), arm("baseline")),
        ("gradcam", "sum", "mixup"): effect(two, arm("mixup"), arm("baseline")),
    }
    ranked = sorted(alone, key=lambda key: alone[key].p)
    greatest = 0.0
    for rank, (section, quantity, name) in enumerate(ranked):
        greatest = max(greatest, min(1.0, (3 - rank) * alone[section, quantity, name].p))
        shown = found.of(section, quantity, arm(name))
        assert shown.adjusted == pytest.approx(greatest)
        assert (shown.value, shown.low, shown.high) == tuple(
            getattr(alone[section, quantity, name], end) for end in ("value", "low", "high")
        )
    assert found.size == 3
    exploratory = found.of("gradcam", "sum:layer", arm("mixup"))
    assert exploratory.low > 0
    assert (exploratory.adjusted, exploratory.direction) == (None, 0), "an interval, and no arrow"
    assert apart.quantity not in {quantity for _, quantity, _ in found.effects}


def test_what_was_not_measured_or_has_no_baseline_is_not_there():
    found = family_of({"vae": [measured("rate", {"mixup": 1.0}, front="Bound")]})
    assert (found.of("vae", "rate", arm("mixup")), found.size) == (None, 0)
    assert Family().of("vae", "rate", arm("mixup")) is None


def test_too_few_seeds_are_not_judged_unless_the_networks_are_given():
    one = measured("accuracy", {"baseline": 0.0, "mixup": 0.3}, spread=1.0, front="Accuracy")
    single = {key: terms + np.random.default_rng(key[1]).random(200) for key, terms in one.terms.items() if key[1] == 0}
    of_one = [type(one)(one.quantity, one.title, "", single, front="Accuracy")]
    assert family_of({"c": of_one}).size == 0
    assert family_of({"c": of_one}, as_given=True).size == 1
