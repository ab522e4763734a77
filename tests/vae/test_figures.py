"""Table 1 and its differences from rows and arrays, against numbers by hand."""

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
    table = figures.tables(record, {})[1]
    lines = {line[0]: line[1] for line in table.rows}
    assert set(lines) == {"MixUp", "FMix"}
    # MixUp − baseline: −10, −10.1, −9.9: mean −10, t(0.975, 2)·0.1/√3 = 0.248
    assert lines["MixUp"] == "−10.00 [−10.25, −9.75] ↓"
    assert lines["FMix"].startswith("−0.2 [")
    assert not lines["FMix"].endswith(("↑", "↓"))


def test_fewer_than_three_seeds_cannot_tell(tmp_path, make_record, rates):
    record = make_record(tmp_path, {pair: values[:2] for pair, values in rates.items()})
    for line in figures.tables(record, {})[1].rows:
        assert all("cannot tell" in cell for cell in line[1:])


def test_a_study_without_a_baseline_has_no_differences(tmp_path, make_record):
    record = make_record(tmp_path, {("mixup", "independent"): [1.0, 2.0, 3.0]})
    assert figures.tables(record, {})[1].rows == (("MixUp", "no baseline", "no baseline", "no baseline"),)


def test_one_seed_has_a_value_and_no_deviation(tmp_path, make_record):
    record = make_record(tmp_path, {("baseline", "independent"): [70.5]})
    assert figures.tables(record, {})[0].rows[0][1] == "70.5"


def test_older_measurements_are_shown_without_bounds(record):
    assert [table.name for table in figures.tables(record, {})] == ["vae-table-1", "vae-differences"]
    assert [plot.name for plot in figures.plots(record, {})] == ["vae-quantities", "vae-reconstructions", "vae-curves"]
