"""Reports: one self-contained page, numbers written by one function, names escaped, nothing fetched."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pandas as pd
import pytest
from helpers import text_of
from terms import in_family
from vae_records import RATES

from mixlens.analysis.errors import InputError
from mixlens.analysis.store.record import TaskRecord, read_record
from mixlens.reports import paper
from mixlens.reports.report import write_report
from mixlens.vae import figures


class Page(HTMLParser):
    """Collects what a browser would fetch, ids, links, headings, cells."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if "id" in found:
            self.ids.append(found["id"])
        if tag == "a":
            self.links.append(found["href"])
        for name in ("src", "href", "xlink:href"):
            value = found.get(name) or ""
            if value and tag != "a" and not value.startswith(("#", "data:")):
                self.fetched.append(f"<{tag} {name}={value}>")
        assert not any(name.startswith("on") for name in found), "no inline scripts"

    def handle_data(self, data):
        self.text += data


def test_the_page_is_whole_and_fetches_nothing(record, tmp_path):
    page = Page(write_report(record, tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.fetched == []
    assert "url(http" not in page.text
    assert len(page.ids) == len(set(page.ids)), "ids are unique"
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))
    for words in ("Table 1", "Training curves", "Reconstructions", "Hardware and versions", "mixlens run <x>"):
        assert words in page.text


def test_the_same_study_gives_the_same_bytes(record, tmp_path):
    first = write_report(record, tmp_path / "a.html").read_bytes()
    assert write_report(record, tmp_path / "b.html").read_bytes() == first


def test_rows_carry_the_name_of_the_study_that_is_reported(record, tmp_path, rates):
    write_report(record, tmp_path / "report.html")
    rows = pd.read_csv(tmp_path / "rows.csv")
    assert set(rows["study"]) == {"a study"}
    assert len(rows) == 3 * 3 * len(rates)


def test_names_are_escaped_everywhere(tmp_path, make_record):
    bad = "<script>alert(1)</script>"
    record = make_record(
        tmp_path, {("baseline", "independent"): [1.0, 2.0], (f"my:{bad}", "independent"): [1.0, 2.0]}, bad
    )
    text = write_report(record, tmp_path / "report.html").read_text(encoding="utf-8")
    assert bad not in text
    assert text.count("<script") == 2, "the rows and the page's own"
    rows = json.loads(text.partition('id="rows-data">')[2].partition("</script>")[0])
    assert {row[rows["columns"].index("augmentation")] for row in rows["rows"]} == {"baseline", f"my:{bad}"}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text


def test_one_failed_seed_leaves_the_rest_of_the_report(tmp_path, make_record, rates):
    """The first seed of one augmentation, and the reference with itself, never finished."""
    values = {pair: list(seeds) for pair, seeds in rates.items() if pair != ("baseline", "self")}
    record = make_record(tmp_path, values)
    lost = "measure-mixup-independent-0"
    tasks = [replace(task, state="failed", reason="nan") if task.name == lost else task for task in record.tasks]
    record = replace(record, tasks=tuple(tasks))
    page = write_report(record, tmp_path / "report.html").read_text(encoding="utf-8")
    lines = {line[0]: line for line in figures.tables(record, {})[0].rows}
    assert "Baseline, paired with itself" not in lines
    assert lines["MixUp"][1].startswith("62.0 ±")
    assert lines["MixUp"][-1] == "2"
    assert "these networks" in figures.tables(in_family(record, "vae", figures), {})[1].rows[0][1]
    assert "1 of" in page


def test_the_papers_values_stand_only_beside_its_data(record, tmp_path):
    shown = write_report(record, tmp_path / "a.html").read_text(encoding="utf-8")
    assert "78.05" in shown
    other = replace(record, settings={**record.settings, "data": "photos"})
    shown = write_report(other, tmp_path / "b.html").read_text(encoding="utf-8")
    assert "78.05" not in shown
    assert ">paper<" not in shown


@pytest.mark.parametrize("name", ["arrays.npz", "history.jsonl"])
def test_a_missing_or_foreign_file_is_named(record, tmp_path, name):
    kind = "measure" if name == "arrays.npz" else "train"
    victim = tmp_path / "runs" / f"{kind}-mixup-independent-0" / name
    victim.unlink()
    with pytest.raises(InputError, match=f"{victim.parent.name}.*{name}"):
        write_report(record, tmp_path / "report.html")
    victim.write_text('{"other": 1}\n', encoding="utf-8")
    with pytest.raises(InputError, match=f"{victim.parent.name}/{name}.*damaged"):
        write_report(record, tmp_path / "report.html")


@pytest.mark.parametrize("key", ["settings", "tasks", "runs"])
def test_a_foreign_study_record_is_an_error(record, key):
    path = record.folder / "study.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, key: {}}), encoding="utf-8")
    with pytest.raises(InputError, match="not a mixlens study record"):
        read_record(record.folder)


def test_a_dollar_sign_in_a_name_is_a_dollar_sign(tmp_path, make_record):
    record = make_record(
        tmp_path, {("baseline", "independent"): [1.0, 2.0], ("own:a(s='$\\foo$')", "independent"): [1.0]}
    )
    assert "$\\foo$" in write_report(record, tmp_path / "report.html").read_text(encoding="utf-8")


