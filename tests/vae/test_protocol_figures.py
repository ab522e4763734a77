"""The figure of modes, from made-up rows."""

import pandas as pd
import pytest
from scipy.stats import t as student

from mixlens.analysis.interface import Arm
from mixlens.vae.protocol_figures import MODES, points, protocol_plot

MODE_EFFECT = {"batch-mask": 1.0, "batch": 2.0, "elem": 4.0}


def rows(seeds=3, modes=MODE_EFFECT, studies=("first",)):
    made = []
    for study in studies:
        for seed in range(seeds):
            made.append((Arm(study, "baseline"), "", "", seed, 50.0 + seed))
            made.append((Arm(study, "mine"), "", "", seed, 10.0))
            for mix in ("cutmix", "fmix"):
                made += [
                    (Arm(study, f"{mix}(mode={mode!r})"), mix, mode, seed, 50.0 + seed + modes[mode] + 0.1 * (seed - 1))
                    for mode in modes
                ]
    columns = ["arm", "mix", "mode", "seed", "value"]
    return pd.DataFrame(made, columns=columns).assign(quantity="rate")


def test_each_mode_is_compared_with_the_baseline_by_seed():
    found = points(rows())
    assert [one[:4] for one in found] == [("first", mix, mode, "rate") for mix in ("cutmix", "fmix") for mode in MODES]
    assert [one.mean.value for one in found] == pytest.approx([*MODE_EFFECT.values()] * 2)
    half = student.ppf(0.975, 2) * 0.1 / 3**0.5
    assert [one.mean.high - one.mean.value for one in found] == pytest.approx([half] * 6)


def test_an_augmentation_of_one_mode_is_left_out():
    assert points(rows(modes={"elem": 4.0})) == []
    one = rows()
    assert {point.mix for point in points(one[(one["mix"] != "fmix") | (one["mode"] == "elem")])} == {"cutmix"}
    assert points(one.drop(columns=["mix", "mode"])) == [], "rows of earlier versions"


def test_two_seeds_have_no_interval():
    assert all(one.mean.low == one.mean.value == one.mean.high for one in points(rows(seeds=2)))


def test_without_a_baseline_there_is_nothing_to_compare_with():
    one = rows()
    assert points(one[one["mix"] != ""]) == []


def test_a_row_of_panels_for_each_study():
    plot = protocol_plot(points(rows(studies=("first", "second"))))
    assert [axis.get_title(loc="left") for axis in plot.figure.axes] == ["rate (nats)\nfirst", "rate (nats)\nsecond"]
    lines = [container.lines[0].get_ydata() for container in plot.figure.axes[1].containers]
    assert [list(line) for line in lines] == [pytest.approx([*MODE_EFFECT.values()])] * 2
