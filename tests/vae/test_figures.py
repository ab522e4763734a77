"""Table 1 and its differences from rows and arrays, against numbers by hand."""

import re
from dataclasses import replace

import numpy as np
import pytest
from terms import in_family

from mixlens.analysis.interface import Row
from mixlens.analysis.store.record import TaskRecord
from mixlens.analysis.store.results import read_rows, write_rows
from mixlens.analysis.store.runs import Run
from mixlens.reports import paper
from mixlens.vae import figures


def test_table_1_holds_means_deviations_and_the_papers_values(record):
    table = figures.tables(record, paper.VALUES["vae"])[0]
    lines = {line[0]: line[1:] for line in table.rows}
    assert lines["Baseline, paired with itself"][:2] == ("71.0 ± 1.0", "78.05 ± 0.53")
    assert lines["Baseline, second training"][:2] == ("71.5 ± 1.0", "—")
    assert lines["MixUp"][:4] == ("61.5 ± 1.1", "70.38 ± 0.90", "58.5 ± 1.1", "68.58 ± 1.12")
    assert lines["FMix"][6:] == ("3",)
    assert "over the 1,000 test images are another matter: at most 0.1, 0.1, 0.1." in table.caption
    assert "5 trials" in table.caption


def test_differences_are_paired_by_seed_and_marked_only_where_they_stand(record):
    table = figures.tables(in_family(record, "vae", figures), {})[1]
    lines = {line[0]: line[1] for line in table.rows}
    assert list(lines) == ["MixUp", "FMix"]
    # MixUp − baseline: −10, −10.1, −9.9: mean −10, t(0.975, 2)·0.1/√3 = 0.248; p of t = 173, twice
    assert lines["MixUp"] == "−10.00 [−10.25, −9.75] ↓ p < .001"
    assert re.fullmatch(r"−0.2 \[.*\] p = .\d\d", lines["FMix"])
    assert all("p" not in cell for line in table.rows for cell in line[2:]), "what leads is judged, the others are not"


def test_fewer_than_three_seeds_cannot_tell(tmp_path, make_record, rates):
    record = make_record(tmp_path, {pair: values[:2] for pair, values in rates.items()})
    for line in figures.tables(in_family(record, "vae", figures), {})[1].rows:
        assert all(cell.endswith("(these networks)") for cell in line[1:])


def test_a_study_without_a_baseline_has_no_differences(tmp_path, make_record):
    record = make_record(tmp_path, {("mixup", "independent"): [1.0, 2.0, 3.0]})
    assert figures.tables(record, {})[1].rows == (("MixUp", "no baseline", "no baseline", "no baseline"),)


def test_one_seed_has_a_value_and_no_deviation(tmp_path, make_record):
    record = make_record(tmp_path, {("baseline", "independent"): [70.5]})
    assert figures.tables(record, {})[0].rows[0][1] == "70.5"


def test_older_measurements_are_shown_without_bounds(record):
    assert [table.name for table in figures.tables(record, {})] == ["vae-table-1", "vae-differences"]
    assert [plot.name for plot in figures.plots(record, {})] == ["vae-quantities", "vae-reconstructions", "vae-curves"]


# what leads, and how good the VAEs are


def test_the_tightest_bound_leads_where_there_is_one(record, with_information):
    assert [one.quantity for one in figures.measured(record) if one.front] == ["rate"]
    tight = figures.measured(with_information(record))
    assert [(one.quantity, one.front) for one in tight if one.front] == [("rate_mixture", "Upper bound on information")]
    assert [one.quantity for one in tight] == ["rate_mixture", "rate", "rate_reconstruction", "mse", "rate_gaussian"]


def test_what_is_no_mean_over_images_is_known_over_seeds(record):
    """Of each seed the same number: −1 nat with MixUp, −1.1 and −0.9."""
    values = {("mixup", 0): 1.0, ("mixup", 1): 0.9, ("mixup", 2): 1.1}
    for task in record.done("vae-measure"):
        rows = read_rows(run := record.run(task.name))
        value = values.get((rows[0].augmentation, rows[0].seed), 2.0)
        write_rows(run, [*rows, replace(rows[0], quantity="latents_canonical", value=value)], 12.0)
    table = figures.tables(in_family(replace(record), "vae", figures), {})[1]
    place = table.header.index("I(Z_A;Z_X), canonical")
    assert table.rows[0][place] == "−1.00 [−1.25, −0.75]"
    assert "is over seeds alone" in table.caption


def test_the_linear_vae_is_a_line(record):
    def lines(record):
        axes = figures.plots(record, {})[0].figure.axes
        return [[line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == ":"] for axis in axes]

    assert lines(record) == [[], [], []]
    run = Run(record.runs / "vae-linear-0")
    run.path.mkdir()
    base = Row("vae-linear-0", "other", "vae", "cifar10", "test", "", "", None, "", 0.0, "nats", 100)
    values = {"linear_rate": 99.1, "linear_mse": 0.229, "linear_neg_elbo": 450.0}
    write_rows(run, [replace(base, quantity=name, value=value) for name, value in values.items()], 1.0)
    task = TaskRecord("vae-linear-0", "vae-linear", "vae", "fit the linear VAE", (), "done")
    assert lines(replace(record, tasks=(*record.tasks, task))) == [[99.1], [], [0.229]]


def test_latents_fall_and_are_counted_alive_above_the_line(record):
    record = with_rows(record, "active_units", 2.0, {"rate_per_latent": np.array([0.01, 5.0, 0.2], np.float32)})
    plot = next(plot for plot in figures.plots(record, {}) if plot.name == "vae-latents")
    *curves, dead = plot.figure.axes[0].lines
    assert len(curves) == 9, "three augmentations, three seeds"
    assert all(list(curve.get_ydata()) == pytest.approx([5.0, 0.2, 0.01]) for curve in curves)
    assert list(dead.get_ydata()) == [0.1, 0.1]


def with_rows(record, quantity, value, arrays):
    """One more quantity, and arrays, of every measured pair."""
    for task in record.done("vae-measure"):
        run = record.run(task.name)
        rows = read_rows(run)
        run.write_arrays({**run.read_arrays(), **arrays})
        write_rows(run, [*rows, replace(rows[0], quantity=quantity, value=value)], 12.0)
    return replace(record)


def test_where_no_vae_was_measured_what_else_was_is_shown(record):
    """Measuring failed, the estimators' own trial did not: no row says how its VAE was paired."""
    tasks = tuple(replace(task, state="failed") if task.kind == "vae-measure" else task for task in record.tasks)
    without = replace(record, tasks=tasks)
    assert "pair" not in without.table("vae")
    assert all(not one.terms for one in figures.measured(without))
    assert figures.tables(without, {})[0].rows == ()
    assert figures.plots(without, {}) is not None