def test_bounds_and_the_oracle_are_shown(record, tmp_path, with_information):
    today = with_information(record)
    page = Page(write_report(today, tmp_path / "report.html").read_text(encoding="utf-8"))
    for words in ("What bounds the information", "What the latents share", "Where I(Z_A;X) can lie", "Which estimator"):
        assert words in page.text
    assert len(page.ids) == len(set(page.ids))


def test_failed_tasks_are_named(record, tmp_path):
    failed = TaskRecord("x", "vae-train", "vae", "train VAE, cutmix, seed 1", (), "failed", "the loss became nan")
    text = write_report(replace(record, tasks=(*record.tasks, failed)), tmp_path / "r.html").read_text(encoding="utf-8")
    assert "train VAE, cutmix, seed 1: failed: the loss became nan" in text


def test_nothing_measured_is_an_error(record, tmp_path):
    with pytest.raises(InputError, match="no finished measurement"):
        write_report(replace(record, tasks=()), tmp_path / "report.html")


def test_an_unwritable_report_is_an_error(record, tmp_path):
    with pytest.raises(InputError, match="cannot write the report"):
        write_report(record, tmp_path / "no" / "such" / "report.html")


def test_the_papers_values_are_those_printed():
    """Table 1 and section 4, once more by hand."""
    rates = {name: values["rate"][:2] for name, values in paper.VALUES["vae"].items()}
    assert rates == {
        "baseline": (78.05, 0.53),
        "mixup": (70.38, 0.90),
        "cutmix": (83.17, 0.72),
        "fmix": (83.67, 0.89),
        "fmix-official": (83.67, 0.89),
    }


# one difference, one interval, one arrow


class Cells(HTMLParser):
    """The texts of table cells, and of list items in them, by the section of the page that they stand in."""

    def __init__(self):
        super().__init__()
        self.section, self.found, self.opened = "", [], []

    def handle_starttag(self, tag, attrs):
        if tag == "section":
            self.section = dict(attrs).get("id", "")
        if tag in ("td", "th", "li", "small"):
            self.opened.append([])

    def handle_data(self, data):
        for texts in self.opened:
            texts.append(data)

    def handle_endtag(self, tag):
        if tag in ("td", "th", "li", "small"):
            self.found.append((self.section, " ".join("".join(self.opened.pop()).split())))


@pytest.fixture(scope="module")
def page(make_record, tmp_path_factory):
    """Of the study ``record``."""
    folder = tmp_path_factory.mktemp("page")
    return write_report(make_record(folder, RATES), folder / "report.html").read_text(encoding="utf-8")


def test_the_same_difference_is_the_same_text_on_the_front_page_in_its_section_and_in_a_claim(page):
    parser = Cells()
    parser.feed(page)
    shown = [(section, text) for section, text in parser.found if re.search(r"[+−]?[\d.]+ \[", text)]
    judged = {(section, text) for section, text in shown if text.startswith("−10.00 [")}
    same = "−10.00 [−10.25, −9.75] ↓ p < .001"
    assert judged >= {("summary", same), ("vae", same)}
    assert {text for section, text in judged if section == "summary"} == {same}
    claims = [text for section, text in shown if section == "claims"]
    assert "MixUp − Baseline, I(Z_A;X) (nats): −10.00 [−10.25, −9.75]; p < .001; the paper’s −7.67" in claims
    fmix = {text for section, text in shown if text.startswith("−0.2 [") and section == "summary"}
    assert len(fmix) == 1
    assert fmix <= {text for section, text in shown if section == "vae"}
    assert not any(arrow in text for section, text in shown if section == "claims" for arrow in "↑↓")


def test_an_arrow_has_its_p_wherever_it_stands(page):
    body = page.partition("<script")[0]
    arrows = re.findall(r"\] [↑↓](.{6})", body)
    assert arrows
    assert all(re.match(r" p (=|&lt;) \.|\s", after) for after in arrows), set(arrows)


def test_claims_stand_by_verdict_each_at_its_scale(page):
    assert re.search(r"Agrees: 1.*I\(Z_A;X\) falls with MixUp", page, re.DOTALL)
    assert "here: all training images, 3 seeds, 1,000 test images" in text_of(page)


def test_too_few_seeds_have_no_table_of_claims(tmp_path, make_record, rates):
    record = make_record(tmp_path, {pair: values[:1] for pair, values in rates.items()})
    page = write_report(record, tmp_path / "report.html").read_text(encoding="utf-8")
    assert 'id="claims"' not in page
    assert "One cannot tell what augmentations do: that takes 3 seeds or more." in text_of(page)
    assert "(these networks)" in text_of(page)


def test_without_a_baseline_there_are_levels_alone(tmp_path, make_record, rates):
    record = make_record(tmp_path, {pair: values for pair, values in rates.items() if pair[0] != "baseline"})
    page = write_report(record, tmp_path / "report.html").read_text(encoding="utf-8")
    assert "No baseline was measured, so nothing is compared." in page
    summary = page.partition('id="summary"')[2].partition("</section>")[0]
    assert "[" not in summary.partition("</table>")[0]
