"""The claims at every scale: verdicts and differences of made-up studies, and where they stand in a report."""

from dataclasses import replace

import pytest

from mixlens.analysis.store.record import combine
from mixlens.reports import by_scale
from mixlens.reports.by_scale import points_of, printed_of, scale_plots, scale_tables, scales_of, sizes_of
from mixlens.reports.claims import CLAIMS
from mixlens.reports.content import collect

CLAIM = {claim.name: claim for claim in CLAIMS}
# train_size → rates of MixUp and FMix less the baseline's: MixUp's difference turns over, FMix's stays.
DIFFERENCES = {2500: (8.0, 3.0), 10000: (0.0, 3.0), None: (-8.0, 3.0)}


@pytest.fixture(scope="module")
def record(make_record, tmp_path_factory):
    parts = []
    for size, (mixup, fmix) in DIFFERENCES.items():
        rates = {
            ("baseline", "independent"): [70.0, 71.0, 72.0],
            ("mixup", "independent"): [70.0 + mixup, 71.05 + mixup, 71.95 + mixup],
            ("fmix", "independent"): [70.0 + fmix, 71.05 + fmix, 71.95 + fmix],
        }
        part = make_record(tmp_path_factory.mktemp("scale"), rates, name=f"of {size}", mark=f"{size}-")
        parts.append(replace(part, settings={**part.settings, "train_size": size}, train_images=size or 50000))
    return combine(parts, mixed=True)


def test_a_scale_has_what_each_study_measured_ascending(record):
    (scale,) = scales_of(record)
    assert scale.parameter.name == "train_size"
    assert list(scale.answers) == [2500, 10000, 50000]
    assert [answers.study for answers in scale.answers.values()] == ["of 2500", "of 10000", "of None"]
    assert sizes_of([scale]) == scale.answers


def test_a_table_has_the_verdict_at_each_value(record):
    (table,) = scale_tables(scales_of(record))
    assert table.header == ("Claim", *(f"{size} training images" for size in ("2,500", "10,000", "50,000")))
    verdicts = {row[0]: row[1:] for row in table.rows}
    assert verdicts[CLAIM["rate-mixup"].text] == ("disagrees", "cannot tell", "agrees")
    assert CLAIM["rate-cutmix"].text not in verdicts, "CutMix was not measured"


def test_a_difference_is_less_the_baseline_as_is_the_papers(record):
    (scale,) = scales_of(record)
    (comparison,) = CLAIM["rate-mixup"].comparisons  # baseline above MixUp
    points = points_of(scale, comparison)
    assert [point.value for point in points] == [2500, 10000, 50000]
    assert [point.change.value for point in points] == pytest.approx([8, 0, -8], abs=1e-4)
    assert all(point.change.low < point.change.value < point.change.high for point in points)
    assert printed_of(comparison) == pytest.approx(70.38 - 78.05)


def test_a_figure_has_a_panel_a_claim_and_the_papers_point_apart(record):
    (plot,) = scale_plots(scales_of(record))
    panels = {axis.get_title(loc="left").replace("\n", " "): axis for axis in plot.figure.axes if axis.get_visible()}
    axis = panels["I(Z_A;X) falls with MixUp"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["2,500", "10,000", "50,000", "paper"]
    assert axis.get_xscale() == "log"
    (line,) = (line for line in axis.get_lines() if line.get_label() == "MixUp − Baseline")
    assert line.get_ydata() == pytest.approx([8, 0, -8], abs=1e-4)
    (paper,) = (line for line in axis.get_lines() if line.get_marker() == "D")
    assert paper.get_markerfacecolor() == "none"
    assert paper.get_xdata()[0] > 50000
    assert paper.get_ydata() == pytest.approx([-7.67])


def test_the_report_has_it_before_its_sections(record):
    content = collect(record)
    first = content.sections[0]
    assert first.name == by_scale.NAME
    assert [plot.name for plot in first.plots] == ["scale-claims-1"]
    assert [table.name for table in first.tables] == ["scale-verdicts-1"]
    assert first.commands


def test_other_data_have_no_claims_and_a_single_study_no_scale(record, make_record, tmp_path):
    other = [replace(part, settings={**part.settings, "data": "photos"}) for part in record.parts]
    assert by_scale.NAME not in [section.name for section in collect(combine(other, mixed=True)).sections]
    assert scales_of(record.parts[0]) == []
    assert sizes_of([]) == {}


def test_studies_that_differ_in_several_numbers_at_once_are_a_scale_of_the_first(record):
    parts = [
        replace(part, settings={**part.settings, "vae": {"epochs": epochs}})
        for part, epochs in zip(record.parts, (3, 2, 1), strict=True)
    ]
    (scale,) = scales_of(combine(parts, mixed=True))
    assert (scale.parameter.name, list(scale.answers)) == ("train_size", [2500, 10000, 50000])
