"""The PDF: tagged, whole, the same bytes for the same study, refused in words."""

import builtins
import re
import shutil
import subprocess
import warnings
from dataclasses import replace

import numpy as np
import pytest
from vae_records import RATES

from mixlens.analysis.errors import InputError
from mixlens.analysis.presentation.svg import plain_svg
from mixlens.cli.main import main
from mixlens.gallery.sequences import word_plot
from mixlens.reports.content import collect
from mixlens.reports.pdf import _drawn, render_pdf
from mixlens.reports.report import write_report


def test_the_same_study_gives_the_same_tagged_pdf(record):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # typst warns of fonts it does not have
        first, again = render_pdf(collect(record)), render_pdf(collect(record))
    assert first == again
    assert first.startswith(b"%PDF-")
    assert b"/MarkInfo" in first
    assert b"pdfuaid" in first


def test_text_that_typst_could_read_as_its_own_is_set_as_it_is(record):
    """Names are data, not markup: #, *, $ and brackets do nothing."""
    bad = '#panic("x") *b* $y$ [z] @w <v> `u`'
    settings = {**record.settings, "augmentations": [bad]}
    assert render_pdf(collect(replace(record, name=bad, settings=settings, command=bad)))


def test_words_of_any_script_keep_their_places_in_a_figure_that_quotes(record):
    """A letter that the font lacks is one box; of names in other figures there are the code points."""
    texts = (["दिन", "good", "電影", "cafe\u0301"], ["फ़िल्म", "bad", "好看", "שלום"])
    plot = word_plot({"taken:fmix": np.array([[1, 0, 1, 1]], np.float32)}, texts)
    drawn = plain_svg(plot)

    def words(svg):
        return re.findall(r">([^<>\s]+)</text>", svg)

    assert words(drawn) == ["दिन", "फ़िल्म", "good", "bad", "電影", "好看", "cafe\u0301", "שלום", "FMix"]
    assert words(_drawn(drawn, quotes=True)) == ["▯▯▯", "▯▯▯▯", "good", "bad", "▯▯", "▯▯", "café", "שלום", "FMix"]
    assert "U+96FBU+5F71" in words(_drawn(drawn, quotes=False))
    content = collect(record)
    front, *rest = content.sections
    content = replace(content, sections=[replace(front, plots=[*front.plots, plot]), *rest])
    assert render_pdf(content).startswith(b"%PDF"), "as PDF/UA allows"


def test_a_figure_may_have_a_long_name(record):
    """Words that no line can hold are broken; the name of its file is none."""
    content = collect(record)
    (first, *others) = content.sections
    figure = replace(first.plots[0], name="figure-" * 9)
    assert render_pdf(replace(content, sections=[replace(first, plots=[figure]), *others]))


@pytest.fixture(scope="module")
def read(tmp_path_factory, make_record, with_information):
    """A report's content, and what its PDF says line by line."""
    if shutil.which("pdftotext") is None:
        pytest.skip("no pdftotext: apt-get install poppler-utils.")
    folder = tmp_path_factory.mktemp("pdf")
    content = collect(with_information(make_record(folder, RATES)))
    (folder / "r.pdf").write_bytes(render_pdf(content))
    command = ["pdftotext", "-layout", str(folder / "r.pdf"), "-"]
    return content, subprocess.run(command, check=True, capture_output=True, text=True).stdout


def test_tables_and_figures_have_the_numbers_of_the_page(read):
    content, text = read
    captions = dict(re.findall(r"((?:Table|Figure) \d+): (\w[^.\n]{3,12})", text))
    titles = {f"figure:{plot.name}": plot.title for plot in content.plots} | {
        f"table:{table.name}": table.title
        for table in (*(table for section in content.sections for table in section.tables), *content.appendix)
    }
    for name, title in titles.items():
        assert title.startswith(captions[f"{name.partition(':')[0].title()} {content.numbers[name]}"])


def test_nothing_stands_alone_on_a_line_that_belongs_to_a_number(read):
    lines = [line.strip() for line in read[1].splitlines()]
    assert sum("±" in line for line in lines) > 5
    assert not [line for line in lines if re.fullmatch(r"[↑↓†±=]|\((?:nats|points|%)\)", line)]


def test_settings_are_a_table_and_the_answer_comes_before_the_contents(read):
    _, text = read
    assert '{"' not in text
    assert "All settings stand in study.json" in text
    first = text.split("\f")[0]
    assert 0 < first.index("Figure 1:") < first.index("What was run"), "the list of contents ends with it"


def test_the_command_is_whole(read):
    assert "mixlens run <x>" in read[1]
    assert read[1].count("To make this section again") == len(read[0].sections)


@pytest.fixture
def without_typst(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "typst":
            raise ImportError("No module named 'typst'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)


def test_without_typst_the_page_is_there_and_the_reason_is_given(record, tmp_path, without_typst):
    with pytest.raises(InputError, match="no PDF without typst"):
        write_report(record, tmp_path / "r.html", pdf=True)
    assert (tmp_path / "r.html").is_file()
    assert not (tmp_path / "r.pdf").exists()


def test_the_command_without_typst_names_the_page_and_the_reason(record, capsys, without_typst):
    assert main(["report", str(record.folder)]) == 0
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"report  {record.folder}/report.html", f"rows    {record.folder}/rows.csv"]
    assert captured.err == "mixlens: no PDF without typst (No module named 'typst'): pip install typst.\n"
