"""The figures of a quantity against a parameter: points, ticks and names from made-up terms."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex

from mixlens.analysis.interface import Arm, Printed
from mixlens.analysis.statistics.effect import Measured
from mixlens.analysis.store.record import StudyRecord, combine
from mixlens.reports.axes import axis_plots
from mixlens.reports.paper import VALUES


def part(name, *augmentations, sweep="", train_size=None, **sections):
    settings = {"data": "cifar10", "seeds": [0], "sections": ["vae"], "train_size": train_size, "sweep": sweep}
    settings |= {"augmentations": list(augmentations), "aliases": {}, **sections}
    return StudyRecord(Path(), name, "", settings, "", Path(), (), train_images=train_size or 50000)


def terms(values, seeds=3):
    """arm → mean as the terms of seeds around it: one lower by 1, one higher."""
    spread = (-1.0, 1.0, 0.0)[:seeds] if seeds > 1 else (0.0,)
    return {(arm, seed): np.full(4, mean + shift) for arm, mean in values.items() for seed, shift in enumerate(spread)}


def accuracy(values, **options):
    return Measured("accuracy", "Test accuracy", "%", terms(values, **options), front="Accuracy")


def line_of(axis, name):
    (line,) = (line for line in axis.get_lines() if line.get_label() == name)
    return line


def ticks(axis):
    return [tick.get_text() for tick in axis.get_xticklabels()]


@pytest.fixture
def alphas():
    record = part("s", "baseline", "fmix(alpha=5.0)", "fmix(alpha=0.2)", "fmix")
    values = dict(zip(record.arms, (90.0, 93.0, 91.0, 92.0), strict=True))
    return record, values


def test_points_stand_at_the_values_in_order_with_the_spread_over_seeds(alphas):
    record, values = alphas
    (plot,) = axis_plots(record, "classifier", [accuracy(values)], {})
    assert (plot.name, plot.title) == ("classifier-against-alpha", "Test accuracy against α")
    (axis,) = plot.figure.axes
    line = line_of(axis, "FMix")
    assert line.get_xdata() == pytest.approx([0.2, 1, 5])
    assert line.get_ydata() == pytest.approx([91, 92, 93])
    assert to_hex(line.get_color()) == "#009e73"
    (band,) = axis.collections
    assert band.get_paths()[0].get_extents().y0 == pytest.approx(90)  # 91 − sd of (−1, 1, 0), which is 1
    assert (axis.get_xscale(), ticks(axis)) == ("log", ["0.2", "1", "5"])
    assert set(line_of(axis, "Baseline").get_ydata()) == {90.0}


def test_one_seed_has_no_band(alphas):
    record, values = alphas
    (plot,) = axis_plots(record, "classifier", [accuracy(values, seeds=1)], {})
    assert not plot.figure.axes[0].collections
    assert "of which there is one" in plot.caption


def test_the_papers_value_is_hollow_at_its_own_point(alphas):
    record, values = alphas
    printed = {"fmix": {"accuracy": Printed(96.14, 0.1, 2, None, "Table 2")}}
    (plot,) = axis_plots(record, "classifier", [accuracy(values)], printed)
    (mark,) = (
        line for line in plot.figure.axes[0].get_lines() if line.get_marker() == "D" and len(line.get_xdata()) == 1
    )
    assert (list(mark.get_xdata()), list(mark.get_ydata())) == ([1.0], [96.14])
    assert mark.get_markerfacecolor() == "none"
    assert "Hollow diamonds" in plot.caption


@pytest.mark.parametrize(("sizes", "marked"), [((2500, None), [50000.0]), ((2500, 10000), [])])
def test_the_papers_size_is_all_images(sizes, marked):
    record = combine([part(f"s ({n})", "baseline", "mixup", sweep="s", train_size=n) for n in sizes], mixed=True)
    values = {arm: 90.0 + place for place, arm in enumerate(record.arms)}
    (plot,) = axis_plots(record, "classifier", [accuracy(values)], VALUES["classifier"])
    (axis,) = plot.figure.axes
    assert plot.name == "classifier-against-train_size"
    assert ticks(axis)[0] == "2,500"
    marks = [line.get_xdata()[0] for line in axis.get_lines() if line.get_markerfacecolor() == "none"]
    assert marks == marked * 2


def test_a_small_span_is_linear_and_words_stand_side_by_side():
    for key, settings, scale, places, shown in (
        ("vae.epochs", (2, 4), "linear", [2, 4], ["2", "4"]),
        ("vae.mix_mode", ("elem", "batch"), "linear", [0, 1], ["elem", "batch"]),
        ("vae.learning_rate", (0.001, 0.1), "log", [0.001, 0.1], ["0.001", "0.1"]),
    ):
        points = [part(f"s ({value})", "baseline", sweep="s", vae={key[4:]: value}) for value in settings]
        record = combine(points, mixed=True)
        (plot,) = axis_plots(record, "vae", [accuracy(dict.fromkeys(record.arms, 1.0))], {})
        (axis,) = plot.figure.axes
        assert plot.name == f"vae-against-{key.replace('.', '-')}"
        assert (axis.get_xscale(), ticks(axis)) == (scale, shown)
        assert list(axis.get_xticks()) == pytest.approx(places)


def test_each_quantity_of_the_front_page_has_a_panel_and_others_none(alphas):
    record, values = alphas
    other = Measured("nll", "NLL", "nats", terms(values), front="Loss")
    hidden = Measured("ece", "ECE", "", terms(values))
    (plot,) = axis_plots(record, "classifier", [accuracy(values), other, hidden], {})
    assert [axis.get_title(loc="left") for axis in plot.figure.axes] == ["Test accuracy (%)", "NLL (nats)"]
    (plot,) = axis_plots(record, "classifier", [hidden], {})
    assert [axis.get_title(loc="left") for axis in plot.figure.axes] == ["ECE"], "where none is on the front page"


def test_without_a_parameter_there_is_no_figure():
    record = part("s", "baseline", "mixup")
    assert axis_plots(record, "classifier", [accuracy(dict.fromkeys(record.arms, 1.0))], {}) == []
    assert axis_plots(record, "classifier", [], {}) == []


def test_lines_of_one_augmentation_are_shades_of_it():
    points = [
        part(f"s ({epochs})", "baseline", "mixup", "mixup(alpha=5.0)", sweep="s", vae={"epochs": epochs})
        for epochs in (1, 2)
    ]
    record = combine(points, mixed=True)
    plots = axis_plots(record, "vae", [accuracy(dict.fromkeys(record.arms, 1.0))], {})
    assert [plot.name for plot in plots] == ["vae-against-vae-epochs", "vae-against-alpha"]
    names = [line.get_label() for line in plots[0].figure.axes[0].get_lines()]
    assert names == ["Baseline", "MixUp", "MixUp (alpha=5.0)"]
    names = [line.get_label() for line in plots[1].figure.axes[0].get_lines()]
    assert names == ["MixUp [epochs=1]", "MixUp [epochs=2]", "Baseline [epochs=1]", "Baseline [epochs=2]"]
    assert record.arms[0] == Arm("s (1)", "baseline")
