"""Names of any letters and length, through the page, the PDF, the figures, the rows and the comparison."""

import re

import pandas as pd
import pytest

from mixlens.analysis.presentation.names import LONGEST, label, short, visible
from mixlens.analysis.presentation.svg import plain_svg
from mixlens.analysis.store.record import read_record, write_record
from mixlens.cli.main import main
from mixlens.reports.content import collect

NAMES = [
    "my.code:make(s='<script>alert(1)</script>')",
    "\"quoted\" & 'single'",
    "a/b\\c:d",
    "two\nlines\r",
    "\u202eabc שלום",
    "e\u0301\u0338\u0322 🧪👩\u200d🔬 漢字 हिन्दी",
    "=1+1",
    "x" * 300,
    f"my.code:make({'strength=0.1, ' * 20})",
    '$x^2$ #panic("x") *b* _i_ @ref `raw` <v> [z] // c',
    "\x1b[31m",
    "[red]a[/b] :x:",
]


@pytest.fixture(scope="module")
def named(make_record, tmp_path_factory):
    """A study of every name, and with the most dangerous as its own."""
    values = {(name, "independent"): [1.0, 2.0, 3.0 + place] for place, name in enumerate(["baseline", *NAMES])}
    record = make_record(tmp_path_factory.mktemp("named"), values, name=NAMES[-3])
    settings = {**record.settings, "augmentations": ["baseline", *NAMES], "data": "photos"}
    own = {"name": record.name, "command": record.command, "started": record.started, "runs": record.runs}
    write_record(record.folder, settings=settings, tasks=record.tasks, **own)
    return record.folder


def test_every_name_comes_through(named, capsys):
    assert main(["report", str(named)]) == 0
    captured = capsys.readouterr()
    assert captured.err == "", "typst took every letter"
    assert captured.out.splitlines() == [
        f"report  {named}/report.html",
        f"PDF     {named}/report.pdf",
        f"rows    {named}/rows.csv",
    ]
    page = (named / "report.html").read_text(encoding="utf-8")
    assert page.count("<script") == 2
    shown = re.sub(
        '<pre class="command">.*?</pre>', "", page.partition("rows-data")[0], flags=re.DOTALL
    )  # to be copied
    assert not re.search("[\x00-\x09\x0b-\x1f\u202e]", shown)
    rows = pd.read_csv(named / "rows.csv", keep_default_na=False)
    assert set(rows["augmentation"]) == {"baseline", *NAMES}, "exactly as they are"
    assert "x" * 300 in re.sub("<svg.*?</svg>", "", page, flags=re.DOTALL), "in full"
    assert "two\\nlines\\r" in page
    assert "\\u202eabc שלום" in page


def test_figures_stay_in_their_width(named):
    for plot in collect(read_record(named)).sections[0].plots:
        svg = plain_svg(plot)
        inches = float(re.search(r'width="([\d.]+)pt"', svg)[1]) / 72
        assert inches < 1.4 * max(plot.figure.get_figwidth(), 6), plot.name
        assert "x" * LONGEST not in svg
        if "$" in svg:
            assert "$x^2$" in svg, "no mathematics"


@pytest.mark.parametrize("name", NAMES)
def test_one_of_them_is_compared_by_its_name(named, name, capsys):
    assert main(["compare", f"{named}:baseline", f"{named}:{name}"]) == 0
    shown = capsys.readouterr().out
    assert "I(Z_A;X)" in shown
    if len(label(name)) < 100:
        assert f"{label(name)} − Baseline" in shown


def test_letters_that_cannot_be_seen_are_their_escapes():
    assert visible("a\nb\t\x00\x85\u202e\u2066") == "a\\nb\\t\\x00\\x85\\u202e\\u2066"
    assert visible("שלום é 👩\u200d🔬") == "שלום é 👩\u200d🔬"
    assert label("my:a(s='\n')") == "my:a (s='\\n')"


def test_a_figure_has_both_ends_of_a_long_name():
    assert short("FMix (official code)") == "FMix (official code)"
    assert short("a" * 100 + "z" * 100) == "a" * 21 + "…" + "z" * 21
    assert short("one two three", line=8) == "one two\nthree"


@pytest.mark.parametrize("name", ["a\nb", "\u202eb", "a" * 101, "", "a/b", ".hidden", "runs", "a\x1b"])
def test_a_study_cannot_have_a_name_that_is_no_folder(name, failing, tmp_path):
    message = failing("run", "demo", "--name", name, "--out", str(tmp_path))
    assert "a study's name becomes a folder" in message
    assert "at most 100" in message
    assert list(tmp_path.iterdir()) == []


def test_an_argument_that_is_no_text_is_refused(failing):
    assert "'\\udcff' is not UTF-8" in failing("report", "\udcff")


def test_a_message_of_several_lines_is_one(failing, tmp_path):
    assert "two lines" in failing("report", str(tmp_path / "two\nlines"))
