"""The PDF: tagged, whole, the same bytes for the same study, refused in words."""

import builtins
import warnings
from dataclasses import replace

import pytest

from mixlens.analysis.errors import InputError
from mixlens.cli.main import main
from mixlens.reports.content import collect
from mixlens.reports.pdf import render_pdf
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
