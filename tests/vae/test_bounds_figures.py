"""What the rates leave open, from made-up rows: bounds, saturation, and the estimators where the truth is known."""

import pytest

from mixlens.vae import figures


def test_bounds_stand_with_their_ceiling_and_what_is_saturated(record, with_information):
    bounds, shared = figures.tables(with_information(record), {})[2:]
    mixup = bounds.rows[2]
    assert mixup[0] == "MixUp"
    assert mixup[1] == "6.15 †"
    assert "log n = 9.21" in bounds.caption
    assert mixup[-1] == "—", "not measured"
    assert shared.rows[2][1] == "—"
    # The re-encoded rate is the rate − 3, the upper bound 0.95 of it: above where the rate is more than 60.
    assert "in 12 of 12 measured pairs" in shared.caption


def test_differences_are_shown_by_another_estimate_too(record, with_information):
    differences = figures.tables(with_information(record), {})[1]
    rates = ("I(Z_A;X)", "its Gaussian-marginal rate", "its mixture-marginal rate")
    assert differences.header == ("Augmentation", *rates, "I(Z_A;X̂)", "MSE")


def test_the_range_has_a_line_for_every_pair(record, with_information):
    plots = {plot.name: plot for plot in figures.plots(with_information(record), {})}
    assert list(plots)[1] == "vae-range"
    labels = [text.get_text().replace("\n", " ") for text in plots["vae-range"].figure.axes[0].get_yticklabels()]
    assert labels == ["Baseline, paired with itself", "Baseline, second training", "MixUp", "FMix"]


def test_the_range_ends_at_the_smallest_rate(record, with_information):
    plots = {plot.name: plot for plot in figures.plots(with_information(record), {})}
    bar = plots["vae-range"].figure.axes[0].lines[0]
    assert bar.get_xdata() == pytest.approx([7.1, 0.8 * 71.0])


@pytest.mark.parametrize("level", ["1", "40"])
def test_estimators_stand_beside_the_truth_of_each_world(record, with_information, level):
    plot = figures.plots(with_information(record), {})[-1]
    assert plot.name == "vae-oracle"
    words = " ".join(text.get_text() for axis in plot.figure.axes for text in axis.get_xticklabels())
    assert level in words
