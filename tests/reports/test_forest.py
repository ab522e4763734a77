"""The picture of the first page, from made-up terms."""

import pytest
from terms import front_of, measured

from mixlens.reports.forest import forest_plot


def answers():
    return {
        "vae": [measured("rate", {"baseline": 50.0, "mixup": 40.0, "fmix": 45.0}, front="Bound", unit="nats")],
        "gradcam": [measured("sum", {"baseline": 1.0, "mixup": 1.0, "fmix": 1.0}, spread=1.0, front="Spread")],
        "robustness": [measured("worst", {"mixup": 1.0}, front="Robustness")],
    }


def test_a_panel_for_each_question_that_is_compared_and_a_line_for_each_arm():
    plot = forest_plot(front_of(answers(), "baseline", "mixup", "fmix"))
    first, second = (axis for axis in plot.figure.axes if axis.get_visible())
    assert first.get_title(loc="left") == "Bound\nRate (nats)"
    assert first.get_xlabel() == "difference (nats)"
    assert [text.get_text() for text in first.get_yticklabels()] == ["MixUp", "FMix"]
    dots = [line for line in first.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots] == pytest.approx([-10, -5])
    assert all(line.get_markerfacecolor() != "none" for line in dots), "they stand after correction"
    unsure = [line for line in second.lines if line.get_marker() == "o"]
    assert all(line.get_markerfacecolor() == "none" for line in unsure)


def test_without_a_baseline_there_is_no_picture():
    assert forest_plot(front_of({"robustness": answers()["robustness"]}, "mixup")) is None
